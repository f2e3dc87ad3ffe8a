/* gemm.h: the kernels of the gemm family, one struct a real type. */
#ifndef FNN_KERNELS_GEMM_H
#define FNN_KERNELS_GEMM_H

#include <stdint.h>

typedef struct {
  int unused;
} fnn_gemm_kernels;

#define FNN_GEMM_KERNELS(real) {0}

#endif
