/* probe.c: measuring what this machine can do, with the team that runs everything else. */
#include "../ops/op.h"
#include "wait.h"

/* How long to wait for threads that are asleep, in ns: all are to take part. */
enum { PATIENCE = 5000000 };

typedef struct {
  fnn_probe what;
  const fnn_probe_kernels *kernels;
  char *memory;
  int64_t bytes, rounds;
  int64_t nanoseconds;
  int size;
} job;

static void work(const job *j, int64_t rounds, fnn_team *team) {
  const fnn_probe_kernels *k = j->kernels;
  char *memory = j->memory + team->id * j->bytes;
  switch (j->what) {
    case FNN_PROBE_FMA:
      k->fma(rounds, 0.75);
      break;
    case FNN_PROBE_READ:
      k->read(rounds, j->bytes, memory);
      break;
    case FNN_PROBE_WRITE:
      k->write(rounds, j->bytes, memory);
      break;
    case FNN_PROBE_UPDATE:
      k->update(rounds, j->bytes, memory);
      break;
    case FNN_PROBE_TRIAD:
      k->triad(rounds, j->bytes, memory);
      break;
    case FNN_PROBE_MEET:
      for (int64_t r = 0; r < rounds; r++) fnn_team_barrier(team);
      break;
    case FNN_PROBE_START:
      break;
  }
}

/* The first round brings the data in and the clock up. */
static void member(const void *arg, fnn_team *team) {
  job *j = (job *)arg;
  work(j, 1, team);
  fnn_team_barrier(team);
  int64_t begin = fnn_nanoseconds();
  work(j, j->rounds, team);
  fnn_team_barrier(team);
  if (team->id > 0) return;
  j->nanoseconds = fnn_nanoseconds() - begin;
  j->size = team->size;
}

static void nothing(const void *arg, fnn_team *team) {
  if (team->id == 0) ((job *)arg)->size = team->size;
}

double fnn_probe_seconds(fnn_probe what, int dtype, int *threads, void *memory, int64_t bytes,
                         int64_t rounds) {
  job j = {.what = what, .kernels = &fnn_kernels_of(dtype)->probe, .memory = memory};
  j.bytes = bytes / 1024 * 1024;
  j.rounds = rounds;
  fnn_failure why;
  if (what == FNN_PROBE_START) {
    int64_t begin = fnn_nanoseconds();
    for (int64_t r = 0; r < rounds; r++) fnn_team_run(*threads, PATIENCE, nothing, &j, NULL, &why);
    j.nanoseconds = fnn_nanoseconds() - begin;
  } else {
    fnn_team_run(*threads, PATIENCE, member, &j, NULL, &why);
  }
  *threads = j.size;
  return 1e-9 * (double)j.nanoseconds;
}

int fnn_probe_flops(int dtype) { return fnn_kernels_of(dtype)->probe.flops; }
