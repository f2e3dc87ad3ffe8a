/* pool.c: maxima and averages of windows of channels-last images; the gradients are in pool_grad_max.c
 * and pool_grad_average.c.
 *
 * Contract: images and results have axes (N, H, W, C); pooling along one axis is an image of one row. x's channels
 * have unit stride, its other strides are any; everything else is contiguous. Outputs are overwritten and
 * share no memory with inputs. Scalars: kernel, stride, padding before the image and dilation for both
 * axes; how many windows there are is y's affair, one may stick out of the image or miss it. Kernel 0
 * stands for windows that cover the axis evenly (PyTorch's adaptive ones).
 *
 * max_pool:       y = the largest of a window, -inf of none; `places`, where present, are what the gradient
 *                 needs instead of x: the number of the tap, uint8 (int32 where there are more than 256).
 * max_pool_grad:  dx = dy at the place of each window. With y that of max_pool(relu(x)), where y is the result.
 * max_pool_at:    y = x at the places.
 * max_pool_index: where the places are: row * width + column of an image of height x width.
 * avg_pool:       y = sum / divisor; without one (0) it is the number of taps in the image, or with count_pad
 *                 in the padded image.
 *
 * Every row of windows, and in the gradients every row of dx, is made by one thread in a fixed order. */
#include "pool.h"

#include <string.h>

#define LARGE ((int64_t)1 << 31)

static int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static fnn_pool_axis axis_of(int64_t in, int64_t out, const fnn_scalar *s) {
  fnn_pool_axis a = {
      .in = in, .out = out, .kernel = s[0].i, .stride = s[2].i, .pad = s[4].i, .dilation = s[6].i};
  if (a.kernel == 0 && out > 0) {
    a.pad = 0, a.dilation = 1;
    a.adaptive = in % out != 0;
    a.kernel = in / out + (a.adaptive ? 2 : 0); /* the longest has no more */
    a.stride = in / out;
  }
  return a;
}

fnn_pool fnn_pool_of(const fnn_call *call, const fnn_array *x, const fnn_array *y) {
  const fnn_scalar *s = call->scalars;
  fnn_pool p = {.h = axis_of(x->shape[1], y->shape[1], s),
                .w = axis_of(x->shape[2], y->shape[2], s + 1),
                .samples = x->shape[0],
                .channels = x->shape[3]};
  if (call->op == FNN_OP_avg_pool || call->op == FNN_OP_avg_pool_grad)
    p.count_pad = s[8].i != 0, p.divisor = s[9].i;
  return p;
}

/* Most windows are not dilated, and a division takes as long as some pixels. */
static int64_t div_by(int64_t a, int64_t dilation) { return dilation == 1 ? a : a / dilation; }

fnn_pool_span fnn_pool_span_at(const fnn_pool_axis *a, int64_t o) {
  if (a->adaptive) {
    int64_t first = o * a->in / a->out;
    return (fnn_pool_span){first, ceil_div((o + 1) * a->in, a->out) - first, 0};
  }
  int64_t begin = fnn_pool_first(a, o),
          tap = begin < 0 ? div_by(a->dilation - 1 - begin, a->dilation) : 0;
  int64_t first = begin + tap * a->dilation;
  int64_t inside = first < a->in ? div_by(a->in - 1 - first, a->dilation) + 1 : 0;
  return (fnn_pool_span){first, larger(0, smaller(a->kernel - tap, inside)), tap};
}

fnn_pool_range fnn_pool_inner(const fnn_pool_axis *a) {
  if (a->adaptive) return (fnn_pool_range){0, 0};
  int64_t room = a->in - 1 - (a->kernel - 1) * a->dilation + a->pad;
  int64_t end = room < 0 ? 0 : smaller(a->out, room / a->stride + 1);
  return (fnn_pool_range){smaller(end, ceil_div(a->pad, a->stride)), end};
}

fnn_pool_range fnn_pool_over(const fnn_pool_axis *a, int64_t i) {
  if (a->adaptive) return (fnn_pool_range){i * a->out / a->in, ceil_div((i + 1) * a->out, a->in)};
  int64_t low = ceil_div(i + a->pad - (a->kernel - 1) * a->dilation, a->stride);
  return (fnn_pool_range){larger(0, low), smaller(a->out, (i + a->pad) / a->stride + 1)};
}

int64_t fnn_pool_tap(const fnn_pool_axis *a, int64_t o, int64_t i) {
  fnn_pool_span s = fnn_pool_span_at(a, o);
  int64_t away = i - s.first, k = div_by(away, a->dilation);
  return away >= 0 && k * a->dilation == away && k < s.count ? s.tap + k : -1;
}

fnn_pool_range fnn_pool_even(const fnn_pool_axis *a) {
  if (a->adaptive) return (fnn_pool_range){0, 0};
  int64_t begin = 1 - a->stride - a->pad + (a->kernel - 1) * a->dilation;
  fnn_pool_range r = {larger(0, begin), smaller(a->in, a->out * a->stride - a->pad)};
  return r.begin < r.end ? r : (fnn_pool_range){0, 0};
}

int64_t fnn_pool_extent(const fnn_pool *p, const fnn_pool_axis *a, int64_t o) {
  if (!p->count_pad || a->adaptive) return fnn_pool_span_at(a, o).count;
  return smaller(a->kernel, a->in + a->pad - fnn_pool_first(a, o));
}

fnn_pool_windows fnn_pool_windows_at(const fnn_pool *p, int64_t oh, int64_t ow, int64_t pixels,
                                     int64_t row, int64_t pixel) {
  fnn_pool_span h = fnn_pool_span_at(&p->h, oh), w = fnn_pool_span_at(&p->w, ow);
  return (fnn_pool_windows){.rows = h.count,
                            .cols = w.count,
                            .row_step = p->h.dilation * row,
                            .col_step = p->w.dilation * pixel,
                            .pixels = pixels,
                            .pixel_step = p->w.stride * pixel,
                            .channels = p->channels,
                            .place = h.tap * p->w.kernel + w.tap,
                            .place_row = p->w.kernel};
}

/* --- checks --- */
static fnn_status check_scalars(const fnn_call *call, fnn_failure *why) {
  for (int i = 0; i < 8; i++) {
    int64_t value = call->scalars[i].i, least = i < 2 || i == 4 || i == 5 ? 0 : 1;
    if (value < least || value >= LARGE)
      return fnn_fail(why, FNN_ERR_VALUE, "a kernel, stride, padding or dilation is out of range");
  }
  return FNN_OK;
}

static int is_places(const fnn_array *a, const fnn_pool *p) {
  if (p->h.kernel * p->w.kernel >= LARGE) return 0;
  return a->dtype == FNN_I32 ||
         (a->dtype == FNN_U8 && p->h.kernel * p->w.kernel <= FNN_POOL_PLACES);
}

/* The arrays of each op: the image and an array of y's shape (an absent one has no shape), and others of it. */
typedef struct {
  const fnn_array *image, *result, *places, *more;
} roles;

static roles roles_of(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  switch (call->op) {
    case FNN_OP_max_pool:
      return (roles){&a[0], &a[1], &a[2], NULL};
    case FNN_OP_max_pool_grad:
      return (roles){&a[3], &a[0], &a[1], &a[2]};
    case FNN_OP_max_pool_at:
      return (roles){&a[0], &a[2], &a[1], NULL};
    case FNN_OP_max_pool_index:
      return (roles){NULL, &a[1], &a[0], NULL};
    case FNN_OP_avg_pool:
      return (roles){&a[0], &a[1], NULL, NULL};
    default: /* avg_pool_grad */
      return (roles){&a[1], &a[0], NULL, NULL};
  }
}

static fnn_array image_of_index(const fnn_call *call) {
  const fnn_array *y = &call->arrays[1];
  int64_t h = call->scalars[8].i, w = call->scalars[9].i;
  return (fnn_array){.ndim = 4, .shape = {y->shape[0], h, w, y->shape[3]}, .dtype = FNN_F32};
}

static fnn_status check_arrays(const fnn_call *call, const fnn_array *image, fnn_failure *why) {
  roles r = roles_of(call);
  const fnn_array *alike[] = {r.result, r.places, r.more};
  if (image->ndim != 4 || r.result->ndim != 4 || image->shape[0] != r.result->shape[0] ||
      image->shape[3] != r.result->shape[3])
    return fnn_fail(why, FNN_ERR_SHAPE, "pooling takes images (N, H, W, C) to (N, OH, OW, C)");
  for (int i = 1; i < 3; i++)
    if (image->shape[i] < 1 || r.result->shape[i] < 1 || image->shape[i] >= LARGE ||
        r.result->shape[i] >= LARGE)
      return fnn_fail(why, FNN_ERR_SHAPE, "pooling: an image has no pixels, or too many");
  for (int i = 0; i < 3; i++)
    if (alike[i] && fnn_present(alike[i]) &&
        (!fnn_same_shape(alike[i], r.result) || !fnn_contiguous(alike[i])))
      return fnn_fail(why, FNN_ERR_SHAPE, "pooling: results are contiguous and of one shape");
  if (r.image && r.image != &call->arrays[0] && !fnn_contiguous(r.image))
    return fnn_fail(why, FNN_ERR_SHAPE, "pooling wants a contiguous gradient");
  if (r.image && image->shape[3] > 1 && image->stride[3] != 1 && fnn_size(image) > 0)
    return fnn_fail(why, FNN_ERR_SHAPE, "pooling wants channels side by side in memory");
  if (!fnn_is_real(image->dtype) || (r.image && r.result->dtype != image->dtype) ||
      (r.more && fnn_present(r.more) && r.more->dtype != image->dtype) ||
      (!r.image && r.result->dtype != FNN_I64))
    return fnn_fail(why, FNN_ERR_DTYPE, "pooling takes float32 or float64, all alike");
  return FNN_OK;
}

fnn_status fnn_pool_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  roles r = roles_of(call);
  fnn_status status = check_scalars(call, why);
  if (status != FNN_OK) return status;
  const fnn_array index = r.image ? (fnn_array){.ndim = -1} : image_of_index(call);
  const fnn_array *image = r.image ? r.image : &index;
  status = check_arrays(call, image, why);
  if (status != FNN_OK) return status;
  fnn_pool p = fnn_pool_of(call, image, r.result);
  if (r.places && fnn_present(r.places) && !is_places(r.places, &p))
    return fnn_fail(why, FNN_ERR_DTYPE, "places are uint8, or int32 where windows are large");
  for (int i = 0; i < call->n_arrays; i++)
    if (fnn_present(&call->arrays[i])) plan->bytes += fnn_bytes(&call->arrays[i]);
  plan->tasks = larger(1, p.samples * p.h.out);
  plan->flops = (double)fnn_size(r.result) * (double)p.h.kernel * (double)p.w.kernel;
  if (call->op == FNN_OP_max_pool_grad) return fnn_pool_grad_max_plan(call, plan, why);
  return call->op == FNN_OP_avg_pool_grad ? fnn_pool_grad_average_plan(call, plan, why) : FNN_OK;
}

/* --- runs --- */
static char *element(const fnn_array *a, int64_t i) {
  return (char *)a->data + i * fnn_itemsize(a->dtype);
}

static void forward_row(const fnn_call *call, const fnn_pool *p, int64_t n, int64_t oh) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1], *places = &call->arrays[2];
  const fnn_pool_kernels *k = &fnn_kernels_of(x->dtype)->pool;
  const int max = call->op == FNN_OP_max_pool, keep = max && fnn_present(places);
  const fnn_pool_range inner = fnn_pool_inner(&p->w);
  const int64_t row = n * x->stride[0] + fnn_pool_span_at(&p->h, oh).first * x->stride[1];
  const int64_t high = fnn_pool_extent(p, &p->h, oh);
  for (int64_t ow = 0, run; ow < p->w.out; ow += run) {
    run = fnn_pool_alike(inner, ow, p->w.out);
    fnn_pool_windows w = fnn_pool_windows_at(p, oh, ow, run, x->stride[1], x->stride[2]);
    int64_t to = ((n * p->h.out + oh) * p->w.out + ow) * p->channels;
    int any = w.rows > 0 && w.cols > 0;
    int64_t from = any ? row + fnn_pool_span_at(&p->w, ow).first * x->stride[2] : 0;
    int64_t by = p->divisor ? p->divisor : high * fnn_pool_extent(p, &p->w, ow);
    if (max)
      k->max(&w, element(x, from), element(y, to), keep ? element(places, to) : NULL,
             keep && places->dtype == FNN_I32);
    else
      k->average(&w, any ? 1 / (double)by : 0, element(x, from), element(y, to));
  }
}

/* The places of a row of windows, as offsets (max_pool_index) or to find what is there (max_pool_at). */
static void places_row(const fnn_call *call, const fnn_pool *p, int64_t n, int64_t oh) {
  const int at = call->op == FNN_OP_max_pool_at;
  const fnn_array *x = &call->arrays[0], *places = &call->arrays[at], *y = &call->arrays[at + 1];
  int64_t i = (n * p->h.out + oh) * p->w.out * p->channels;
  fnn_pool_span h = fnn_pool_span_at(&p->h, oh);
  for (int64_t ow = 0; ow < p->w.out; ow++) {
    fnn_pool_span w = fnn_pool_span_at(&p->w, ow);
    for (int64_t c = 0; c < p->channels; c++, i++) {
      int64_t place = places->dtype == FNN_U8 ? ((const uint8_t *)places->data)[i]
                                              : ((const int32_t *)places->data)[i];
      int64_t r = place / p->w.kernel - h.tap, q = place % p->w.kernel - w.tap;
      int inside = place >= 0 && r >= 0 && r < h.count && q >= 0 && q < w.count;
      int64_t ih = h.first + r * p->h.dilation, iw = w.first + q * p->w.dilation;
      if (!at) {
        ((int64_t *)y->data)[i] = inside ? ih * p->w.in + iw : 0;
        continue;
      }
      int64_t from = n * x->stride[0] + ih * x->stride[1] + iw * x->stride[2] + c;
      if (inside)
        memcpy(element(y, i), element(x, from), (size_t)fnn_itemsize(y->dtype));
      else
        memset(element(y, i), 0, (size_t)fnn_itemsize(y->dtype));
    }
  }
}

void fnn_pool_run(const fnn_call *call, fnn_team *team) {
  if (call->op == FNN_OP_max_pool_grad) {
    fnn_pool_grad_max_run(call, team);
    return;
  }
  if (call->op == FNN_OP_avg_pool_grad) {
    fnn_pool_grad_average_run(call, team);
    return;
  }
  roles r = roles_of(call);
  const fnn_array index = r.image ? (fnn_array){.ndim = -1} : image_of_index(call);
  fnn_pool p = fnn_pool_of(call, r.image ? r.image : &index, r.result);
  const int forward = call->op == FNN_OP_max_pool || call->op == FNN_OP_avg_pool;
  fnn_range mine = fnn_share(p.samples * p.h.out, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    if (forward)
      forward_row(call, &p, t / p.h.out, t % p.h.out);
    else
      places_row(call, &p, t / p.h.out, t % p.h.out);
  }
}
