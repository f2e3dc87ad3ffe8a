/* reduce.h: the kernels of the reduce family, one struct a real type. */
#ifndef FNN_KERNELS_REDUCE_H
#define FNN_KERNELS_REDUCE_H

#include <stdint.h>

typedef struct {
  int unused;
} fnn_reduce_kernels;

#define FNN_REDUCE_KERNELS(real) {0}

#endif
