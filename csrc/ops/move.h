/* move.h: what the ops that move elements by index share. */
#ifndef FNN_OPS_MOVE_H
#define FNN_OPS_MOVE_H

#include "op.h"

/* i wrapped into 0 <= i < m; it was checked. */
static inline int64_t wrapped(int64_t i, int64_t m) { return i < 0 ? i + m : i; }

/* Look at every index; true, for all threads alike, when one lies outside low <= i < m. */
int fnn_index_outside(const fnn_array *index, int64_t low, int64_t m, fnn_team *team);

static inline int bad_index(const fnn_array *index, int64_t m, fnn_team *team) {
  return fnn_index_outside(index, -m, m, team);
}

/* Copy n elements of `size` bytes between strided places; strides count elements. */
void fnn_copy_strided(int64_t n, int64_t size, const char *from, int64_t from_stride, char *to,
                      int64_t to_stride);

/* Calls that move.c has planned; the contracts are in gather.c. */
void fnn_gather(const fnn_call *call, fnn_team *team);
void fnn_gather_along(const fnn_call *call, fnn_team *team);

#endif
