/* lines.h: an array read and written as one long line of elements in row-major order, whatever its
 * strides, a stretch at a time. */
#ifndef FNN_OPS_LINES_H
#define FNN_OPS_LINES_H

#include "op.h"

/* a without its dimensions of length 1 and with neighbours joined where one stride covers both: the same
 * elements in the same order. */
fnn_array fnn_joined(const fnn_array *a);

/* Place of element i, in elements from a's data. */
int64_t fnn_offset(const fnn_array *a, int64_t i);

/* Elements [begin, begin + n) of a (best joined): where they lie if they are contiguous there, else copied
 * into buffer, which has room for n of them. */
const void *fnn_read(const fnn_array *a, int64_t begin, int64_t n, void *buffer);

/* Elements [begin, begin + n) of a as int64; a is of an integer type or, with truth set, of any type and
 * the result is 1 where an element is not zero. */
const int64_t *fnn_read_int(const fnn_array *a, int64_t begin, int64_t n, int truth,
                            int64_t *buffer);

/* The first of elements [begin, end) of an integer array that is 0, or -1. */
int64_t fnn_find_zero(const fnn_array *a, int64_t begin, int64_t end);

/* Elements [begin, begin + n) of a become those of buffer. */
void fnn_write(const fnn_array *a, int64_t begin, int64_t n, const void *buffer);

/* Element i of an array of real numbers, as a double. */
static inline double fnn_real_at(const fnn_array *a, int64_t i) {
  return a->dtype == FNN_F32 ? (double)((const float *)a->data)[i] : ((const double *)a->data)[i];
}
static inline void fnn_real_put(const fnn_array *a, int64_t i, double value) {
  if (a->dtype == FNN_F32)
    ((float *)a->data)[i] = (float)value;
  else
    ((double *)a->data)[i] = value;
}

#endif
