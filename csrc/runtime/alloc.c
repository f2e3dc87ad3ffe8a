/* alloc.c: memory for arrays, 64-byte aligned, from free lists by size.
 *
 * A training step asks for the same sizes again and again, so after the first step each request finds the
 * block that the last step gave back. Sizes are rounded up to one of eight per power of two (at most an
 * eighth is lost). Idle blocks are kept up to a limit; past it they go back to the system at once. */
#include <stdatomic.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <malloc.h>
#else
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#endif

#include "../fastnn.h"
#include "wait.h"

enum { SMALLEST = 6, LARGEST = 46, STEPS = 8, CLASSES = (LARGEST - SMALLEST) * STEPS + 1 };
#define MAX_BYTES (INT64_C(1) << LARGEST)
#define HUGE_PAGE (INT64_C(2) << 20)
#define HUGE_FROM (INT64_C(4) << 20) /* blocks from this size on are put on huge pages */
#define IDLE_LIMIT (INT64_C(512) << 20)

typedef struct idle_block {
  struct idle_block *next;
} idle_block;

static atomic_flag taken = ATOMIC_FLAG_INIT;
static idle_block *lists[CLASSES];
static int64_t idle_bytes, used_bytes;

static void lock(void) {
  for (int i = 1; atomic_flag_test_and_set_explicit(&taken, memory_order_acquire); i++) {
    fnn_relax();
#if !defined(_WIN32)
    if (i % 64 == 0) sched_yield();
#endif
  }
}

static void unlock(void) { atomic_flag_clear_explicit(&taken, memory_order_release); }

#if !defined(_WIN32)
/* Nobody may hold the lock while the process forks: in the child it would never be released. */
__attribute__((constructor)) static void watch_fork(void) { pthread_atfork(lock, unlock, unlock); }
#endif

/* The class of a size, 0 < bytes <= MAX_BYTES, and the size of its blocks: (8 + step) * 2^(power - 3). */
static int class_of(int64_t bytes, int64_t *rounded) {
  if (bytes <= INT64_C(1) << SMALLEST) {
    *rounded = INT64_C(1) << SMALLEST;
    return 0;
  }
  int power = 63 - __builtin_clzll((unsigned long long)(bytes - 1));
  int64_t step_bytes = (INT64_C(1) << power) / STEPS;
  int64_t step = (bytes - (INT64_C(1) << power) + step_bytes - 1) / step_bytes; /* 1 to STEPS */
  *rounded = (INT64_C(1) << power) + step * step_bytes;
  return (power - SMALLEST) * STEPS + (int)step;
}

static void *system_alloc(int64_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc((size_t)bytes, 64);
#else
  void *memory = NULL;
  int huge = bytes >= HUGE_FROM;
  if (posix_memalign(&memory, huge ? (size_t)HUGE_PAGE : 64, (size_t)bytes) != 0) return NULL;
#if defined(MADV_HUGEPAGE)
  if (huge) madvise(memory, (size_t)(bytes / HUGE_PAGE * HUGE_PAGE), MADV_HUGEPAGE);
#endif
  return memory;
#endif
}

static void system_free(void *memory) {
#if defined(_WIN32)
  _aligned_free(memory);
#else
  free(memory);
#endif
}

void *fnn_alloc(int64_t bytes) {
  if (bytes < 0 || bytes > MAX_BYTES) return NULL;
  int64_t rounded;
  int list = class_of(bytes, &rounded);
  lock();
  idle_block *block = lists[list];
  if (block) {
    lists[list] = block->next;
    idle_bytes -= rounded;
  }
  used_bytes += rounded;
  unlock();
  if (block) return block;
  block = system_alloc(rounded);
  if (!block) { /* perhaps what lies idle is what is missing */
    fnn_alloc_trim();
    block = system_alloc(rounded);
  }
  if (!block) {
    lock();
    used_bytes -= rounded;
    unlock();
  }
  return block;
}

void fnn_free(void *memory, int64_t bytes) {
  if (!memory) return;
  int64_t rounded;
  int list = class_of(bytes, &rounded);
  lock();
  used_bytes -= rounded;
  int keep = idle_bytes + rounded <= IDLE_LIMIT;
  if (keep) {
    idle_block *block = memory;
    block->next = lists[list];
    lists[list] = block;
    idle_bytes += rounded;
  }
  unlock();
  if (!keep) system_free(memory);
}

void fnn_alloc_trim(void) {
  for (int list = 0; list < CLASSES; list++) {
    lock();
    idle_block *block = lists[list];
    lists[list] = NULL;
    int64_t size = list == 0 ? INT64_C(1) << SMALLEST
                             : (INT64_C(1) << ((list - 1) / STEPS + SMALLEST)) / STEPS *
                                   (STEPS + (list - 1) % STEPS + 1);
    for (idle_block *b = block; b; b = b->next) idle_bytes -= size;
    unlock();
    while (block) {
      idle_block *next = block->next;
      system_free(block);
      block = next;
    }
  }
}

int64_t fnn_alloc_in_use(void) {
  lock();
  int64_t bytes = used_bytes;
  unlock();
  return bytes;
}
