/* conv_direct.h: a convolution cut into tiles of sums over taps.
 *
 * One text for forward and data gradient: `in` is what is read (x, or dy), `out` what is written (y, or dx).
 * Along each of the two axes, pixel i of a phase of the output lies at start + i * spread and reads pixels
 * i * advance + offset + t * offset_step of the input for taps t < count. Forward there is one phase; the
 * gradient of stride s has s on each axis, in which the taps that meet a pixel are the same for all. */
#ifndef FNN_OPS_CONV_DIRECT_H
#define FNN_OPS_CONV_DIRECT_H

#include "conv.h"

typedef struct {
  int64_t start, pixels; /* of the output */
  int64_t first, step;   /* of the kernel's element that is tap 0, and from one tap to the next */
  int64_t count, offset, offset_step;
} fnn_conv_axis;

/* Weights in panels of `width` outputs. In a panel lie, for each element of the kernel, for each channel of
 * the input, the numbers of its outputs. Of the gradient the elements of a row are turned, so that its taps come
 * from left to right. */
typedef struct {
  const fnn_kernels *kernels;
  int64_t size;
  int possible; /* whether there could be memory for them; if not, panel_elements is 0 */
  int turned;   /* for the gradient of x */
  const char *data;
  int64_t groups, kernel[2];
  int64_t channels, outputs;                      /* that are read and made, in one group */
  int64_t group_step, out_step, in_step, step[2]; /* strides of elements */
  int64_t width, panels;                          /* panels of one group */
  int64_t panel_elements;
} fnn_conv_weights;

fnn_conv_weights fnn_conv_weights_of(const fnn_conv *conv);
void fnn_conv_pack_panel(const fnn_conv_weights *weights, int64_t number, char *to);

/* How dot products are arranged in tiles, where they are what is computed (conv_dots.c). */
typedef enum {
  CONV_DOTS_NONE,
  CONV_DOTS_DOWN, /* rows are pixels, columns outputs */
  CONV_DOTS_ALONG /* of one output, whose pixels lie side by side and are columns */
} fnn_conv_dots_way;

typedef struct {
  fnn_conv_weights weights;
  const fnn_kernels *kernels;
  int64_t size;
  int grad; /* of x: kernels are turned */
  int flat; /* all pixels are one row: see fnn_conv_flatten */
  const char *in, *bias;
  char *out;
  int64_t images, groups;
  int64_t in_size[2], out_size[2], kernel[2], stride[2], pad[2], dilation[2];
  int64_t channels, outputs;                /* of in and out, in one group */
  int64_t in_image, in_step[2], in_channel; /* strides in elements */
  int64_t advance[2], spread[2], phases[2];
  int64_t span[2]; /* pixels of the input from the first to the last tap, at most */
  int64_t width, panels, panel_elements; /* of the weights */
  int64_t height;                        /* pixels of a tile */
  int slide; /* whether tiles of enough pixels are those that slide along a row: kernels/conv.h */
  fnn_conv_dots_way dots;
  int64_t block;        /* panels that stay in L2 */
  int64_t strip[2];     /* output pixels of a task, by rows and columns of a phase */
  int64_t strip_bytes;  /* of the padded copy of the input that a task makes */
  int64_t list_bytes;   /* of its taps */
  int64_t packed_bytes; /* of the weights in the workspace, 0 where they come packed */
} fnn_conv_direct;

/* Phase i of an axis, 0 <= i < spread. */
fnn_conv_axis fnn_conv_phase(const fnn_conv_direct *d, int axis, int64_t i);

/* Everything but the cut for threads. Returns 0 where sizes are beyond any memory. */
int fnn_conv_direct_prepare(const fnn_conv *conv, fnn_conv_direct *d);

/* Some pixels, which tile's a and c are at, of a group's outputs of a block, by dot products. `panels` and `bias`
 * (or NULL) are those of the group. */
void fnn_conv_dots_tile(const fnn_conv_direct *d, const char *panels, fnn_range outputs,
                        int64_t pixels, const char *bias, fnn_gemm_tile *tile);

#endif
