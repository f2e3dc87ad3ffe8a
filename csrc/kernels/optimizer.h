/* optimizer.h: the kernels of the optimizer family, one struct a real type. */
#ifndef FNN_KERNELS_OPTIMIZER_H
#define FNN_KERNELS_OPTIMIZER_H

#include <stdint.h>

typedef struct {
  int unused;
} fnn_optimizer_kernels;

#define FNN_OPTIMIZER_KERNELS(real) {0}

#endif
