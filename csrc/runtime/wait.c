/* wait.c: spinning, sleeping and waking; sleeping is by futex on Linux, elsewhere by short naps. */
#include "wait.h"

#include <stddef.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <time.h>
#endif
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

int64_t fnn_nanoseconds(void) {
#if defined(_WIN32)
  LARGE_INTEGER now, frequency;
  QueryPerformanceCounter(&now);
  QueryPerformanceFrequency(&frequency);
  return (int64_t)((double)now.QuadPart * 1e9 / (double)frequency.QuadPart);
#else
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

/* Linux 6.12 and later: a normal thread may ask for a time slice, and one with a shorter slice goes before
 * a running one with a longer when it wakes. Older kernels take the call and ignore the slice. */
void fnn_prompt_thread(void) {
#if defined(__linux__) && defined(SYS_sched_setattr)
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attr = {.size = 48};
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0 || attr.policy != 0) return;
  attr.runtime = 100000; /* ns, the least there is */
  syscall(SYS_sched_setattr, 0, &attr, 0);
#endif
}

/* Spinning never yields: a thread that yields next to one that spins gets its core back only after a whole
 * time slice, some 3 ms, while one that sleeps is run at once when it is woken. */
void fnn_event_wait(fnn_event *event, unsigned seen, int64_t awake) {
  for (int64_t now = 0, until = 0; now <= until;) {
    for (int turn = 0; turn < 8; turn++) {
      if (atomic_load_explicit(&event->count, memory_order_acquire) != seen) return;
      fnn_relax();
    }
    now = fnn_nanoseconds();
    if (!until) until = now + awake;
  }
#if defined(__linux__)
  atomic_fetch_add(&event->sleepers, 1);
  while (atomic_load(&event->count) == seen)
    syscall(SYS_futex, &event->count, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
  atomic_fetch_sub(&event->sleepers, 1);
#else
  while (atomic_load(&event->count) == seen) {
#if defined(_WIN32)
    Sleep(1);
#else
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
#endif
  }
#endif
}

void fnn_event_signal(fnn_event *event, int most) {
  atomic_fetch_add(&event->count, 1);
#if defined(__linux__)
  if (atomic_load(&event->sleepers))
    syscall(SYS_futex, &event->count, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
#else
  (void)most;
#endif
}
