/* conv_grad_w.h: how the gradient of a convolution's weights is cut.
 *
 *   dw[o][kh][kw][c] = the sum over images and output pixels (i, j) of
 *                      dy[i][j][o] * x[i * stride + kh * dilation - pad][j * stride + kw * dilation - pad][c]
 *
 * is a product of matrices with as many steps as there are output pixels. Strips of x are copied, with their
 * padding, into blocks of about a vector of channels: there the elements (kw, c) that an output pixel meets in
 * one row of x lie one after another, a run. Tiles of some outputs and a run take a step for each output pixel
 * of the strip, whose rows are their taps, once for every row of the kernel.
 *
 * A task has some of the outputs and channels of a group, and of the pixels a part: some of the strips, one
 * after another, summed in one place. The sums of the parts are added at the end. */
#ifndef FNN_OPS_CONV_GRAD_W_H
#define FNN_OPS_CONV_GRAD_W_H

#include "conv.h"

/* Rows of output pixels in a strip, all its images together, at most. */
#define FNN_GRAD_W_TAPS 256

/* Parts, at most: as many rows as a kernel adds up at once. */
#define FNN_GRAD_W_PARTS 32

typedef struct {
  const fnn_kernels *kernels;
  const char *x, *dy;
  char *dw;
  int64_t size, lanes;
  int64_t images, groups, channels, outputs; /* of a group */
  int64_t in[2], out[2], kernel[2], stride[2], pad[2], dilation[2];
  int64_t x_step[4], dy_step[3]; /* in elements: image, row, pixel, channel */
  int turned;         /* a tile's vectors are outputs and its rows a run, or the other way */
  int in_place;       /* runs are read where x lies */
  int pack_dy;        /* into panels of `rows` outputs */
  int direct;         /* a part is laid out as dw is; else see grad_w_place */
  int64_t run, runs;  /* elements of the kernel's row in a run, runs of a row: one of them is 1 */
  int64_t block;      /* channels of a block, but for the last */
  int64_t rows, cols; /* of a tile, cols in vectors */
  int64_t o_each, o_tasks; /* outputs of a task, tasks of a group */
  int64_t c_each, c_tasks; /* channels of a task, whole blocks; tasks of a group */
  int64_t parts, tasks;
  int ahead[2]; /* strips of x, of dy lie in one piece, which is read by one task alone */
  int64_t strip[3], strips[3]; /* images, rows and columns of output pixels; how many of each */
  int64_t x_bytes, dy_bytes;   /* of a thread's copies */
  int64_t part_bytes;          /* of a part in the workspace, 0 where the only one is dw */
} fnn_grad_w;

/* Some output pixels. */
typedef struct {
  int64_t first[3], count[3]; /* of images, rows and columns */
} fnn_grad_w_strip;

/* Rows or columns of x that meet n of the output, from the first to the last. */
static inline int64_t fnn_grad_w_reach(const fnn_grad_w *g, int axis, int64_t n) {
  return (n - 1) * g->stride[axis] + (g->kernel[axis] - 1) * g->dilation[axis] + 1;
}

/* What a convolution of at least one product computes, and how it is cut: from shapes and strides alone.
 * Returns 0 where sizes are beyond any memory. */
int fnn_grad_w_prepare(const fnn_conv *conv, fnn_grad_w *g);

/* Channels [c, c + count) of x, which lie side by side in all dimensions of x, with padding, in blocks one after
 * another: to[image][row][column][channel of the block]. `clean` tells that the padding is there already. */
void fnn_grad_w_pack_x(const fnn_grad_w *g, const fnn_grad_w_strip *s, int64_t c, int64_t count,
                       int clean, char *to);

/* Where the number for each pixel of a strip of dy lies. */
typedef struct {
  const char *data;
  int64_t step[3]; /* image, row, pixel */
  int64_t panel;   /* from `rows` outputs to the next, in elements */
} fnn_grad_w_dy;

/* Outputs [o, o + count) of dy in panels, in `to`, or where they are. */
fnn_grad_w_dy fnn_grad_w_read_dy(const fnn_grad_w *g, const fnn_grad_w_strip *s, int64_t o,
                                 int64_t count, char *to);

/* The sum of all parts to dw: this thread's share. */
void fnn_grad_w_sum(const fnn_grad_w *g, char *parts, const fnn_team *team);

/* Elements from the beginning of a part to what a task writes: output o of a group (and column c of the tile's
 * run) for block `first` of channels and the kernel's element (row, col). */
static inline int64_t fnn_grad_w_place(const fnn_grad_w *g, int64_t group, int64_t o, int64_t first,
                                       int64_t row, int64_t col) {
  int64_t kernel = g->kernel[0] * g->kernel[1], begin = group * g->outputs * kernel * g->channels;
  if (g->direct) return begin + (o * kernel + row * g->kernel[1] + col) * g->channels + first;
  if (g->turned) return begin + (row * g->kernel[1] + col) * g->channels * g->outputs + o;
  int64_t width = g->channels - first < g->block ? g->channels - first : g->block;
  return begin + kernel * g->outputs * first + (row * g->outputs + o) * g->run * width;
}

#endif
