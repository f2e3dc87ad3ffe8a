/* conv.h: tiles that only a convolution has; most of its work is done by those of the gemm family. */
#ifndef FNN_KERNELS_CONV_H
#define FNN_KERNELS_CONV_H

#include "gemm.h"

typedef struct {
  /* Tiles of one vector under kernels of three elements in a row, by rows - slide_least, up to slide_rows:
   *
   *   c[i][j] = sum over taps, p < k, v < 3 of a[(i + v) * a_row + p] * b[(v * k + p) * b_step + j]
   *
   * plus add, as a tile of the gemm family has it (a_step counts as 1); per p, v runs from 0. NULL for double. */
  int slide_least, slide_rows;
  const fnn_gemm_kernel *slide;
} fnn_conv_kernels;

#define FNN_CONV_KERNELS_f32 \
  {.slide_least = CONV_SLIDE_LEAST, .slide_rows = CONV_SLIDE_ROWS, .slide = conv_slide_f32}
#define FNN_CONV_KERNELS_f64 {.slide = NULL}
#define FNN_CONV_KERNELS(real) FNN_CONV_KERNELS_##real

#endif
