/* scan.c: cumsum along one axis, from the front or, with `backward`, from the end.
 *
 * Contract: x any strides; y contiguous, of x's shape and type (int64 for every integer type), overwritten,
 * not sharing x's memory. A running sum is kept in double precision, or in uint64 for integers, which
 * wraps. Lines are independent; each is summed by one thread. */
#include "lines.h"

#define STRIP 64 /* neighbouring lines that a task walks together */

typedef struct {
  int64_t outer, n, inner, strips;
} layout;

static layout layout_of(const fnn_array *x, int axis) {
  layout l = {1, x->shape[axis], 1, 0};
  for (int d = 0; d < x->ndim; d++)
    if (d != axis) *(d < axis ? &l.outer : &l.inner) *= x->shape[d];
  l.strips = (l.inner + STRIP - 1) / STRIP;
  return l;
}

fnn_status fnn_scan_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  if (y->dtype != (fnn_is_real(x->dtype) ? x->dtype : FNN_I64))
    return fnn_fail(why, FNN_ERR_DTYPE, "the result must have x's type, int64 for integers");
  if (!fnn_same_shape(x, y) || !fnn_contiguous(y))
    return fnn_fail(why, FNN_ERR_SHAPE, "the result must have x's shape and be contiguous");
  if (call->scalars[0].i < 0 || call->scalars[0].i >= x->ndim)
    return fnn_fail(why, FNN_ERR_VALUE, "there is no axis {seen}");
  layout l = layout_of(x, (int)call->scalars[0].i);
  if (l.outer * l.strips > 1) plan->tasks = l.outer * l.strips;
  plan->bytes = (double)fnn_size(x) * (double)(fnn_itemsize(x->dtype) + fnn_itemsize(y->dtype));
  plan->flops = (double)fnn_size(x);
  return FNN_OK;
}

#define STEP(type, in_type, acc)                                             \
  {                                                                          \
    const in_type *in = (const in_type *)x->data + at;                       \
    type *out = (type *)y->data + to;                                        \
    for (int64_t j = 0; j < w; j++) out[j] = (type)(acc[j] += in[j * step]); \
  }                                                                          \
  break

void fnn_scan_run(const fnn_call *call, fnn_team *team) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  int axis = (int)call->scalars[0].i;
  layout l = layout_of(x, axis);
  if (fnn_size(x) == 0) return;
  fnn_array before = *x, after = *x; /* the axes before and after, each walked by its own index */
  before.ndim = axis, after.ndim = x->ndim - axis - 1;
  for (int d = axis + 1; d < x->ndim; d++) {
    after.shape[d - axis - 1] = x->shape[d];
    after.stride[d - axis - 1] = x->stride[d];
  }
  after = fnn_joined(&after);
  int64_t step = after.ndim == 1 ? after.stride[0] : 0;
  int64_t width = after.ndim <= 1 ? STRIP : 1; /* lines that one stride joins */
  fnn_range mine = fnn_share(l.outer * l.strips, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t o = t / l.strips, first = t % l.strips * STRIP;
    int64_t end = first + STRIP < l.inner ? first + STRIP : l.inner;
    for (int64_t c = first; c < end; c += width) {
      int64_t w = end - c < width ? end - c : width;
      int64_t base = fnn_offset(&before, o) + fnn_offset(&after, c);
      double real[STRIP] = {0};
      uint64_t whole[STRIP] = {0};
      for (int64_t i = 0; i < l.n; i++) {
        int64_t row = call->scalars[1].i ? l.n - 1 - i : i;
        int64_t at = base + row * x->stride[axis];
        int64_t to = (o * l.n + row) * l.inner + c;
        switch (x->dtype) {
          case FNN_F32:
            STEP(float, float, real);
          case FNN_F64:
            STEP(double, double, real);
          case FNN_I64:
            STEP(int64_t, uint64_t, whole);
          case FNN_I32:
            STEP(int64_t, int32_t, whole);
          default:
            STEP(int64_t, uint8_t, whole);
        }
      }
    }
  }
}
