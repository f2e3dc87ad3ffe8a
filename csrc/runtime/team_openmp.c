/* team_openmp.c: teams from OpenMP.
 *
 * OpenMP gives the threads, and through omp_set_num_threads the knob that threadpoolctl turns. Within a
 * region nothing of OpenMP is used: team.c has its own barrier. After fork the child's OpenMP runtime
 * believes in threads that no longer exist and would wait for them for ever, so a child runs serially. */
#include <omp.h>
#if !defined(_WIN32)
#include <pthread.h>
#endif

#include "backend.h"
#include "team.h"

static int forked;

#if !defined(_WIN32)
static void in_child(void) { forked = 1; }
__attribute__((constructor)) static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }
#endif

int fnn_backend_run(int threads, fnn_member_fn member, void *context) {
  if (forked || omp_in_parallel()) return 0;
#pragma omp parallel num_threads(threads)
  member(context, omp_get_thread_num(), omp_get_num_threads());
  return 1;
}

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
