/* conv_plan.c: whether a convolution is one, which way it goes, and what it costs. */
#include "conv.h"

#include <stdatomic.h>

#define MOST \
  ((int64_t)1 << 30) /* of a length, so that no sum of two products of two of them overflows */

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
    if (c->stride[i] < 1 || c->stride[i] > MOST || c->dilation[i] < 1 || c->dilation[i] > MOST ||
        c->pad[i] < 0 || c->pad[i] > MOST)
      return fnn_fail(why, FNN_ERR_VALUE,
                      "convolution: stride and dilation must be 1 or more, padding 0 or more");
  }
  c->groups = s[FNN_CONV_GROUPS].i;
  c->ways = (unsigned)s[FNN_CONV_WAYS].i;
  return FNN_OK;
}

/* The shape of what conv_pack makes, see conv_pack.c, is checked against this. */
static int conv_packed_fits(const fnn_conv *c) {
  int grad = c->op == FNN_OP_conv_grad_x;
  int64_t read = (grad ? c->outputs : c->channels) / c->groups;
  int64_t made = (grad ? c->channels : c->outputs) / c->groups;
  int64_t width = fnn_conv_width(c->dtype, made);
  return fnn_contiguous(&c->w) && c->w.shape[0] == c->groups * ceil_div(made, width) &&
         c->w.shape[3] == read && c->w.shape[4] == width;
}

static fnn_status conv_shapes(fnn_conv *c, fnn_failure *why) {
  c->packed = c->w.ndim == 5;
  if (c->x.ndim != 4 || c->y.ndim != 4 || (c->w.ndim != 4 && !c->packed))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "convolution: arrays must be (N, H, W, C), (O, KH, KW, C / groups) and "
                    "(N, OH, OW, O)");
  for (int i = 0; i < 4; i++)
    if (c->x.shape[i] > MOST || c->y.shape[i] > MOST || c->w.shape[i] > MOST)
      return fnn_fail(why, FNN_ERR_SHAPE, "convolution: an array is too long");
  c->images = c->x.shape[0];
  c->channels = c->x.shape[3];
  c->outputs = c->y.shape[3];
  for (int i = 0; i < 2; i++) {
    c->in[i] = c->x.shape[1 + i];
    c->out[i] = c->y.shape[1 + i];
    c->kernel[i] = c->w.shape[1 + i];
    if (c->kernel[i] < 1)
      return fnn_fail(why, FNN_ERR_SHAPE, "convolution: a kernel has one element or more");
  }
  if (c->packed && c->op == FNN_OP_conv_grad_w)
    return fnn_fail(why, FNN_ERR_SHAPE, "convolution: a gradient of weights cannot be packed");
  if (c->groups < 1 || c->channels % c->groups || c->outputs % c->groups)
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
  return FNN_OK;
}

/* A kernel of one element without stride or padding is a product of two matrices, pixels by channels, where
 * the pixels lie evenly. */
static int conv_is_product(const fnn_conv *c) {
  const fnn_array *in = c->op == FNN_OP_conv_grad_x ? &c->y : &c->x;
  if (c->groups != 1 || c->packed) return 0;
  for (int i = 0; i < 2; i++)
    if (c->kernel[i] != 1 || c->stride[i] != 1 || c->pad[i] || c->in[i] != c->out[i]) return 0;
  return (in->shape[1] == 1 || in->stride[1] == in->shape[2] * in->stride[2]) &&
         (in->shape[0] == 1 || in->stride[0] == in->shape[1] * in->shape[2] * in->stride[2]);
}

fnn_conv_way fnn_conv_choose(const fnn_conv *c) {
  return conv_is_product(c) ? CONV_PRODUCT : CONV_DIRECT;
}

/* The call of matmul that it is. */
static fnn_call conv_product(const fnn_conv *c) {
  int grad = c->op == FNN_OP_conv_grad_x;
  const fnn_array *in = grad ? &c->y : &c->x, *out = grad ? &c->x : &c->y, *w = &c->w;
  fnn_call product = {.op = FNN_OP_matmul, .n_arrays = 4};
  int64_t pixels = in->shape[0] * in->shape[1] * in->shape[2];
  int64_t pixel = in->shape[2] > 1   ? in->stride[2]
                  : in->shape[1] > 1 ? in->stride[1]
                                     : in->stride[0];
  product.arrays[0] = (fnn_array){.data = in->data,
                                  .ndim = 2,
                                  .dtype = c->dtype,
                                  .shape = {pixels, in->shape[3]},
                                  .stride = {pixel, in->stride[3]}};
  product.arrays[1] = (fnn_array){.data = w->data,
                                  .ndim = 2,
                                  .dtype = c->dtype,
                                  .shape = {w->shape[grad ? 0 : 3], w->shape[grad ? 3 : 0]},
                                  .stride = {w->stride[grad ? 0 : 3], w->stride[grad ? 3 : 0]}};
  product.arrays[2] = c->bias;
  product.arrays[3] = (fnn_array){.data = out->data,
                                  .ndim = 2,
                                  .dtype = c->dtype,
                                  .shape = {pixels, out->shape[3]},
                                  .stride = {out->shape[3], 1}};
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
  fnn_conv conv;
  fnn_status status = fnn_conv_read(call, &conv, why);
  if (status != FNN_OK) return status;
  if (fnn_size(conv.op == FNN_OP_conv_grad_x ? &conv.x : &conv.y) == 0) return FNN_OK;
  if (fnn_conv_choose(&conv) == CONV_PRODUCT) {
    fnn_call product = conv_product(&conv);
    return fnn_gemm_plan(&product, plan, why);
  }
  return fnn_conv_direct_plan(&conv, plan, why);
}

void fnn_conv_run(const fnn_call *call, fnn_team *team) {
  fnn_conv conv;
  fnn_failure why;
  if (fnn_conv_read(call, &conv, &why)) return; /* not after plan */
  if (fnn_size(conv.op == FNN_OP_conv_grad_x ? &conv.x : &conv.y) == 0) return;
  if (fnn_conv_choose(&conv) == CONV_PRODUCT) {
    fnn_call product = conv_product(&conv);
    fnn_gemm_run(&product, team);
  } else {
    fnn_conv_direct_run(&conv, NULL, team);
  }
}
