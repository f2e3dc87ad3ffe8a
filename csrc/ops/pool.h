/* pool.h: the windows of pooling, and what its forward half (pool.c) and its gradients (pool_grad_max.c,
 * pool_cover.c, pool_grad_average.c) share. */
#ifndef FNN_OPS_POOL_H
#define FNN_OPS_POOL_H

#include "op.h"

/* Windows along one axis. Window o begins at o * stride - pad and has `kernel` taps, `dilation` apart; adaptive
 * ones reach from floor(o in / out) to ceil((o + 1) in / out). */
typedef struct {
  int64_t in, out, kernel, stride, pad, dilation;
  int adaptive;
} fnn_pool_axis;

/* The taps of one window that lie in the image: the first of `count` has number `tap`. */
typedef struct {
  int64_t first, count, tap;
} fnn_pool_span;

/* Windows that go over the same range. */
typedef struct {
  int64_t begin, end;
} fnn_pool_range;

typedef struct {
  fnn_pool_axis h, w;
  int64_t samples, channels;
  int count_pad;   /* averages: taps in the padding count too, */
  int64_t divisor; /* or what to divide by, where that is not 0 */
} fnn_pool;

/* The geometry of a call between an image x (N, H, W, C) and results y (N, OH, OW, C). */
fnn_pool fnn_pool_of(const fnn_call *call, const fnn_array *x, const fnn_array *y);

fnn_pool_span fnn_pool_span_at(const fnn_pool_axis *axis, int64_t o);
/* The windows all of whose taps lie in the image. */
fnn_pool_range fnn_pool_inner(const fnn_pool_axis *axis);
/* The windows that may have a tap on i, and the number of o's that has, or -1. */
fnn_pool_range fnn_pool_over(const fnn_pool_axis *axis, int64_t i);
int64_t fnn_pool_tap(const fnn_pool_axis *axis, int64_t o, int64_t i);
/* The pixels that windows cover in the same way as those `stride` further on. */
fnn_pool_range fnn_pool_even(const fnn_pool_axis *axis);
/* What the taps of window o count for in the divisor of an average. */
int64_t fnn_pool_extent(const fnn_pool *p, const fnn_pool_axis *axis, int64_t o);

/* The windows of row oh that have the taps of ow, `pixels` of them, on an image with such steps. */
fnn_pool_windows fnn_pool_windows_at(const fnn_pool *p, int64_t oh, int64_t ow, int64_t pixels,
                                     int64_t row, int64_t pixel);

/* Of the windows from ow on, before `end`: how many have the same taps. */
static inline int64_t fnn_pool_alike(fnn_pool_range inner, int64_t ow, int64_t end) {
  if (ow < inner.begin || ow >= inner.end) return 1;
  return (inner.end < end ? inner.end : end) - ow;
}

static inline int64_t fnn_pool_first(const fnn_pool_axis *axis, int64_t o) {
  return o * axis->stride - axis->pad;
}

fnn_status fnn_pool_grad_max_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_pool_grad_max_run(const fnn_call *call, fnn_team *team);

fnn_status fnn_pool_cover_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_pool_cover_run(const fnn_call *call, fnn_team *team);

fnn_status fnn_pool_grad_average_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_pool_grad_average_run(const fnn_call *call, fnn_team *team);

#endif
