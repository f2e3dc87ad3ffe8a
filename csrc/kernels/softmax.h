/* softmax.h: softmax and its gradient along contiguous rows, and down columns that lie side by side. */
#ifndef FNN_KERNELS_SOFTMAX_H
#define FNN_KERNELS_SOFTMAX_H

#include <stdint.h>

typedef struct {
  /* Each of `rows` rows of n, one after another: y = softmax(x), or its logarithm. y may be x. */
  void (*rows)(int64_t rows, int64_t n, const void *x, void *y, int log);
  /* dx from y and dy; dx may be dy. */
  void (*rows_grad)(int64_t rows, int64_t n, const void *y, const void *dy, void *dx, int log);
  /* The same down each of n columns of m rows, `step` elements from row to row in every array. */
  void (*cols)(int64_t m, int64_t n, int64_t step, const void *x, void *y, int log);
  void (*cols_grad)(int64_t m, int64_t n, int64_t step, const void *y, const void *dy, void *dx,
                    int log);
  /* For each of `rows` rows of n, `step` elements apart: stats[2 i] = max x and stats[2 i + 1] =
   * log sum exp(x - max), of the real type. log softmax is x - stats[2 i] - stats[2 i + 1]. */
  void (*stats)(int64_t rows, int64_t n, int64_t step, const void *x, void *stats);
} fnn_softmax_kernels;

#define FNN_SOFTMAX_KERNELS(real)         \
  {.rows = softmax_rows_##real,           \
   .rows_grad = softmax_rows_grad_##real, \
   .cols = softmax_cols_##real,           \
   .cols_grad = softmax_cols_grad_##real, \
   .stats = softmax_stats_##real}

#endif
