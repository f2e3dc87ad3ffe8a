/* wait.c: sleeping and waking, by futex on Linux; elsewhere the thread yields its turn until it is time. */
#include "wait.h"

#include <limits.h>
#include <stddef.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#include <time.h>
#endif

/* Pauses before sleeping: 20 to 60 us, as a pause takes 40 to 140 cycles. Longer than the gap between two
 * phases of an op or two ops of a step, much shorter than a time slice that another library could use. */
enum { SPINS = 1500 };

void fnn_event_wait(fnn_event *event, unsigned seen) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&event->count, memory_order_acquire) != seen) return;
    fnn_relax();
  }
#if defined(__linux__)
  atomic_fetch_add(&event->sleepers, 1);
  while (atomic_load(&event->count) == seen)
    syscall(SYS_futex, &event->count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
  atomic_fetch_sub(&event->sleepers, 1);
#else
  for (int i = 0; atomic_load(&event->count) == seen; i++) {
#if defined(_WIN32)
    Sleep(i < 1000 ? 0 : 1);
#else
    if (i < 1000) {
      sched_yield();
    } else {
      nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
#endif
  }
#endif
}

void fnn_event_signal(fnn_event *event) {
  atomic_fetch_add(&event->count, 1);
#if defined(__linux__)
  if (atomic_load(&event->sleepers))
    syscall(SYS_futex, &event->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#endif
}
