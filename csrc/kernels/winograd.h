/* winograd.h: the transforms of Winograd's short convolutions (Lavin and Gray, 2016), for 3x3 windows.
 *
 * A tile of m x m outputs reads a x a inputs, a = m + 2. Its correlation with 3x3 weights is
 *
 *   y = A^T [(G w G^T) * (B^T x B)] A
 *
 * with * element by element, a * a products instead of 9 m m. Summed over channels, each of the a * a
 * elements is a product of matrices, which ops/winograd.c leaves to gemm's tiles. The gradient of the weights
 * is the correlation of a x a inputs with m x m gradients: the same B, with `gradient` for G and `taps` for A.
 *
 * All work on n channels side by side, at consecutive addresses. Strides count elements. What is transformed
 * lies in planes, element t = row * a + column of it at t * step. */
#ifndef FNN_KERNELS_WINOGRAD_H
#define FNN_KERNELS_WINOGRAD_H

#include <stdint.h>

/* Rows and columns of a tile, each from the first to before the last. */
typedef struct {
  int top, bottom, left, right;
} fnn_winograd_box;

typedef struct {
  int m, a;
  /* a x a inputs -> planes. x is that of the first row and column `inside`; the others are zeros. */
  void (*input)(int64_t n, const void *x, int64_t x_row, int64_t x_col, fnn_winograd_box inside,
                void *planes, int64_t step);
  /* 3 x 3 taps, one w_step after another -> planes */
  void (*weights)(int64_t n, const void *w, int64_t w_step, void *planes, int64_t step);
  /* planes -> the first rows x cols of m x m outputs, plus bias unless it is NULL */
  void (*output)(int64_t n, const void *planes, int64_t step, const void *bias, int rows, int cols,
                 void *y, int64_t y_row, int64_t y_col);
  /* m x m gradients of outputs, zeros but for the first rows x cols -> planes */
  void (*gradient)(int64_t n, const void *dy, int64_t dy_row, int64_t dy_col, int rows, int cols,
                   void *planes, int64_t step);
  /* planes -> 3 x 3 gradients of weights, one dw_step after another */
  void (*taps)(int64_t n, const void *planes, int64_t step, void *dw, int64_t dw_step);
} fnn_winograd_way;

enum { FNN_WINOGRAD_WAYS = 2 };

typedef struct {
  fnn_winograd_way way[FNN_WINOGRAD_WAYS]; /* m = 2, m = 4 */
} fnn_winograd_kernels;

#define FNN_WINOGRAD_WAY(M, real)              \
  {.m = M,                                     \
   .a = M + 2,                                 \
   .input = winograd_input_##M##_##real,       \
   .weights = winograd_weights_##M##_##real,   \
   .output = winograd_output_##M##_##real,     \
   .gradient = winograd_gradient_##M##_##real, \
   .taps = winograd_taps_##M##_##real}
#define FNN_WINOGRAD_KERNELS(real)                                  \
  {                                                                 \
    .way = { FNN_WINOGRAD_WAY(2, real), FNN_WINOGRAD_WAY(4, real) } \
  }

#endif
