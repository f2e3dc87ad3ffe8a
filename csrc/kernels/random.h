/* random.h: the kernels of the random family, one struct a real type. */
#ifndef FNN_KERNELS_RANDOM_H
#define FNN_KERNELS_RANDOM_H

#include <stdint.h>

typedef struct {
  int unused;
} fnn_random_kernels;

#define FNN_RANDOM_KERNELS(real) {0}

#endif
