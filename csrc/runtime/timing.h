/* timing.h: where the threads of a program spend their time: one look at the clock where a call or a wait
 * ends, which is where the next begins. */
#ifndef FNN_TIMING_H
#define FNN_TIMING_H

#include "../fastnn.h"
#include "wait.h"

/* What one thread has measured. Only it writes here. */
typedef struct {
  _Alignas(64) int64_t *busy; /* in each call, in ns, added up */
  int64_t *waiting;           /* before each call, and at the end of a repetition */
  fnn_stamp *stamps;          /* the latest calls, a ring */
  int64_t stamped;            /* how many there were */
  int64_t last;               /* when what was measured last ended */
} fnn_lane;

typedef struct {
  int64_t calls, threads, room; /* room: stamps a lane holds */
  int64_t inside;               /* ns in fnn_program_run */
  int64_t repeats;
  fnn_lane lanes[];
} fnn_timing;

fnn_timing *fnn_timing_new(int64_t calls, int64_t threads, int64_t room); /* NULL: no memory */
void fnn_timing_free(fnn_timing *timing);

/* The lane of a thread that begins or goes on now; NULL where nothing is timed. */
static inline fnn_lane *fnn_lane_of(fnn_timing *timing, int thread) {
  if (!timing || thread >= timing->threads) return NULL;
  timing->lanes[thread].last = fnn_nanoseconds();
  return &timing->lanes[thread];
}

/* What came since the last was a wait before call k. */
static inline void fnn_note_wait(fnn_lane *lane, int64_t k) {
  if (!lane) return;
  int64_t now = fnn_nanoseconds();
  lane->waiting[k] += now - lane->last;
  lane->last = now;
}

/* What came since the last was call k. */
static inline void fnn_note_call(const fnn_timing *timing, fnn_lane *lane, int64_t k) {
  if (!lane) return;
  int64_t now = fnn_nanoseconds();
  lane->busy[k] += now - lane->last;
  if (timing->room) lane->stamps[lane->stamped++ % timing->room] = (fnn_stamp){k, lane->last, now};
  lane->last = now;
}

#endif
