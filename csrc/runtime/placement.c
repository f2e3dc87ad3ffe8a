/* placement.c: by thread affinity on Linux; elsewhere the system's choice stands. */
#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "placement.h"

static atomic_int workers;
static pid_t tids[FNN_MOST_THREADS];
static int placed_workers,
    placed_core = -1; /* for how many, and off which core, the masks are set */

void fnn_place_worker(void) {
  int i = atomic_fetch_add(&workers, 1);
  if (i < FNN_MOST_THREADS) tids[i] = (pid_t)syscall(SYS_gettid);
}

void fnn_place_caller(void) {
  int core = sched_getcpu(), n = atomic_load(&workers);
  if (core < 0 || (core == placed_core && n == placed_workers)) return;
  placed_core = core;
  placed_workers = n;
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) != 0 || CPU_COUNT(&mask) <= n) return;
  CPU_CLR(core, &mask);
  for (int i = 0; i < n && i < FNN_MOST_THREADS; i++)
    if (tids[i]) sched_setaffinity(tids[i], sizeof mask, &mask);
}

void fnn_place_none(void) {
  atomic_store(&workers, 0);
  placed_core = -1;
}
#else
#include "placement.h"

void fnn_place_worker(void) {}
void fnn_place_caller(void) {}
void fnn_place_none(void) {}
#endif
