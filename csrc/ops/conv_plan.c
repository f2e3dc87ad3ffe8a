/* conv_plan.c: whether a convolution is one, which way it goes, and what it costs. */
#include "depthwise.h"

#include <stdatomic.h>

int64_t fnn_conv_threads(void) {
  static atomic_int cores;
  if (!atomic_load_explicit(&cores, memory_order_relaxed)) atomic_store(&cores, fnn_cores());
  return at_least(atomic_load_explicit(&cores, memory_order_relaxed), fnn_threads());
}

/* Which array is which, by op. */
static void conv_arrays(const fnn_call *call, fnn_conv *c) {
  const fnn_array *a = call->arrays;
  static const fnn_array none = {.ndim = -1};
  c->op = call->op;
  c->bias = none;
  if (c->op == FNN_OP_conv_grad_x) {
    c->y = a[0], c->w = a[1], c->bias = a[2], c->x = a[3];
  } else if (c->op == FNN_OP_conv_grad_w) {
    c->x = a[0], c->y = a[1], c->w = a[2];
  } else {
    c->x = a[0], c->w = a[1], c->bias = a[2], c->y = a[c->op == FNN_OP_conv ? 3 : 7];
  }
}

static fnn_status conv_scalars(const fnn_call *call, fnn_conv *c, fnn_failure *why) {
  const fnn_scalar *s = call->scalars;
  for (int i = 0; i < 2; i++) {
    c->stride[i] = s[FNN_CONV_STRIDE + i].i;
    c->pad[i] = s[FNN_CONV_PAD + i].i;
    c->dilation[i] = s[FNN_CONV_DILATION + i].i;
    if (c->stride[i] < 1 || c->stride[i] > FNN_CONV_MOST || c->dilation[i] < 1 ||
        c->dilation[i] > FNN_CONV_MOST || c->pad[i] < 0 || c->pad[i] > FNN_CONV_MOST)
      return fnn_fail(why, FNN_ERR_VALUE,
                      "convolution: stride and dilation must be 1 or more, padding 0 or more");
  }
  c->groups = s[FNN_CONV_GROUPS].i;
  c->ways = (unsigned)s[FNN_CONV_WAYS].i;
  return FNN_OK;
}

/* The axis along which the pixels of a flat convolution lie evenly. */
static int conv_along(const fnn_array *a) { return a->shape[2] > 1 ? 2 : a->shape[1] > 1 ? 1 : 0; }

int fnn_conv_is_flat(const fnn_conv *c) {
  const fnn_array *in = c->op == FNN_OP_conv_grad_x ? &c->y : &c->x;
  if (c->groups != 1) return 0;
  for (int i = 0; i < 2; i++)
    if (c->kernel[i] != 1 || c->stride[i] != 1 || c->pad[i] || c->in[i] != c->out[i]) return 0;
  int64_t step = in->stride[conv_along(in)]; /* an axis of one element may have any stride */
  return (in->shape[1] == 1 || in->stride[1] == in->shape[2] * step) &&
         (in->shape[0] == 1 || in->stride[0] == in->shape[1] * in->shape[2] * step);
}

void fnn_conv_flatten(fnn_conv *c) {
  fnn_array *both[] = {&c->x, &c->y};
  int64_t pixels = c->images * c->in[0] * c->in[1];
  for (int i = 0; i < 2; i++) {
    both[i]->stride[2] = both[i]->stride[conv_along(both[i])];
    both[i]->shape[0] = both[i]->shape[1] = 1;
    both[i]->shape[2] = pixels;
  }
  c->images = c->in[0] = c->out[0] = 1;
  c->in[1] = c->out[1] = pixels;
}

int fnn_conv_even(const fnn_array *a, int64_t *length, int64_t *step) {
  *length = 1;
  *step = 1;
  for (int i = 3; i > 0; i--) {
    if (a->shape[i] != 1 && *length == 1) *step = a->stride[i];
    if (a->shape[i] != 1 && a->stride[i] != *length * *step) return 0;
    *length *= a->shape[i];
    if (*length < 1 || *length > FNN_CONV_MOST) return 0;
  }
  return 1;
}

/* Whether the kernel is as large as the image, which has then one place for it, and both lie evenly. */
static int conv_is_whole(const fnn_conv *c) {
  int64_t image, weights, step;
  if (c->groups != 1 || c->kernel[0] * c->kernel[1] == 1) return 0;
  for (int i = 0; i < 2; i++)
    if (c->kernel[i] != c->in[i] || c->out[i] != 1 || c->pad[i] ||
        (c->kernel[i] > 1 && c->dilation[i] != 1))
      return 0;
  return fnn_conv_even(&c->x, &image, &step) &&
         (c->packed ? c->w.ndim == 1 : fnn_conv_even(&c->w, &weights, &step));
}

void fnn_conv_fold(fnn_array *a) {
  int64_t length, step;
  fnn_conv_even(a, &length, &step);
  a->shape[1] = a->shape[2] = 1;
  a->shape[3] = length;
  a->stride[3] = step;
}

/* The same convolution with every element of an image a channel of its one pixel. */
static void conv_fold(fnn_conv *c) {
  fnn_conv_fold(&c->x);
  if (!c->packed) fnn_conv_fold(&c->w);
  c->channels = c->x.shape[3];
  for (int i = 0; i < 2; i++) c->in[i] = c->kernel[i] = c->stride[i] = c->dilation[i] = 1;
}

/* The shape of what conv_pack makes, see conv_pack.c, is checked against this. */
static int conv_packed_fits(const fnn_conv *c) {
  int grad = c->op == FNN_OP_conv_grad_x;
  int64_t read = (grad ? c->outputs : c->channels) / c->groups;
  int64_t made = (grad ? c->channels : c->outputs) / c->groups;
  int64_t width =
      fnn_conv_dots(c->dtype, made, read, c->kernel) ? 1 : fnn_conv_width(c->dtype, made);
  if (!fnn_contiguous(&c->w)) return 0;
  if (c->w.ndim == 1)
    return fnn_conv_is_flat(c) || conv_is_whole(c); /* the product looks at its length */
  if (c->w.ndim == 2) {
    int64_t shape[FNN_MAX_DIMS];
    return fnn_winograd_packs(c, shape) && c->w.shape[0] == shape[0] && c->w.shape[1] == shape[1];
  }
  return c->w.shape[0] == c->groups * ceil_div(made, width) && c->w.shape[3] == read &&
         c->w.shape[4] == width;
}

static fnn_status conv_shapes(fnn_conv *c, fnn_failure *why) {
  c->packed = c->w.ndim == 5 || c->w.ndim == 1 || c->w.ndim == 2;
  if (c->x.ndim != 4 || c->y.ndim != 4 || (c->w.ndim != 4 && !c->packed))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "convolution: arrays must be (N, H, W, C), (O, KH, KW, C / groups) and "
                    "(N, OH, OW, O)");
  for (int i = 0; i < 4; i++)
    if (c->x.shape[i] > FNN_CONV_MOST || c->y.shape[i] > FNN_CONV_MOST ||
        (i < c->w.ndim && c->w.shape[i] > FNN_CONV_MOST))
      return fnn_fail(why, FNN_ERR_SHAPE, "convolution: an array is too long");
  c->images = c->x.shape[0];
  c->channels = c->x.shape[3];
  c->outputs = c->y.shape[3];
  for (int i = 0; i < 2; i++) {
    c->in[i] = c->x.shape[1 + i];
    c->out[i] = c->y.shape[1 + i];
    c->kernel[i] = c->w.ndim == 1   ? (c->in[i] == c->out[i] ? 1 : c->in[i])
                   : c->w.ndim == 2 ? 3
                                    : c->w.shape[1 + i];
    if (c->kernel[i] < 1)
      return fnn_fail(why, FNN_ERR_SHAPE, "convolution: a kernel has one element or more");
  }
  if (c->packed && c->op == FNN_OP_conv_grad_w)
    return fnn_fail(why, FNN_ERR_SHAPE, "convolution: a gradient of weights cannot be packed");
  if (c->groups < 1 || c->groups > FNN_CONV_MOST || c->channels % c->groups ||
      c->outputs % c->groups)
    return fnn_fail(why, FNN_ERR_SHAPE, "convolution: channels must fall into groups evenly");
  if (c->y.shape[0] != c->images)
    return fnn_fail(why, FNN_ERR_SHAPE, "convolution: as many images must come out as go in");
  if (c->packed ? !conv_packed_fits(c)
                : c->w.shape[0] != c->outputs || c->w.shape[3] != c->channels / c->groups)
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "convolution: the weights are not of the shape (O, KH, KW, C / groups)");
  return FNN_OK;
}

fnn_status fnn_conv_read(const fnn_call *call, fnn_conv *c, fnn_failure *why) {
  conv_arrays(call, c);
  c->dtype = c->y.dtype;
  if (!fnn_is_real(c->dtype) || c->x.dtype != c->dtype || c->w.dtype != c->dtype ||
      (fnn_present(&c->bias) && c->bias.dtype != c->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "convolution: all arrays must be float32, or all float64");
  fnn_status status = conv_scalars(call, c, why);
  if (status == FNN_OK) status = conv_shapes(c, why);
  if (status != FNN_OK) return status;
  const fnn_array *made = c->op == FNN_OP_conv_grad_x   ? &c->x
                          : c->op == FNN_OP_conv_grad_w ? &c->w
                                                        : &c->y;
  if (c->op == FNN_OP_conv_grad_w && c->y.stride[3] != 1 && c->outputs > 1)
    return fnn_fail(why, FNN_ERR_SHAPE, "convolution: channels of dy must have unit stride");
  if (!fnn_contiguous(made))
    return fnn_fail(why, FNN_ERR_SHAPE, "convolution: the output must be contiguous");
  if (fnn_present(&c->bias) &&
      (c->bias.ndim != 1 || c->bias.shape[0] != made->shape[3] || !fnn_contiguous(&c->bias)))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "convolution: bias must be contiguous, with one element an output channel");
  /* Of a transposed convolution's bias the product would need each element for many columns. */
  int repeats = c->op == FNN_OP_conv_grad_x && fnn_present(&c->bias);
  c->whole = (!repeats || c->w.ndim == 1) && conv_is_whole(c);
  if (c->whole) conv_fold(c);
  return FNN_OK;
}

/* From so many pixels on a product is computed as other convolutions are, where the pixels of a tile do not crowd
 * each other out of L1. It is then a long matrix by a small one, which gains from weights that are packed whole,
 * sums that are never stored half done, and pixels that are fetched a tile ahead. On a Zen 5 with 2 threads, 17
 * pairs of 16 to 2048 channels: 1.0 to 2.4 times as fast from 784 pixels on, 0.5 to 1.4 times with 49 or 196. */
#define FLAT_PIXELS 512
#define FLAT_BYTES (3 << 10) /* of a pixel, at most */

static fnn_conv_way conv_choose_flat(const fnn_conv *c) {
  int grad = c->op == FNN_OP_conv_grad_x;
  int64_t read = grad ? c->outputs : c->channels, made = grad ? c->channels : c->outputs;
  int long_rows = c->images * c->in[0] * c->in[1] >= FLAT_PIXELS &&
                  read * (int64_t)fnn_itemsize(c->dtype) <= FLAT_BYTES;
  if (c->whole) return CONV_PRODUCT;
  if (c->w.ndim != 4) return c->w.ndim == 1 ? CONV_PRODUCT : CONV_DIRECT;
  return long_rows || fnn_conv_dots(c->dtype, made, read, c->kernel) ? CONV_DIRECT : CONV_PRODUCT;
}

fnn_conv_way fnn_conv_choose(const fnn_conv *c) {
  if (fnn_depthwise_pays(c)) return CONV_DEPTHWISE;
  if (fnn_conv_is_flat(c)) return conv_choose_flat(c);
  return fnn_winograd_tile(c) ? CONV_WINOGRAD : CONV_DIRECT;
}

fnn_array fnn_conv_matrix(const fnn_array *w, int grad_x) {
  int rows = grad_x ? 0 : 3, cols = grad_x ? 3 : 0;
  if (w->ndim == 1) return *w;
  return (fnn_array){.data = w->data,
                     .shape = {w->shape[rows], w->shape[cols]},
                     .stride = {w->stride[rows], w->stride[cols]},
                     .ndim = 2,
                     .dtype = w->dtype};
}

/* Pixels by channels. */
static fnn_array conv_pixels(const fnn_array *a) {
  return (fnn_array){.data = a->data,
                     .shape = {a->shape[0] * a->shape[1] * a->shape[2], a->shape[3]},
                     .stride = {a->stride[conv_along(a)], a->stride[3]},
                     .ndim = 2,
                     .dtype = a->dtype};
}

/* dw (O, C) = dy (N, O) turned over times x (N, C), of a folded convolution. */
static fnn_call conv_product_w(const fnn_conv *c) {
  fnn_array dy = conv_pixels(&c->y), turned = dy;
  for (int i = 0; i < 2; i++)
    turned.shape[i] = dy.shape[1 - i], turned.stride[i] = dy.stride[1 - i];
  fnn_call product = {.op = FNN_OP_matmul, .n_arrays = 4};
  product.arrays[0] = turned;
  product.arrays[1] = conv_pixels(&c->x);
  product.arrays[2] = c->bias;
  product.arrays[3] = fnn_conv_matrix(&c->w, 1);
  product.arrays[3].stride[0] = c->channels;
  product.arrays[3].stride[1] = 1;
  return product;
}

fnn_call fnn_conv_product(const fnn_conv *c) {
  if (c->op == FNN_OP_conv_grad_w) return conv_product_w(c);
  int grad = c->op == FNN_OP_conv_grad_x;
  fnn_call product = {.op = FNN_OP_matmul, .n_arrays = 4};
  product.arrays[0] = conv_pixels(grad ? &c->y : &c->x);
  product.arrays[1] = fnn_conv_matrix(&c->w, grad);
  product.arrays[2] = c->bias;
  product.arrays[3] = conv_pixels(grad ? &c->x : &c->y);
  product.arrays[3].stride[0] = product.arrays[3].shape[1];
  product.arrays[3].stride[1] = 1;
  return product;
}

/* conv: y (N, OH, OW, O) = bias (O) + the sums over w's elements (O, KH, KW, C / groups) of those times what
 * x (N, H, W, C) has under them:
 *
 *   y[n, i, j, o] = sum of w[o, u, v, c] x[n, i stride + u dilation - pad, j stride + ..., first + c]
 *
 * where x is 0 outside. OH and OW are any: the padding behind x is what they imply. x and w have any strides,
 * y and bias are contiguous; w may be what conv_pack made. y shares no memory with the others.
 * conv_grad_x: dx = bias (C) + the sums of w times all dy that x's elements went to, for the same scalars;
 * with a bias it is the forward pass of a transposed convolution. */
fnn_status fnn_conv_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  if (call->op == FNN_OP_conv_pack) return fnn_conv_pack_plan(call, plan, why);
  fnn_conv conv;
  fnn_chain chain;
  fnn_status status = fnn_conv_read(call, &conv, why);
  if (status == FNN_OK && call->op == FNN_OP_conv_chain)
    status = fnn_conv_chain_read(call, &chain, why);
  if (status != FNN_OK || fnn_conv_made(&conv) == 0) return status;
  fnn_conv_way way = fnn_conv_choose(&conv);
  if (way == CONV_PRODUCT) {
    fnn_call product = fnn_conv_product(&conv);
    status = fnn_gemm_plan(&product, plan, why);
  } else if (way == CONV_DEPTHWISE) {
    fnn_depthwise_plan(&conv, plan);
  } else if (way == CONV_WINOGRAD) {
    fnn_winograd_plan(&conv, plan);
  } else {
    status = fnn_conv_direct_plan(&conv, plan, why);
  }
  if (call->op == FNN_OP_conv_chain) fnn_conv_chain_cost(call, &chain, plan);
  return status;
}

void fnn_conv_run(const fnn_call *call, fnn_team *team) {
  if (call->op == FNN_OP_conv_pack) {
    fnn_conv_pack_run(call, team);
    return;
  }
  fnn_conv conv;
  fnn_failure why;
  if (fnn_conv_read(call, &conv, &why) || fnn_conv_made(&conv) == 0) return;
  fnn_chain chain, *end = call->op == FNN_OP_conv_chain ? &chain : NULL;
  if (end && fnn_conv_chain_read(call, end, &why)) return;
  fnn_conv_way way = fnn_conv_choose(&conv);
  if (way == CONV_PRODUCT) {
    fnn_call product = fnn_conv_product(&conv);
    fnn_gemm_run_with(&product, end, team);
  } else if (way == CONV_DEPTHWISE) {
    fnn_depthwise_run(&conv, end, team);
  } else if (way == CONV_WINOGRAD) {
    fnn_winograd_run(&conv, end, team);
  } else {
    fnn_conv_direct_run(&conv, end, team);
  }
}
