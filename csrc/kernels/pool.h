/* pool.h: kernels of pooling, of one row of windows, on images whose channels lie side by side.
 *
 * The place of a maximum is the number of its tap in the window: row * width + column. Places are bytes, or
 * int32 (`wide`) where a window has more than FNN_POOL_PLACES taps. The first of equals wins, and the last NaN, as
 * in PyTorch. */
#ifndef FNN_KERNELS_POOL_H
#define FNN_KERNELS_POOL_H

#include <stdint.h>

#define FNN_POOL_PLACES 256

/* Windows side by side that have the same taps, rows * cols of them, at even distances; counted in elements. */
typedef struct {
  int64_t rows, cols, row_step, col_step; /* taps, and from one to the next */
  int64_t pixels, pixel_step;             /* windows, and from one to the next */
  int64_t channels;
  int64_t place, place_row; /* of the first tap, and from one row of taps to the next */
} fnn_pool_windows;

/* What a pixel of dx may get from one window. */
typedef struct {
  int64_t at;    /* the window, in elements of dy from the first */
  int64_t place; /* of the tap that lies on the pixel */
} fnn_pool_term;

/* Pixels of dx, the same distances apart as their windows are; counted in elements. */
typedef struct {
  int64_t pixels, pixel_step, window_step, channels, terms;
  const fnn_pool_term *term;
} fnn_pool_pixels;

typedef struct {
  /* y[pixels][channels] = the largest of each window, -inf where it has no taps; places, which may be NULL. */
  void (*max)(const fnn_pool_windows *w, const void *x, void *y, void *places, int wide);
  /* The sum times `scale`. */
  void (*average)(const fnn_pool_windows *w, double scale, const void *x, void *y);
  /* Windows that do not overlap: dx = dy at the place, 0 at the other taps. Where y is not NULL, dy counts
   * only where y > 0 (or is NaN): the gradient of max_pool(relu(x)). */
  void (*max_apart)(const fnn_pool_windows *w, const void *dy, const void *places, int wide,
                    const void *y, void *dx);
  /* dx = the sum of dy where its place is the term's, or dx += with `add`; y as above. */
  void (*spread)(const fnn_pool_pixels *pixels, const void *dy, const void *places, int wide,
                 const void *y, int add, void *dx);
  /* y = weight times the sum of x at the terms, whatever their places, or y += with `add`. */
  void (*blend)(const fnn_pool_pixels *pixels, double weight, const void *x, int add, void *y);
} fnn_pool_kernels;

#define FNN_POOL_KERNELS(real)         \
  {.max = pool_max_##real,             \
   .average = pool_average_##real,     \
   .max_apart = pool_max_apart_##real, \
   .spread = pool_spread_##real,       \
   .blend = pool_blend_##real}

#endif
