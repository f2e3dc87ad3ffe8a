/* wait.h: an event that threads wait for: spin for some tens of microseconds, then sleep. */
#ifndef FNN_WAIT_H
#define FNN_WAIT_H

#include <stdatomic.h>

typedef struct {
  atomic_uint count;    /* how often it was signalled */
  atomic_uint sleepers; /* threads that may be asleep on count */
} fnn_event;

static inline void fnn_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory"); /* yield is a nop on most cores; isb waits about as long as pause */
#endif
}

static inline unsigned fnn_event_now(fnn_event *event) { return atomic_load(&event->count); }

/* Wait until count is no longer `seen`. What was written before the signal is visible after. */
void fnn_event_wait(fnn_event *event, unsigned seen);

/* Advance count and wake all who wait. */
void fnn_event_signal(fnn_event *event);

#endif
