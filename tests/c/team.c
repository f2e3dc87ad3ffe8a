/* team.c: tests of the thread team, without Python and without ops; also run under ThreadSanitizer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../csrc/runtime/team.h"
#include "check.h"

enum { CELLS = 1000, ROUNDS = 50 };
static const int64_t PATIENCE = 100000000; /* ns: in tests everybody should come */

/* Each round every thread adds to its cells the values that others wrote in the round before. */
typedef struct {
  int64_t cell[2][CELLS];
  atomic_int calls, widest;
} grid;

static void mix(const void *arg, fnn_team *team) {
  grid *g = (grid *)arg;
  fnn_range mine = fnn_share(CELLS, team);
  atomic_fetch_add(&g->calls, 1);
  int widest = atomic_load(&g->widest);
  while (team->size > widest && !atomic_compare_exchange_weak(&g->widest, &widest, team->size)) {}
  for (int round = 0; round < ROUNDS; round++) {
    const int64_t *from = g->cell[round % 2];
    int64_t *to = g->cell[(round + 1) % 2];
    for (int64_t i = mine.begin; i < mine.end; i++)
      to[i] = (from[(i + 1) % CELLS] * 3 + from[(i + CELLS / 2) % CELLS]) % 1000003;
    fnn_team_barrier(team);
  }
}

static void fill(grid *g) {
  memset(g, 0, sizeof *g);
  for (int i = 0; i < CELLS; i++) g->cell[0][i] = i;
}

static void run_grid(grid *g, int threads) {
  fnn_failure why;
  fill(g);
  CHECK(fnn_team_run(threads, PATIENCE, mix, g, NULL, &why) == FNN_OK);
}

static void same_result_at_any_size(void) {
  static grid one, many;
  run_grid(&one, 1);
  for (int threads = 2; threads <= 8; threads++) {
    for (int repeat = 0; repeat < 20; repeat++) {
      run_grid(&many, threads);
      CHECK(memcmp(one.cell, many.cell, sizeof one.cell) == 0);
    }
    CHECK(many.widest >= 1 && many.widest <= threads && many.calls == many.widest);
  }
}

/* The same with members that come while it runs: before each round member 0 tells the others the size. */
typedef struct {
  grid g;
  int size[ROUNDS], entry;
} open_grid;

static void mix_joining(const void *arg, fnn_team *team) {
  open_grid *o = (open_grid *)arg;
  int first = team->id ? o->entry : 0;
  atomic_fetch_add(&o->g.calls, 1);
  for (int round = first; round < ROUNDS; round++) {
    if (team->id == 0) o->size[round] = fnn_team_present(team, round == 2 ? PATIENCE : 0);
    if (team->id == 0 || round > first) fnn_team_barrier(team);
    if (team->id == 0 && o->size[round] > team->size) {
      o->entry = round;
      fnn_team_admit(team, o->size[round]);
    }
    team->size = o->size[round];
    fnn_range mine = fnn_share(CELLS, team);
    const int64_t *from = o->g.cell[round % 2];
    int64_t *to = o->g.cell[(round + 1) % 2];
    for (int64_t i = mine.begin; i < mine.end; i++)
      to[i] = (from[(i + 1) % CELLS] * 3 + from[(i + CELLS / 2) % CELLS]) % 1000003;
  }
  fnn_team_barrier(team);
}

static void same_result_whoever_joins(void) {
  static grid one;
  static open_grid many;
  run_grid(&one, 1);
  for (int threads = 1; threads <= 5; threads++) {
    for (int repeat = 0; repeat < 50; repeat++) {
      fill(&many.g);
      fnn_team_run_joining(threads, PATIENCE, mix_joining, &many);
      CHECK(memcmp(one.cell, many.g.cell, sizeof one.cell) == 0);
      CHECK(many.g.calls >= (threads > 1 ? 2 : 1) && many.g.calls <= threads);
    }
  }
}

static void fails(const void *arg, fnn_team *team) {
  const int64_t *bad = arg;
  fnn_range mine = fnn_share(100, team);
  CHECK(!fnn_team_failed(team));
  fnn_team_barrier(team);
  for (int64_t i = mine.begin; i < mine.end; i++)
    if (i == bad[0] || i == bad[1])
      fnn_team_fail(team, FNN_ERR_VALUE, i, "{seen} is not below {limit}", i, 7);
  fnn_team_barrier(team);
  CHECK(fnn_team_failed(team));
}

static void first_failure_is_reported(void) {
  const int64_t bad[2] = {91, 13};
  for (int threads = 1; threads <= 5; threads++) {
    fnn_failure why = {0};
    CHECK(fnn_team_run(threads, PATIENCE, fails, bad, NULL, &why) == FNN_ERR_VALUE);
    CHECK(why.seen == 13 && why.limit == 7);
  }
}

static void nests(const void *arg, fnn_team *team) {
  grid *grids = (grid *)arg;
  fnn_failure why;
  if (team->id > 1) return;
  fill(&grids[team->id]);
  CHECK(fnn_team_run(4, PATIENCE, mix, &grids[team->id], NULL, &why) == FNN_OK);
  CHECK(grids[team->id].widest == 1);
}

static void nested_runs_serially(void) {
  static grid grids[2];
  fnn_failure why;
  CHECK(fnn_team_run(2, PATIENCE, nests, grids, NULL, &why) == FNN_OK);
  CHECK(grids[0].calls == 1);
}

static void *caller(void *arg) {
  grid *expected = arg;
  grid *own = malloc(sizeof *own);
  for (int repeat = 0; repeat < 100; repeat++) {
    run_grid(own, 2 + repeat % 3);
    CHECK(memcmp(expected->cell, own->cell, sizeof own->cell) == 0);
  }
  free(own);
  return NULL;
}

static void concurrent_callers(void) {
  static grid expected;
  pthread_t thread[4];
  run_grid(&expected, 1);
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&thread[i], NULL, caller, &expected) == 0);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(thread[i], NULL) == 0);
}

static double tiny(double x) {
  volatile double y = x;
  return y / 4;
}

static void flushes(const void *arg, fnn_team *team) {
  (void)team;
  *(double *)arg = tiny(2.2250738585072014e-308);
}

static void subnormals_are_flushed_inside_only(void) {
  double inside = 1;
  fnn_failure why;
  fnn_team_run(1, 0, flushes, &inside, NULL, &why);
#if defined(__x86_64__) || defined(__aarch64__)
  CHECK(inside == 0);
#endif
  CHECK(tiny(2.2250738585072014e-308) > 0);
}

static void children_work(int forks) {
  static grid expected, own;
  run_grid(&expected, 1);
  run_grid(&own, 4);
  for (int i = 0; i < forks; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(20);
      for (int repeat = 0; repeat < 5; repeat++) {
        run_grid(&own, 3);
        if (memcmp(expected.cell, own.cell, sizeof own.cell)) _exit(1);
      }
      _exit(0);
    }
    int status;
    run_grid(&own, 2);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
}

int main(int argc, char **argv) {
  (void)argv;
  same_result_at_any_size();
  same_result_whoever_joins();
  first_failure_is_reported();
  nested_runs_serially();
  concurrent_callers();
  subnormals_are_flushed_inside_only();
  if (argc == 1) children_work(50); /* any argument: not under a sanitizer that minds forks */
  printf("team: all passed (%s)\n", fnn_threads_backend());
  return 0;
}
