/* scan.c: cumsum along one axis, from the front or, with `backward`, from the end.
 *
 * Contract: x any strides; y contiguous, of x's shape and type (int64 for every integer type), overwritten,
 * not sharing x's memory. A running sum is kept in double precision, or in uint64 for integers, which
 * wraps. Lines are independent; each is summed by one thread. */
#include "lines.h"

#define STRIP 64 /* neighbouring lines that a task walks together */
#define SIDE 4   /* lines along contiguous memory that are: their additions overlap */

typedef struct {
  int64_t outer, n, inner, strips, tasks;
} layout;

static layout layout_of(const fnn_array *x, int axis) {
  layout l = {1, x->shape[axis], 1, 0, 0};
  for (int d = 0; d < x->ndim; d++)
    if (d != axis) *(d < axis ? &l.outer : &l.inner) *= x->shape[d];
  l.strips = (l.inner + STRIP - 1) / STRIP;
  l.tasks = l.inner == 1 ? (l.outer + SIDE - 1) / SIDE : l.outer * l.strips;
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
  if (l.tasks > 1) plan->tasks = l.tasks;
  plan->bytes = (double)fnn_size(x) * (double)(fnn_itemsize(x->dtype) + fnn_itemsize(y->dtype));
  plan->flops = (double)fnn_size(x);
  return FNN_OK;
}

/* The running sums of `lines` <= SIDE lines. */
#define LINES(name, type, in_type, acc_type)                                                       \
  static void name(int64_t n, int64_t lines, const void *const *from, int64_t in_step,             \
                   void *const *to, int64_t out_step) {                                            \
    acc_type acc[SIDE] = {0};                                                                      \
    if (lines == SIDE) {                                                                           \
      for (int64_t i = 0; i < n; i++)                                                              \
        _Pragma("GCC unroll 4") for (int k = 0; k < SIDE; k++)((type *)to[k])[i * out_step] =      \
            (type)(acc[k] += ((const in_type *)from[k])[i * in_step]);                             \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t k = 0; k < lines; k++)                                                            \
      for (int64_t i = 0; i < n; i++)                                                              \
        ((type *)to[k])[i * out_step] = (type)(acc[k] += ((const in_type *)from[k])[i * in_step]); \
  }
LINES(lines_f32, float, float, double)
LINES(lines_f64, double, double, double)
LINES(lines_i64, int64_t, uint64_t, uint64_t)
LINES(lines_i32, int64_t, int32_t, uint64_t)
LINES(lines_u8, int64_t, uint8_t, uint64_t)
#undef LINES

/* The axis is the last (or those behind it have one element): SIDE lines a task. */
static void run_lines(const fnn_call *call, const layout *l, const fnn_array *before,
                      fnn_range mine) {
  static void (*const lines_of[FNN_DTYPES])(int64_t, int64_t, const void *const *, int64_t,
                                            void *const *, int64_t) = {
      lines_f32, lines_f64, lines_i64, lines_i32, lines_u8, lines_u8};
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  const int64_t in = fnn_itemsize(x->dtype), out = fnn_itemsize(y->dtype);
  const int64_t step = x->stride[call->scalars[0].i], last = l->n - 1;
  const int backward = call->scalars[1].i != 0;
  for (int64_t t = mine.begin; t < mine.end; t++) {
    const void *from[SIDE];
    void *to[SIDE];
    const int64_t left = l->outer - t * SIDE, lines = left < SIDE ? left : SIDE;
    for (int64_t k = 0; k < lines; k++) {
      const int64_t o = t * SIDE + k;
      from[k] = (char *)x->data + (fnn_offset(before, o) + (backward ? last * step : 0)) * in;
      to[k] = (char *)y->data + (o * l->n + (backward ? last : 0)) * out;
    }
    lines_of[x->dtype](l->n, lines, from, backward ? -step : step, to, backward ? -1 : 1);
  }
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
  fnn_range mine = fnn_share(l.tasks, team);
  if (l.inner == 1) {
    run_lines(call, &l, &before, mine);
    return;
  }
  after = fnn_joined(&after);
  int64_t step = after.ndim == 1 ? after.stride[0] : 0;
  int64_t width = after.ndim <= 1 ? STRIP : 1; /* lines that one stride joins */
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
