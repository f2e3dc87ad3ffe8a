/* move.h: the move family's arithmetic. Copies are memory only and live in ops/move.c, for every
 * dtype. */
#ifndef FNN_KERNELS_MOVE_H
#define FNN_KERNELS_MOVE_H

#include <stdint.h>

typedef struct {
  /* y[i] += x[i] for n elements that lie one after another; x and y do not overlap. */
  void (*add_row)(int64_t n, const void *x, void *y);
} fnn_move_kernels;

#define FNN_MOVE_KERNELS(real) {.add_row = move_add_row_##real}

#endif
