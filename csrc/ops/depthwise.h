/* depthwise.h: convolutions of groups of few channels.
 *
 * Such a convolution is computed channel by channel of what it makes, `out`, vectors along channels. Where a
 * group has one channel of what is read, `in`, and one of `out`, channel o of out reads channel o of in, where it
 * lies. Any other group is spread first: an input of several planes is made of in, piece by piece, in which
 * channel o of plane j is what out's channel o reads of its group's j-th channel; the kernel then sums over planes
 * as it does over taps. In conv_grad_x, in is dy and out is dx. */
#ifndef FNN_OPS_DEPTHWISE_H
#define FNN_OPS_DEPTHWISE_H

#include "conv.h"

/* The outputs of one axis, those that are met by the same taps: output i, at begin + i * step, has its tap t
 * at first + i * move + t * tap of the input; that is element w_first + t * w_step of the kernel, whose elements
 * are turned round in conv_grad_x. Forward all outputs are one phase, in conv_grad_x there are `stride` of them. */
typedef struct {
  int64_t begin, step, count;
  int64_t first, move, tap;
  int64_t taps, w_first, w_step;
} fnn_depthwise_phase;

typedef struct {
  const fnn_kernels *kernels;
  int64_t size; /* bytes of an element */
  int grad_x;
  fnn_array in, w, bias, out;
  int64_t images, in_size[2], out_size[2], kernel[2], stride[2], pad[2], dilation[2];
  int64_t groups, in_group, channels; /* groups, channels of one in `in`, channels of `out` */
  int64_t planes;                     /* that the kernel sums over */
  int spread;
  int far; /* in and out are larger than what is likely to be in a cache: what comes next is asked for */
  int64_t block;                      /* channels at a time */
  int64_t strip, strips;              /* rows of out of a task, tasks of an image */
  int64_t weights_bytes, index_bytes; /* of the workspace */
  int64_t spread_rows, spread_bytes;  /* of a thread's planes */
} fnn_depthwise;

/* A piece of what is read: of one image, some channels of out. */
typedef struct {
  const char *data; /* row `row` of in, column 0, plane 0 */
  int64_t row, x_row, x_col, x_plane;
} fnn_depthwise_source;

/* Whether a group has so few channels that this is the way, in all three directions alike. */
int fnn_depthwise_pays(const fnn_conv *conv);

/* conv, conv_chain, conv_grad_x; something is made. */
void fnn_depthwise_plan(const fnn_conv *conv, fnn_plan *plan);
void fnn_depthwise_run(const fnn_conv *conv, const fnn_chain *chain, fnn_team *team);

/* conv_grad_w of at least one product: x is read, y is dy, w is dw. */
void fnn_depthwise_grad_w_plan(const fnn_conv *conv, fnn_plan *plan);
void fnn_depthwise_grad_w_run(const fnn_conv *conv, fnn_team *team);

/* --- depthwise_shape.c: what they share --- */

/* All but the cut of conv_grad_w. */
fnn_depthwise fnn_depthwise_of(const fnn_conv *conv, int grad_x);

/* The phase of output `at` of an axis. */
fnn_depthwise_phase fnn_depthwise_phase_of(const fnn_depthwise *d, int axis, int64_t at);

/* The index of each channel of out's place in each plane, in the workspace's `index`. */
void fnn_depthwise_make_index(const fnn_depthwise *d, int64_t *index);

/* The rows of in, of image n, that the rows of out from `row` read, for n channels from c: where they lie, or
 * spread to `room`. */
fnn_depthwise_source fnn_depthwise_read(const fnn_depthwise *d, int64_t n, int64_t row,
                                        int64_t rows, int64_t c, int64_t channels,
                                        const int64_t *index, char *room);

/* What the kernel may ask for: the rows of in that out's next row needs and `line`'s does not, and that row. */
void fnn_depthwise_look_ahead(const fnn_depthwise *d, const fnn_depthwise_source *from, int64_t row,
                              fnn_depthwise_line *line);

/* The kernel's arguments for output row `row` of a phase of columns, but for channels and what belongs to them.
 * Weights lie as (KH, planes, KW, channels of out). */
fnn_depthwise_line fnn_depthwise_line_of(const fnn_depthwise *d, const fnn_depthwise_source *from,
                                         int64_t row, const fnn_depthwise_phase *columns, char *w);

#endif
