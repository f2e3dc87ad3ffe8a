/* team_pthread.c: teams from plain threads of our own, for compilers without OpenMP.
 *
 * Workers are started as they are first needed, wait for jobs, and live as long as the process. A child
 * after fork has none of them; its first job starts new ones. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "backend.h"
#include "team.h"
#include "wait.h"

enum { MOST = 1024 };

/* The job. Written by the caller before `posted` is signalled, read by workers after. */
static struct {
  fnn_member_fn member;
  void *context;
  int size;
} job;
static fnn_event posted, finished;
static atomic_int unfinished;
static int workers; /* started so far; worker i is member i + 1 */
static unsigned first_job[MOST]; /* the value of posted when worker i was started */

static void *work(void *arg) {
  int id = (int)(intptr_t)arg + 1;
  unsigned seen = first_job[id - 1];
  for (;;) {
    fnn_event_wait(&posted, seen);
    seen++; /* no job is posted before all have done with the last one */
    if (id < job.size) job.member(job.context, id, job.size);
    if (atomic_fetch_sub(&unfinished, 1) == 1) fnn_event_signal(&finished);
  }
  return NULL;
}

static void start_workers(int wanted) {
  pthread_attr_t attr;
  if (pthread_attr_init(&attr) != 0) return;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  for (pthread_t thread; workers < wanted; workers++) {
    first_job[workers] = fnn_event_now(&posted);
    if (pthread_create(&thread, &attr, work, (void *)(intptr_t)workers) != 0) break;
  }
  pthread_attr_destroy(&attr);
}

static void in_child(void) {
  workers = 0;
  atomic_store(&posted.sleepers, 0);
  atomic_store(&finished.sleepers, 0);
}
__attribute__((constructor)) static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }

int fnn_backend_run(int threads, fnn_member_fn member, void *context) {
  if (threads > MOST) threads = MOST;
  if (workers < threads - 1) start_workers(threads - 1);
  if (workers == 0) return 0;
  job.member = member;
  job.context = context;
  job.size = threads <= workers ? threads : workers + 1;
  unsigned before = fnn_event_now(&finished);
  atomic_store(&unfinished, workers);
  fnn_event_signal(&posted);
  member(context, 0, job.size);
  fnn_event_wait(&finished, before);
  return 1;
}

int fnn_backend_threads(int count, unsigned version) {
  (void)version;
  return count;
}

const char *fnn_threads_backend(void) { return "pthread"; }
