/* wait.h: an event that threads wait for: spin briefly, then sleep. */
#ifndef FNN_WAIT_H
#define FNN_WAIT_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct {
  atomic_uint count;    /* how often it was signalled */
  atomic_uint sleepers; /* threads that may be asleep on count */
} fnn_event;

/* A few tens of cycles in which the core's other thread, or nobody, works. */
static inline void fnn_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory"); /* yield does nothing on most cores */
#endif
}

static inline unsigned fnn_event_now(fnn_event *event) { return atomic_load(&event->count); }

/* Wait until count is no longer `seen`, awake for `awake` nanoseconds, then asleep. What was written before
 * the signal is visible after. */
void fnn_event_wait(fnn_event *event, unsigned seen, int64_t awake);

/* Advance count and wake up to `most` of those asleep; who spins sees it by itself. */
void fnn_event_signal(fnn_event *event, int most);

/* Ask that the calling thread, which works in short bursts, be run soon after it is woken, before threads
 * that spin for milliseconds. */
void fnn_prompt_thread(void);

int64_t fnn_nanoseconds(void); /* of a steady clock */

#endif
