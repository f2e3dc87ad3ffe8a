/* norm.h: the kernels of the norm family, one struct a real type. */
#ifndef FNN_KERNELS_NORM_H
#define FNN_KERNELS_NORM_H

#include <stdint.h>

typedef struct {
  int unused;
} fnn_norm_kernels;

#define FNN_NORM_KERNELS(real) {0}

#endif
