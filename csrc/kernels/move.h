/* move.h: the move family's arithmetic, and matrices turned. Other copies are memory only and live in
 * ops/move.c and ops/copy_block.c, for every dtype. */
#ifndef FNN_KERNELS_MOVE_H
#define FNN_KERNELS_MOVE_H

#include <stdint.h>

typedef struct {
  /* y[i] += x[i] for n elements that lie one after another; x and y do not overlap. */
  void (*add_row)(int64_t n, const void *x, void *y);
  /* to[j * to_step + i] = from[i * from_step + j] for i < rows, j < cols; they do not overlap. */
  void (*transpose)(int64_t rows, int64_t cols, const void *from, int64_t from_step, void *to,
                    int64_t to_step);
  /* y[i] = the sum over k < count of weights[k] * rows[k][i], in order, for i < n; with `add`, y[i] before it. */
  void (*combine)(int64_t n, int count, const void *const *rows, const double *weights, int add,
                  void *y);
} fnn_move_kernels;

#define FNN_MOVE_KERNELS(real) \
  {.add_row = move_add_row_##real, .transpose = transpose_##real, .combine = move_combine_##real}

#endif
