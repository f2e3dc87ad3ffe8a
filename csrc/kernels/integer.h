/* integer.h: kernels of integers and bool, and the values of one dtype in another. They are the same for both
 * real types: plain loops, which the compiler makes into the ISA's vectors. */
#ifndef FNN_KERNELS_INTEGER_H
#define FNN_KERNELS_INTEGER_H

#include "map.h"
#include "reduce.h"

enum { FNN_INTEGERS = FNN_DTYPES - FNN_I64 }; /* int64, int32, uint8, bool */

typedef struct {
  /* Pointwise, by dtype - FNN_I64 and op; NULL where the op does not take the dtype. */
  const fnn_map_kernel (*map)[FNN_OPS];
  /* The values of one dtype in another, by both; one input. Integers wrap around. A real number is cut
   * towards zero; beyond the integer's range it becomes the nearest end, and NaN becomes 0. Anything but 0
   * is true, NaN included. */
  const fnn_map_kernel (*convert)[FNN_DTYPES];
  /* n >= 1 contiguous elements -> s[0], and s[1] for ARGMAX and ARGMIN; kinds before MOMENTS, see reduce.h.
   * By dtype - FNN_I64. */
  void (*row[FNN_INTEGERS][FNN_REDUCE_MOMENTS])(int64_t n, const void *x, int64_t *s);
  /* Each of n columns of m >= 1 rows -> s0[n], s1[n]. */
  void (*cols[FNN_INTEGERS][FNN_REDUCE_MOMENTS])(int64_t m, int64_t n, const void *const *rows,
                                                 int64_t *s0, int64_t *s1);
  /* Whether any of n contiguous indices is not in low <= x < high. */
  int (*outside)(int64_t n, const int64_t *x, int64_t low, int64_t high);
} fnn_integer_kernels;

#endif
