/* team_openmp.c: threads from OpenMP.
 *
 * One parallel region is opened by a thread of ours and never ends; its members are the workers of team.c.
 * So OpenMP gives the threads (with OMP_PLACES, OMP_STACKSIZE, OMP_THREAD_LIMIT) and, through
 * omp_set_num_threads, the knob that threadpoolctl turns, but its waiting is not used: libgomp's threads
 * spin for milliseconds after each region, which made a matrix product of numpy next to a region of ours
 * fifty times slower, and its regions cannot go on without a thread that the system does not let run.
 * In a child after fork there are no workers, and it runs serially. */
#include <omp.h>
#include <stdint.h>

#include "backend.h"
#include "start_thread.h"
#include "team.h"

static int forked;

#if !defined(_WIN32)
static void in_child(void) { forked = 1; }
__attribute__((constructor)) static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }
#endif

static void (*work_of_region)(void);

static void region(intptr_t n) {
  void (*work)(void) = work_of_region;
#pragma omp parallel num_threads((int)n)
  work();
}

int fnn_backend_start(int n, void (*work)(void)) {
  if (forked) return 0;
  work_of_region = work;
  return start_thread(region, n) ? n : 0;
}

int fnn_backend_nested(void) { return omp_in_parallel(); }

/* omp_get_max_threads is a setting of each calling thread. The first time that a thread asks, and after
 * each fnn_set_threads, it is set to count; whatever somebody sets it to later holds. A thread whose
 * limit was changed before it first came here keeps that limit. */
int fnn_backend_threads(int count, unsigned version) {
  static _Thread_local unsigned seen;
  static int at_load;
  if (!at_load) at_load = omp_get_max_threads();
  if (seen != version) {
    if (seen || omp_get_max_threads() == at_load) omp_set_num_threads(count);
    seen = version;
  }
  return omp_get_max_threads();
}

const char *fnn_threads_backend(void) { return "openmp"; }
