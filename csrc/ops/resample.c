/* resample.c: two axes of an array padded or brought to another length, and the gradient of that.
 *
 * Along each axis an element of y is a sum of a few elements of x with weights. Tables of these, made from the
 * scalars by the first thread, serve both directions: resample reads x by the table, resample_grad reads dy by
 * the same table turned round, so that both only gather and no thread writes where another does. */
#include <math.h>
#include <string.h>

#include "map.h"

enum { CONSTANT, REFLECT, REPLICATE, CIRCULAR, NEAREST, LINEAR, CORNERS, KINDS };
enum { KIND, BEFORE, SCALE = 3, VALUE = 5 }; /* scalars; of BEFORE and SCALE one for each axis */

#define ROWS 32    /* that are added up at a time */
#define TASK 16384 /* elements of a task, about */

/* Of element i of an axis: entries at[i] to at[i + 1], the elements of the other array and their weights. */
typedef struct {
  int64_t *at, *index;
  double *weight;
} table;

typedef struct {
  int kind, grad;
  const fnn_array *in, *out;
  const fnn_scalar *scalars;
  int64_t size, channels;
  int64_t rows, each, tasks; /* of out, of a task */
} resample;

static resample resample_of(const fnn_call *call) {
  resample r = {.kind = (int)call->scalars[KIND].i,
                .grad = call->op == FNN_OP_resample_grad,
                .in = &call->arrays[0],
                .out = &call->arrays[1],
                .scalars = call->scalars};
  const int64_t *shape = r.out->shape;
  r.size = fnn_itemsize(r.out->dtype);
  r.channels = shape[3];
  r.rows = shape[0] * shape[1];
  int64_t row = shape[2] * shape[3];
  r.each = row < TASK ? TASK / (row > 0 ? row : 1) : 1;
  r.tasks = (r.rows + r.each - 1) / r.each;
  return r;
}

/* --- tables --- */

static int64_t within(int64_t j, int64_t n) { return j < 0 ? 0 : j >= n ? n - 1 : j; }

/* The element of n that padding puts at j, -1 for none. */
static int64_t padded(int kind, int64_t j, int64_t n) {
  if (j >= 0 && j < n) return j;
  if (kind == CONSTANT) return -1;
  if (kind == REPLICATE) return within(j, n);
  int64_t period = kind == CIRCULAR ? n : n > 1 ? 2 * (n - 1) : 1;
  j = (j % period + period) % period;
  return j < n ? j : period - j;
}

/* What element i of y, of m, is made of: how many of x's n elements, at most two. */
static int entries(const resample *r, int axis, int64_t i, int64_t n, int64_t m, int64_t *index,
                   double *weight) {
  double scale = r->scalars[SCALE + axis].f, place;
  index[0] = -1;
  weight[0] = 1;
  if (r->kind < NEAREST) {
    index[0] = padded(r->kind, i - r->scalars[BEFORE + axis].i, n);
    return index[0] >= 0;
  }
  if (r->kind == NEAREST) { /* exact where there is no scale */
    index[0] = scale > 0 ? (int64_t)fmin((double)i * scale, (double)n) : i * n / m;
    index[0] = within(index[0], n);
    return 1;
  }
  if (r->kind == CORNERS)
    place = m > 1 ? (double)i * ((double)(n - 1) / (double)(m - 1)) : 0;
  else
    place = ((double)i + 0.5) * (scale > 0 ? scale : (double)n / (double)m) - 0.5;
  place = fmin(fmax(place, 0), (double)(n - 1));
  index[0] = (int64_t)place;
  index[1] = within(index[0] + 1, n);
  weight[1] = place - (double)index[0];
  weight[0] = 1 - weight[1];
  return weight[1] > 0 ? 2 : 1;
}

/* Bytes of an axis' table: out's places, and y's elements twice. */
static int64_t table_bytes(const fnn_array *out, const fnn_array *y, int axis) {
  return (out->shape[1 + axis] + 1 + 4 * y->shape[1 + axis]) * 8;
}

static table table_in(const resample *r, int axis, char *workspace) {
  const fnn_array *y = r->grad ? r->in : r->out;
  if (axis) workspace += table_bytes(r->out, y, 0);
  table t = {.at = (int64_t *)workspace};
  t.index = t.at + r->out->shape[1 + axis] + 1;
  t.weight = (double *)(t.index + 2 * y->shape[1 + axis]);
  return t;
}

static void make_table(const resample *r, int axis, table *t) {
  int64_t n = (r->grad ? r->out : r->in)->shape[1 + axis], index[2];
  int64_t m = (r->grad ? r->in : r->out)->shape[1 + axis], places = r->out->shape[1 + axis];
  double weight[2];
  memset(t->at, 0, (size_t)(places + 1) * sizeof(int64_t));
  /* How many each place has, behind it; then where they begin. */
  for (int64_t i = 0; i < m; i++) {
    int count = n > 0 ? entries(r, axis, i, n, m, index, weight) : 0;
    if (!r->grad) t->at[i + 1] = count;
    for (int k = 0; r->grad && k < count; k++) t->at[index[k] + 1]++;
  }
  for (int64_t i = 0; i < places; i++) t->at[i + 1] += t->at[i];
  for (int64_t i = 0; i < m; i++) {
    int count = n > 0 ? entries(r, axis, i, n, m, index, weight) : 0;
    for (int k = 0; k < count; k++) {
      int64_t at = r->grad ? t->at[index[k]]++ : t->at[i] + k;
      t->index[at] = r->grad ? i : index[k];
      t->weight[at] = weight[k];
    }
  }
  if (r->grad) { /* the beginnings have moved on to the ends */
    memmove(t->at + 1, t->at, (size_t)places * sizeof(int64_t));
    t->at[0] = 0;
  }
}

/* --- rows --- */

/* n elements become the value. */
static void fill(const resample *r, int64_t n, char *to) {
  double value = r->grad ? 0 : r->scalars[VALUE].f;
  union {
    float f32;
    double f64;
    int64_t i64;
    int32_t i32;
    uint8_t u8;
  } one;
  switch (r->out->dtype) {
    case FNN_F32:
      one.f32 = (float)value;
      break;
    case FNN_F64:
      one.f64 = value;
      break;
    case FNN_I64:
      one.i64 = (int64_t)value;
      break;
    case FNN_I32:
      one.i32 = (int32_t)value;
      break;
    case FNN_BOOL:
      one.u8 = value != 0;
      break;
    default:
      one.u8 = (uint8_t)(int)value;
  }
  fnn_copy_block(r->size, 1, n, (const char *)&one, 0, 0, to, 0, 1);
}

/* A pixel that is a sum. */
static void sum_pixel(const resample *r, const char *image, const table *h, int64_t row,
                      const table *w, int64_t col, char *to) {
  const fnn_move_kernels *k = &fnn_kernels_of(r->out->dtype)->move;
  const void *rows[ROWS];
  double weights[ROWS];
  int count = 0, add = 0;
  for (int64_t a = h->at[row]; a < h->at[row + 1]; a++)
    for (int64_t b = w->at[col]; b < w->at[col + 1]; b++) {
      rows[count] =
          image + (h->index[a] * r->in->stride[1] + w->index[b] * r->in->stride[2]) * r->size;
      weights[count++] = h->weight[a] * w->weight[b];
      if (count < ROWS) continue;
      k->combine(r->channels, count, rows, weights, add, to);
      add = 1;
      count = 0;
    }
  if (count) k->combine(r->channels, count, rows, weights, add, to);
}

/* Whether a place is one element as it is. */
static int is_copy(const table *t, int64_t i) {
  return t->at[i + 1] - t->at[i] == 1 && t->weight[t->at[i]] == 1;
}

/* One row of out: runs of pixels that lie side by side in `in` too are copied at once. */
static void make_row(const resample *r, const table *h, const table *w, int64_t number) {
  int64_t row = number % r->out->shape[1], width = r->out->shape[2], pixel = r->channels * r->size;
  int64_t along = r->in->stride[2];
  const char *image =
      (const char *)r->in->data + number / r->out->shape[1] * r->in->stride[0] * r->size;
  char *to = (char *)r->out->data + number * width * pixel;
  int copies = is_copy(h, row), none = h->at[row] == h->at[row + 1];
  for (int64_t col = 0, run; col < width; col += run, to += run * pixel) {
    run = 1;
    if (none || w->at[col] == w->at[col + 1]) {
      while (col + run < width && (none || w->at[col + run] == w->at[col + run + 1])) run++;
      fill(r, run * r->channels, to);
    } else if (copies && is_copy(w, col)) {
      int64_t first = w->index[w->at[col]];
      if (along == r->channels)
        while (col + run < width && is_copy(w, col + run) &&
               w->index[w->at[col + run]] == first + run)
          run++;
      memcpy(to, image + (h->index[h->at[row]] * r->in->stride[1] + first * along) * r->size,
             (size_t)(run * pixel));
    } else {
      sum_pixel(r, image, h, row, w, col, to);
    }
  }
}

/* resample: x (N, H, W, C) -> y (N, H', W', C), both axes alike; kinds 0 to 3 pad, with `value`, a reflection, the
 * last element or the other side, `before` elements of them on the near side (fewer than none: as many are cut
 * off); 4 to 6 change the length, by the nearest element or linearly between the centres or between the corners,
 * where scale is the length in x of a step in y, 0 for H / H'. Channels of x lie side by side, y is
 * contiguous. What only copies takes any dtype.
 * resample_grad: dx, from dy (N, H', W', C), for the same scalars. */
fnn_status fnn_resample_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  resample r = resample_of(call);
  const fnn_array *in = r.in, *out = r.out, *x = r.grad ? out : in, *y = r.grad ? in : out;
  if (in->dtype != out->dtype)
    return fnn_fail(why, FNN_ERR_DTYPE, "resample: x and y differ in dtype");
  if (r.kind < 0 || r.kind >= KINDS) return fnn_fail(why, FNN_ERR_VALUE, "resample: no such kind");
  if (!fnn_is_real(in->dtype) && (r.grad || r.kind > NEAREST))
    return fnn_fail(why, FNN_ERR_DTYPE, "resample: sums are of float32 or float64");
  if (in->ndim != 4 || out->ndim != 4 || in->shape[0] != out->shape[0] ||
      in->shape[3] != out->shape[3])
    return fnn_fail(why, FNN_ERR_SHAPE, "resample: arrays must be (N, H, W, C), alike in N and C");
  if (!fnn_contiguous(out) || (in->shape[3] > 1 && in->stride[3] != 1))
    return fnn_fail(why, FNN_ERR_SHAPE, "resample: y and the channels of x must be contiguous");
  if (!fnn_is_real(in->dtype) && !(fabs(call->scalars[VALUE].f) < 0x1p31))
    return fnn_fail(why, FNN_ERR_VALUE, "resample: the value is out of range");
  for (int i = 0; i < 2; i++) {
    double scale = call->scalars[SCALE + i].f;
    int64_t before = call->scalars[BEFORE + i].i, most = INT64_C(1) << 31;
    if (!(scale >= 0) || before > most || before < -most || x->shape[1 + i] > most ||
        y->shape[1 + i] > most)
      return fnn_fail(why, FNN_ERR_VALUE, "resample: a scale or a length is out of range");
    if (x->shape[1 + i] == 0 && y->shape[1 + i] > 0 && r.kind != CONSTANT)
      return fnn_fail(why, FNN_ERR_SHAPE, "resample: something must be made of nothing");
  }
  if (fnn_size(out) == 0) return FNN_OK;
  plan->tasks = r.tasks;
  plan->workspace = table_bytes(out, y, 0) + table_bytes(out, y, 1);
  plan->bytes = fnn_bytes(in) + fnn_bytes(out);
  plan->flops = r.kind > NEAREST || r.grad ? 8.0 * (double)fnn_size(y) : 0;
  return FNN_OK;
}

void fnn_resample_run(const fnn_call *call, fnn_team *team) {
  resample r = resample_of(call);
  if (fnn_size(r.out) == 0) return;
  table axes[2];
  for (int i = 0; i < 2; i++) {
    axes[i] = table_in(&r, i, team->workspace);
    if (team->id == 0) make_table(&r, i, &axes[i]);
  }
  fnn_team_barrier(team);
  fnn_range mine = fnn_share(r.tasks, team);
  int64_t end = mine.end * r.each < r.rows ? mine.end * r.each : r.rows;
  for (int64_t i = mine.begin * r.each; i < end; i++) make_row(&r, &axes[0], &axes[1], i);
}
