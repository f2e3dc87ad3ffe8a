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
static atomic_int tids[FNN_MOST_THREADS]; /* 0 until known */
static int placed_workers;                /* for how many workers the masks are set, */
static int placed_core = -1;              /* and off which core */

void fnn_place_worker(void) {
  int i = atomic_fetch_add(&workers, 1);
  if (i < FNN_MOST_THREADS) atomic_store(&tids[i], (int)syscall(SYS_gettid));
}

void fnn_place_caller(void) {
  int core = sched_getcpu(), n = atomic_load(&workers);
  if (core < 0 || (core == placed_core && n == placed_workers)) return;
  placed_core = core;
  placed_workers = n;
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) != 0 || CPU_COUNT(&mask) <= n) return;
  CPU_CLR(core, &mask);
  for (int i = 0; i < n && i < FNN_MOST_THREADS; i++) {
    int tid = atomic_load(&tids[i]);
    if (tid)
      sched_setaffinity(tid, sizeof mask, &mask);
    else
      placed_core = -1; /* just started: the next time */
  }
}

void fnn_place_none(void) {
  for (int i = 0; i < atomic_load(&workers) && i < FNN_MOST_THREADS; i++) atomic_store(&tids[i], 0);
  atomic_store(&workers, 0);
  placed_core = -1;
}
#else
#include "placement.h"

void fnn_place_worker(void) {}
void fnn_place_caller(void) {}
void fnn_place_none(void) {}
#endif
