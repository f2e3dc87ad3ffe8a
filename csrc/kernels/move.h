/* move.h: the kernels of the move family, one struct a real type. */
#ifndef FNN_KERNELS_MOVE_H
#define FNN_KERNELS_MOVE_H

#include <stdint.h>

typedef struct {
  int unused;
} fnn_move_kernels;

#define FNN_MOVE_KERNELS(real) {0}

#endif
