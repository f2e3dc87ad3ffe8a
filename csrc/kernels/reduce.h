/* reduce.h: kernels that reduce a block of numbers to a state of one or two numbers.
 *
 *   kind             s0            s1
 *   SUM, SUMSQ       sum x, x^2    -
 *   PROD             product       -
 *   MAX, MIN         the value     -            NaN when any is
 *   ARGMAX, ARGMIN   the value     its place in the block; the first of equals, the first NaN
 *   MOMENTS          mean          sum (x - mean)^2
 *   LSE              max           sum exp(x - max); the shift is 0 when max is not finite
 *
 * Blocks are small (ops/reduce.c cuts them), so that a sum within one is accurate and a second pass over
 * it finds it in the cache. */
#ifndef FNN_KERNELS_REDUCE_H
#define FNN_KERNELS_REDUCE_H

#include <stdint.h>

enum {
  FNN_REDUCE_SUM,
  FNN_REDUCE_SUMSQ,
  FNN_REDUCE_PROD,
  FNN_REDUCE_MAX,
  FNN_REDUCE_MIN,
  FNN_REDUCE_ARGMAX,
  FNN_REDUCE_ARGMIN,
  FNN_REDUCE_MOMENTS,
  FNN_REDUCE_LSE,
  FNN_REDUCE_KINDS
};

#define FNN_REDUCE_ROWS 128 /* the rows of a block of columns, at most */

typedef struct {
  /* n >= 1 contiguous numbers -> s[0], s[1]. */
  void (*row[FNN_REDUCE_KINDS])(int64_t n, const void *x, double *s);
  /* Each of n columns of 1 <= m <= FNN_REDUCE_ROWS rows -> s0[n], s1[n]: of the real type, except that the
   * places of ARGMAX and ARGMIN are integers of its size and the means of MOMENTS doubles. s1 may be NULL where
   * the kind has none. */
  void (*cols[FNN_REDUCE_KINDS])(int64_t m, int64_t n, const void *const *rows, void *s0, void *s1);
} fnn_reduce_kernels;

#define FNN_REDUCE_KERNELS(real)                                                           \
  {                                                                                        \
    .row = {reduce_row_sum_##real,    reduce_row_sumsq_##real,   reduce_row_prod_##real,   \
            reduce_row_max_##real,    reduce_row_min_##real,     reduce_row_argmax_##real, \
            reduce_row_argmin_##real, reduce_row_moments_##real, reduce_row_lse_##real},   \
    .cols = {                                                                              \
      reduce_cols_sum_##real,                                                              \
      reduce_cols_sumsq_##real,                                                            \
      reduce_cols_prod_##real,                                                             \
      reduce_cols_max_##real,                                                              \
      reduce_cols_min_##real,                                                              \
      reduce_cols_argmax_##real,                                                           \
      reduce_cols_argmin_##real,                                                           \
      reduce_cols_moments_##real,                                                          \
      reduce_cols_lse_##real                                                               \
    }                                                                                      \
  }

#endif
