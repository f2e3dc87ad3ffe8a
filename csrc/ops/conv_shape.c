/* conv_shape.c: how a convolution is cut: phases of the output, panels of weights, strips of the input. All of
 * it follows from shapes and strides alone. */
#include "conv_direct.h"

/* A block of panels stays in L2 while strips of the input pass, beside one of them and what it makes. */
#define BLOCK_BYTES (592 << 10)
#define STRIP_BYTES (128 << 10)
/* Tasks that images of one row are cut into where they can be, and tiles of each, at least. */
#define ROW_TASKS 48
#define LEAST_TILES 4
/* Where few channels are made a row costs little more than to copy it, and there is no block of panels. */
#define DOTS_STRIP_BYTES (384 << 10)

/* n cut into as few equal pieces of at most `most` as can be, each a multiple of `unit`. */
static int64_t even(int64_t n, int64_t most, int64_t unit) {
  int64_t pieces = at_least(1, ceil_div(n, at_least(most, unit)));
  return at_least(1, ceil_div(ceil_div(n, pieces), unit) * unit);
}

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

fnn_conv_axis fnn_conv_phase(const fnn_conv_direct *d, int axis, int64_t i) {
  int64_t kernel = d->kernel[axis], stride = d->stride[axis], dilation = d->dilation[axis];
  fnn_conv_axis a = {.start = i, .pixels = d->out_size[axis], .step = 1, .count = kernel};
  if (!d->grad) {
    a.offset = -d->pad[axis];
    a.offset_step = dilation;
    return a;
  }
  /* Element e of the kernel took pixel x to pixel (x + pad - e dilation) / stride of the output, where that
   * is whole: the last such e is the tap that comes from the left. */
  int64_t common = common_divisor(dilation, stride);
  a.pixels = ceil_div(at_least(0, d->out_size[axis] - i), stride);
  a.step = -(stride / common);
  a.offset_step = dilation / common;
  for (a.first = kernel - 1; a.first >= 0; a.first--)
    if ((i + d->pad[axis] - a.first * dilation) % stride == 0) break;
  a.count = a.first < 0 ? 0 : a.first / -a.step + 1;
  a.offset = a.first < 0 ? 0 : (i + d->pad[axis] - a.first * dilation) / stride;
  return a;
}

/* What is read and what is written. */
static void conv_direction(const fnn_conv *given, fnn_conv_direct *d) {
  fnn_conv flat = *given, *conv = &flat;
  d->flat = fnn_conv_is_flat(given);
  if (d->flat) fnn_conv_flatten(&flat);
  d->images = conv->images;
  d->grad = conv->op == FNN_OP_conv_grad_x;
  const fnn_array *in = d->grad ? &conv->y : &conv->x, *out = d->grad ? &conv->x : &conv->y;
  d->in = in->data;
  d->out = out->data;
  d->bias = fnn_present(&conv->bias) ? conv->bias.data : NULL;
  d->in_image = in->stride[0];
  d->in_channel = in->stride[3];
  for (int i = 0; i < 2; i++) {
    d->in_step[i] = in->stride[1 + i];
    d->in_size[i] = in->shape[1 + i];
    d->out_size[i] = out->shape[1 + i];
    d->kernel[i] = conv->kernel[i];
    d->stride[i] = conv->stride[i];
    d->pad[i] = conv->pad[i];
    d->dilation[i] = conv->dilation[i];
    d->advance[i] = d->grad ? 1 : conv->stride[i];
    d->spread[i] = d->grad ? conv->stride[i] : 1;
    d->phases[i] = at_most(d->spread[i], d->out_size[i]);
    d->span[i] = (conv->kernel[i] - 1) * conv->dilation[i] / d->spread[i] + 1;
  }
}

/* Input pixels under n pixels of a phase. */
static int64_t conv_under(const fnn_conv_direct *d, int axis, int64_t n) {
  return (n - 1) * d->advance[axis] + d->span[axis];
}

/* Strips of the input that fit their place in L2, but one tile at least. */
static void conv_cut_strips(fnn_conv_direct *d, int64_t cols, int64_t rows) {
  int64_t pixel = at_least(1, d->channels * d->size);
  int64_t bytes = d->dots ? DOTS_STRIP_BYTES : STRIP_BYTES;
  int64_t deep = at_most(at_least(1, d->in_size[0]), d->span[0]);
  int64_t wide = bytes / pixel / deep;
  int64_t most = wide < d->span[1] ? 1 : (wide - d->span[1]) / d->advance[1] + 1;
  if (rows == 1) { /* which cannot be cut along the other axis */
    int64_t others = d->images * d->groups * d->phases[0] * d->phases[1];
    int64_t share = ceil_div(cols, ceil_div(ROW_TASKS, others * ceil_div(d->panels, d->block)));
    most = at_most(most, at_least(LEAST_TILES * d->height, share));
  }
  d->strip[1] = cols <= most ? cols : at_most(cols, even(cols, most, d->height));
  int64_t row = at_least(1, conv_under(d, 1, d->strip[1]) * pixel);
  int64_t high = bytes / row;
  most = high < d->span[0] ? 1 : (high - d->span[0]) / d->advance[0] + 1;
  d->strip[0] = even(rows, most, 1);
}

int fnn_conv_direct_prepare(const fnn_conv *conv, fnn_conv_direct *d) {
  *d = (fnn_conv_direct){.kernels = fnn_kernels_of(conv->dtype),
                         .size = fnn_itemsize(conv->dtype),
                         .groups = conv->groups};
  conv_direction(conv, d);
  d->weights = fnn_conv_weights_of(conv);
  d->channels = d->weights.channels;
  d->outputs = d->weights.outputs;
  d->width = d->weights.width;
  d->panels = d->weights.panels;
  d->panel_elements = d->weights.panel_elements;
  int64_t cols = ceil_div(d->out_size[1], d->spread[1]);
  int64_t rows = ceil_div(d->out_size[0], d->spread[0]);
  if (d->width == 1)
    d->dots = d->groups * d->outputs * d->spread[1] == 1 ? CONV_DOTS_ALONG : CONV_DOTS_DOWN;
  d->slide = d->kernels->conv.slide && d->width == d->kernels->lanes && d->kernel[1] == 3 &&
             d->stride[1] == 1 && d->dilation[1] == 1;
  const fnn_gemm_kernels *gemm = &d->kernels->gemm;
  d->height = even(cols,
                   d->dots == CONV_DOTS_ALONG      ? gemm->dot_wide_cols
                   : d->dots                       ? gemm->dot_rows
                   : d->slide                      ? d->kernels->conv.slide_rows
                   : d->width == d->kernels->lanes ? gemm->single_rows
                                                   : gemm->direct_rows,
                   1);
  double deep = (double)at_most(at_least(1, d->in_size[0]), d->span[0]);
  double wide = (double)(d->height * d->advance[1] + d->span[1]);
  if (!d->weights.possible || deep * wide * (double)d->channels > FNN_CONV_LIMIT) return 0;
  d->block = even(d->panels, BLOCK_BYTES / at_least(1, d->panel_elements * d->size), 1);
  conv_cut_strips(d, cols, rows);
  int64_t under = at_most(d->in_size[0], conv_under(d, 0, d->strip[0]));
  int64_t taps = d->kernel[0] * d->kernel[1];
  d->strip_bytes = ceil_div(under * conv_under(d, 1, d->strip[1]) * d->channels * d->size, 64) * 64;
  d->list_bytes = ceil_div(taps * (int64_t)sizeof(fnn_gemm_tap), 64) * 64;
  d->packed_bytes =
      conv->packed ? 0 : ceil_div(d->groups * d->panels * d->panel_elements * d->size, 64) * 64;
  return 1;
}
