/* team.h: threads as an op sees them. An op's run function is called by every thread of a team at once;
 * it splits its work by shape, takes its share by thread number, and meets the others at a barrier where
 * it reads what they wrote. The result never depends on how many they are.
 *
 * Two implementations, chosen at build time: OpenMP (team_openmp.c) and pthreads (team_pthread.c). */
#ifndef FNN_TEAM_H
#define FNN_TEAM_H

#include <stdint.h>

#include "../fastnn.h"
#include "meeting.h"

typedef struct {
  int id, size;         /* this thread's number, 0 <= id < size */
  char *workspace;      /* plan.workspace bytes, shared by all, 64-byte aligned */
  fnn_meeting *meeting; /* barrier, failure, tickets */
  int64_t taken;        /* the tickets of lists that are done with */
  void *job;            /* where others may join while the work is under way, or NULL */
} fnn_team;

typedef void (*fnn_team_fn)(const void *arg, fnn_team *team);

/* Run fn on up to `threads` threads and wait for all. Threads that are asleep or kept from running are
 * waited for no longer than `patience` nanoseconds; the team is then those that came. Callers at the same
 * time share the cores. Runs serially when already inside a team, when another caller holds the team, and
 * where a child after fork has no threads.
 * Flushes subnormals for fn only. Returns the status that fnn_team_fail recorded, or FNN_OK. */
fnn_status fnn_team_run(int threads, int64_t patience, fnn_team_fn fn, const void *arg,
                        char *workspace, fnn_failure *why);

/* How long to wait for threads that are asleep before work that takes one thread `time` nanoseconds: at
 * most about what they would save. */
int64_t fnn_patience(double time);

/* The same for work of many steps, which the caller begins at once, as a team of one: the others join while
 * it is under way, each when it has come and member 0 admits it. Patience only tells how long the work is. */
void fnn_team_run_joining(int threads, int64_t patience, fnn_team_fn fn, const void *arg);

/* By member 0 of such a team: the size that it will have when those that have come are admitted. While nobody
 * has come, waits up to `patience` nanoseconds for the first. */
int fnn_team_present(const fnn_team *team, int64_t patience);

/* By member 0, once the members so far know of the new size: those that have come begin, with this size. */
void fnn_team_admit(fnn_team *team, int size);

/* By member 0: whether a team of another size would now serve better where `threads` were wished for, since
 * other callers came, or may have gone in the `age` nanoseconds since this one was formed. The work should
 * then end, and what is left of it be run by another team. */
int fnn_team_outlived(const fnn_team *team, int threads, int64_t age);

/* Wait until every thread of the team is here. Everything written before is then visible to all. */
void fnn_team_barrier(fnn_team *team);

/* Record a failure found in the data (an index out of range). The first in the order of `position` wins,
 * so that the report does not depend on the thread count. */
void fnn_team_fail(fnn_team *team, fnn_status status, int64_t position, const char *message,
                   int64_t seen, int64_t limit);
/* True for all threads alike after a barrier that followed the fnn_team_fail. */
int fnn_team_failed(const fnn_team *team);

typedef struct {
  int64_t begin, end;
} fnn_range;

/* This thread's contiguous share of n equal tasks. */
static inline fnn_range fnn_share(int64_t n, const fnn_team *team) {
  int64_t each = n / team->size, more = n % team->size, id = team->id;
  fnn_range r;
  r.begin = id * each + (id < more ? id : more);
  r.end = r.begin + each + (id < more);
  return r;
}

/* Tasks for whoever comes first, where a thread may be kept from its core by another program and the rest
 * should not wait for its share: each member calls this until the number is n or more, then fnn_taken. The
 * members must meet between two lists. */
static inline int64_t fnn_take(const fnn_team *team) {
  return (int64_t)atomic_fetch_add_explicit(&team->meeting->tickets, 1, memory_order_relaxed) -
         team->taken;
}

/* A list of n tasks is done with: every member has drawn one ticket too many. */
static inline void fnn_taken(fnn_team *team, int64_t n) { team->taken += n + team->size; }

/* Counts of tasks that are done, for lists in which one task needs the results of others: count one more of
 * counter `which` (0 to FNN_PROGRESS - 1); wait for it to come to n. What was written before the counting is
 * visible after the wait. A task may only wait for tasks with smaller tickets. Each member that used them
 * calls fnn_progress_end last. */
void fnn_progress(fnn_team *team, int which);
void fnn_progress_wait(fnn_team *team, int which, int64_t n);
void fnn_progress_end(fnn_team *team);

#endif
