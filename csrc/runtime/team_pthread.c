/* team_pthread.c: plain threads, for compilers without OpenMP. A child after fork starts new ones. */
#include <stdint.h>

#include "backend.h"
#include "start_thread.h"
#include "team.h"

static void call(intptr_t work) { ((void (*)(void))work)(); }

int fnn_backend_start(int n, void (*work)(void)) {
  int started = 0;
  while (started < n && start_thread(call, (intptr_t)work)) started++;
  return started;
}

int fnn_backend_nested(void) { return 0; }

int fnn_backend_threads(int count, unsigned version) {
  (void)version;
  return count;
}

const char *fnn_threads_backend(void) { return "pthread"; }
