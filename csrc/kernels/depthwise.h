/* depthwise.h: kernels of convolutions whose output channel i reads input channel i, each from one plane of the
 * input or from several (see ops/depthwise.c), by lines: the pixels of one row of the output. */
#ifndef FNN_KERNELS_DEPTHWISE_H
#define FNN_KERNELS_DEPTHWISE_H

#include <stdint.h>

/* A line. Pixel p's tap t lies in column first + p step + t tap of x; taps in columns outside 0 to width - 1
 * meet zeros. Channels lie side by side everywhere; x_col, w_tap and the like count elements. */
typedef struct {
  int64_t channels, pixels;
  int64_t rows, planes,
      taps; /* of the kernel, as many as lie within x; taps are those along a row */
  int64_t first, width, step, tap;
  const void *x; /* the first of the rows, its column 0 */
  int64_t x_col, x_plane, x_row;
  void *w; /* read by `line`, added to by `grad` */
  int64_t w_tap, w_plane, w_row;
  const void *bias; /* or NULL */
  void *y;          /* written by `line`, read by `grad` */
  int64_t y_col;
  /* Rows of x, column 0 of each, and one of y that will be wanted for the next line, or NULL: they are
   * prefetched, as the hardware does not see such an order coming. */
  const void *next_x, *next_y;
  int64_t next_rows, next_row; /* how many, and elements from one to the next */
} fnn_depthwise_line;

typedef struct {
  /* y = the sum over rows, planes and taps, in this order from 0, of x w; then plus bias. */
  void (*line)(const fnn_depthwise_line *line);
  /* w += the sums over pixels of x y. */
  void (*grad)(const fnn_depthwise_line *line);
  /* y[col * y_col + i] = x[col * x_col + index[i]] for i < n, col < cols. The indices are below `limit`, as
   * far as x may be read. */
  void (*spread)(int64_t cols, int64_t n, const int64_t *index, int64_t limit, const void *x,
                 int64_t x_col, void *y, int64_t y_col);
} fnn_depthwise_kernels;

#define FNN_DEPTHWISE_KERNELS(real) \
  {.line = depth_line_##real, .grad = depth_grad_##real, .spread = depth_spread_##real}

#endif
