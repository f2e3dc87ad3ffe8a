/* conv_pack.c: weights in the order in which tiles read them, made for one convolution or, as conv_pack, once
 * for many, for a network that is not in training. */
#include "conv_direct.h"

fnn_conv_weights fnn_conv_weights_of(const fnn_conv *conv) {
  const fnn_array *w = &conv->w;
  int64_t channels = conv->channels / conv->groups, outputs = conv->outputs / conv->groups;
  int turned = conv->op == FNN_OP_conv_grad_x;
  fnn_conv_weights p = {.kernels = fnn_kernels_of(conv->dtype),
                        .size = fnn_itemsize(conv->dtype),
                        .turned = turned,
                        .data = w->data,
                        .groups = conv->groups,
                        .kernel = {conv->kernel[0], conv->kernel[1]},
                        .channels = turned ? outputs : channels,
                        .outputs = turned ? channels : outputs,
                        .group_step = outputs * w->stride[0],
                        .out_step = w->stride[turned ? 3 : 0],
                        .in_step = w->stride[turned ? 0 : 3],
                        .step = {w->stride[1], w->stride[2]}};
  int dots = fnn_conv_dots(conv->dtype, p.outputs, p.channels, p.kernel);
  p.width = dots ? 1 : fnn_conv_width(conv->dtype, p.outputs);
  p.panels = ceil_div(p.outputs, p.width);
  double elements = (double)(p.kernel[0] * p.kernel[1]) * (double)p.channels;
  p.possible = elements * (double)(p.groups * p.panels * p.width) < FNN_CONV_LIMIT;
  if (p.possible) p.panel_elements = p.kernel[0] * p.kernel[1] * p.channels * p.width;
  return p;
}

void fnn_conv_pack_panel(const fnn_conv_weights *p, int64_t number, char *to) {
  int64_t group = number / p->panels, first = number % p->panels * p->width;
  int64_t n = at_most(p->width, p->outputs - first);
  const char *from = p->data + (group * p->group_step + first * p->out_step) * p->size;
  int64_t rows = p->kernel[0], cols = p->kernel[1], depth = p->channels;
  if (!p->turned && p->step[1] == depth * p->in_step) { /* elements that lie evenly are one run */
    depth *= cols;
    cols = 1;
    if (p->step[0] == depth * p->in_step) {
      depth *= rows;
      rows = 1;
    }
  }
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++, to += depth * p->width * p->size) {
      int64_t at = i * p->step[0] + (p->turned ? cols - 1 - j : j) * p->step[1];
      p->kernels->gemm.pack(p->width, n, depth, from + at * p->size, p->out_step, p->in_step, to);
    }
}

/* The shape of what conv_pack makes of this convolution's weights, and its rank; 0 where they had better stay
 * as they are. */
int fnn_conv_packs(const fnn_call *call, int64_t shape[FNN_MAX_DIMS]) {
  fnn_conv conv;
  fnn_failure why;
  if (fnn_conv_read(call, &conv, &why) || conv.packed || fnn_conv_made(&conv) == 0) return 0;
  fnn_conv_way way = fnn_conv_choose(&conv);
  if (way == CONV_PRODUCT) {
    fnn_call product = fnn_conv_product(&conv);
    shape[0] = fnn_gemm_packs(&product);
    return shape[0] > 0;
  }
  if (way == CONV_WINOGRAD) return fnn_winograd_packs(&conv, shape);
  if (way != CONV_DIRECT) return 0;
  fnn_conv_weights p = fnn_conv_weights_of(&conv);
  const int64_t packed[] = {p.groups * p.panels, p.kernel[0], p.kernel[1], p.channels, p.width};
  for (int i = 0; i < 5; i++) shape[i] = packed[i];
  return p.possible ? 5 : 0;
}

/* conv_pack as a call of a convolution of one pixel with these weights. */
static fnn_status pack_read(const fnn_call *call, fnn_conv *conv, fnn_failure *why) {
  const fnn_array *w = &call->arrays[0], *packed = &call->arrays[1];
  int64_t groups = call->scalars[0].i;
  if (!fnn_is_real(w->dtype) || packed->dtype != w->dtype)
    return fnn_fail(why, FNN_ERR_DTYPE, "conv_pack: both arrays must be float32, or both float64");
  if (w->ndim != 4 || (packed->ndim != 5 && packed->ndim != 2 && packed->ndim != 1) ||
      !fnn_contiguous(packed))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "conv_pack: weights have four axes, packed ones five, two or one");
  if (groups < 1 || groups > FNN_CONV_MOST || w->shape[0] % groups)
    return fnn_fail(why, FNN_ERR_SHAPE, "conv_pack: outputs must fall into groups evenly");
  for (int i = 0; i < 4; i++)
    if (w->shape[i] > FNN_CONV_MOST || w->shape[3] * groups > FNN_CONV_MOST)
      return fnn_fail(why, FNN_ERR_SHAPE, "conv_pack: an array is too long");
  *conv = (fnn_conv){.w = *w,
                     .op = call->scalars[1].i ? FNN_OP_conv_grad_x : FNN_OP_conv,
                     .dtype = w->dtype,
                     .images = 1,
                     .channels = w->shape[3] * groups,
                     .outputs = w->shape[0],
                     .groups = groups,
                     .kernel = {w->shape[1], w->shape[2]}};
  return FNN_OK;
}

/* The call of gemm_pack that packing for CONV_PRODUCT is. */
static fnn_call pack_product(const fnn_call *call) {
  fnn_call product = {.op = FNN_OP_gemm_pack, .n_arrays = 2};
  fnn_array w = call->arrays[0];
  fnn_conv_fold(&w);
  product.arrays[0] = fnn_conv_matrix(&w, call->scalars[1].i != 0);
  product.arrays[1] = call->arrays[1];
  return product;
}

/* conv_pack: w (O, KH, KW, C / groups) of any strides -> packed, of the shape that fnn_conv_packs tells, for
 * conv and conv_chain or, with grad_x, for conv_grad_x. What lies in it differs between instruction sets. */
fnn_status fnn_conv_pack_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_conv conv;
  fnn_status status = pack_read(call, &conv, why);
  if (status != FNN_OK) return status;
  const fnn_array *w = &call->arrays[0], *packed = &call->arrays[1];
  if (packed->ndim == 1) {
    int64_t length, step;
    if (conv.groups > 1 || !fnn_conv_even(w, &length, &step))
      return fnn_fail(why, FNN_ERR_SHAPE,
                      "conv_pack: weights of one group that lie evenly alone go onto one axis");
    fnn_call product = pack_product(call);
    return fnn_gemm_plan(&product, plan, why);
  }
  if (packed->ndim == 2) {
    if (fnn_winograd_pack_plan(&conv, packed, plan)) return FNN_OK;
    return fnn_fail(why, FNN_ERR_SHAPE, "conv_pack: packed weights are not of their shape");
  }
  fnn_conv_weights p = fnn_conv_weights_of(&conv);
  if (!p.possible || packed->shape[0] != p.groups * p.panels || packed->shape[1] != p.kernel[0] ||
      packed->shape[2] != p.kernel[1] || packed->shape[3] != p.channels ||
      packed->shape[4] != p.width)
    return fnn_fail(why, FNN_ERR_SHAPE, "conv_pack: packed weights are not of their shape");
  plan->bytes = fnn_bytes(&conv.w) + fnn_bytes(packed);
  plan->tasks = at_least(1, at_most(fnn_size(packed) >> 14, p.groups * p.panels));
  return FNN_OK;
}

void fnn_conv_pack_run(const fnn_call *call, fnn_team *team) {
  fnn_conv conv;
  fnn_failure why;
  if (pack_read(call, &conv, &why)) return; /* not after plan */
  if (call->arrays[1].ndim == 1) {
    fnn_call product = pack_product(call);
    fnn_gemm_run(&product, team);
    return;
  }
  if (call->arrays[1].ndim == 2) {
    fnn_winograd_pack_run(&conv, &call->arrays[1], team);
    return;
  }
  fnn_conv_weights p = fnn_conv_weights_of(&conv);
  fnn_range share = fnn_share(p.groups * p.panels, team);
  for (int64_t i = share.begin; i < share.end; i++)
    fnn_conv_pack_panel(&p, i, (char *)call->arrays[1].data + i * p.panel_elements * p.size);
}
