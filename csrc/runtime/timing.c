/* timing.c: the memory of a timing, all of it made before anything is timed. */
#include "timing.h"

#include <stdlib.h>
#include <string.h>

fnn_timing *fnn_timing_new(int64_t calls, int64_t threads, int64_t room) {
  size_t size = sizeof(fnn_timing) + (size_t)threads * sizeof(fnn_lane);
  fnn_timing *t = aligned_alloc(64, (size + 63) / 64 * 64);
  if (!t) return NULL;
  memset(t, 0, size);
  t->calls = calls;
  t->threads = threads;
  t->room = room;
  for (int64_t i = 0; i < threads; i++) {
    fnn_lane *lane = &t->lanes[i];
    lane->busy = calloc((size_t)calls + 1, sizeof(int64_t));
    lane->waiting = calloc((size_t)calls + 1, sizeof(int64_t));
    lane->stamps = calloc((size_t)room + 1, sizeof(fnn_stamp));
    if (!lane->busy || !lane->waiting || !lane->stamps) {
      fnn_timing_free(t);
      return NULL;
    }
  }
  return t;
}

void fnn_timing_free(fnn_timing *t) {
  if (!t) return;
  for (int64_t i = 0; i < t->threads; i++) {
    free(t->lanes[i].busy);
    free(t->lanes[i].waiting);
    free(t->lanes[i].stamps);
  }
  free(t);
}
