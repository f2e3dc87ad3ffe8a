/* conv_dots.c: convolutions that make few channels, element by element as dot products.
 *
 * The tiles of conv_direct.c have vectors of the channels that are made; three of them leave most of a vector idle.
 * Here vectors run along what is read, the KW pixels of C channels under a row of the kernel, and a tile is some
 * pixels by some outputs, whose sums are folded at the end. Strips, taps, phases and tasks are those of
 * conv_direct.c. */
#include <string.h>

#include "conv_direct.h"

/* Cycles of a core for each pixel, both ways: a vector of products in each, folding a sum, beginning a tile. */
#define VECTOR 0.6
#define FOLD 2.0
#define BEGIN 10.0

int fnn_conv_dots(int dtype, int64_t outputs, int64_t channels, const int64_t kernel[2]) {
  int64_t lanes = fnn_kernels_of(dtype)->lanes, taps = kernel[0] * kernel[1];
  if (outputs > lanes || taps * channels > FNN_CONV_MOST) return 0;
  int64_t runs = channels < lanes ? kernel[0] : taps;
  int64_t vectors = runs * ceil_div(taps / runs * channels, lanes);
  double dots = BEGIN + (double)outputs * (VECTOR * (double)vectors + FOLD);
  return dots < VECTOR * (double)(taps * channels);
}

/* Pixels of one output that lie side by side are the columns of a tile, which has more of these than rows. */
static void pixels_along(const fnn_conv_direct *d, const char *panel, int64_t pixels,
                         const char *bias, fnn_gemm_tile *tile) {
  double spread[16];
  char *to = (char *)spread;
  tile->b = tile->a;
  tile->a = panel;
  if (bias)
    for (int64_t i = 0; i < at_most(pixels, 16); i++)
      memcpy(to + i * d->size, bias, (size_t)d->size);
  tile->add = bias ? spread : NULL;
  d->kernels->gemm.dot_wide[pixels - 1](tile);
}

void fnn_conv_dots_tile(const fnn_conv_direct *d, const char *panels, fnn_range outputs,
                        int64_t pixels, const char *bias, fnn_gemm_tile *tile) {
  const fnn_gemm_kernels *gemm = &d->kernels->gemm;
  char *to = tile->c;
  int64_t panel = d->panel_elements * d->size;
  if (d->dots == CONV_DOTS_ALONG) {
    pixels_along(d, panels, pixels, bias, tile);
    return;
  }
  for (int64_t j = outputs.begin; j < outputs.end; j += gemm->dot_cols) {
    int64_t n = at_most(gemm->dot_cols, outputs.end - j);
    tile->b = panels + j * panel;
    tile->c = to + j * d->size;
    tile->add = bias ? bias + j * d->size : NULL;
    gemm->dot[(pixels - 1) * gemm->dot_cols + n - 1](tile);
  }
}
