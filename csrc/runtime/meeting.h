/* meeting.h: what the members of a team share: where they wait for each other, and the first failure. */
#ifndef FNN_MEETING_H
#define FNN_MEETING_H

#include "../fastnn.h"
#include "wait.h"

enum { FNN_PROGRESS = 4 };

typedef struct {
  int64_t awake;                     /* how long a member spins before it sleeps, in ns */
  _Alignas(64) atomic_int arrived;   /* members at the barrier */
  _Alignas(64) fnn_event phase;      /* how often it has opened */
  _Alignas(64) atomic_llong tickets; /* handed out: see fnn_take */
  _Alignas(64) fnn_event progress[FNN_PROGRESS]; /* 0 between calls: see fnn_progress */
  atomic_int leaving;                            /* members that need the counts no more */
  _Alignas(64) atomic_flag lock;                 /* guards the failure */
  atomic_int status;
  int64_t position;
  fnn_failure failure;
} fnn_meeting;

/* Forget the last failure; no member is inside. */
void fnn_meeting_reset(fnn_meeting *meeting, int64_t awake);

/* The status that was recorded, with its failure put into why unless it is FNN_OK. */
fnn_status fnn_meeting_status(const fnn_meeting *meeting, fnn_failure *why);

#endif
