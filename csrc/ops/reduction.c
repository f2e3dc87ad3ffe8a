/* reduction.c: see reduction.h. */
#include "reduction.h"

#include <math.h>
#include <stdlib.h>

static int kind_of(int op) {
  switch (op) {
    case FNN_OP_sum_squares:
      return FNN_REDUCE_SUMSQ;
    case FNN_OP_prod:
      return FNN_REDUCE_PROD;
    case FNN_OP_max:
    case FNN_OP_any:
      return FNN_REDUCE_MAX;
    case FNN_OP_min:
    case FNN_OP_all:
      return FNN_REDUCE_MIN;
    case FNN_OP_argmax:
      return FNN_REDUCE_ARGMAX;
    case FNN_OP_argmin:
      return FNN_REDUCE_ARGMIN;
    case FNN_OP_var:
    case FNN_OP_moments:
      return FNN_REDUCE_MOMENTS;
    case FNN_OP_logsumexp:
      return FNN_REDUCE_LSE;
    default:
      return FNN_REDUCE_SUM;
  }
}

static void swap(int64_t *a, int64_t *b) {
  int64_t t = *a;
  *a = *b, *b = t;
}

/* Put a's axes in the order of its strides, the longest first, and b's alike when there is a b. */
static void sort_axes(fnn_array *a, fnn_array *b) {
  for (int i = 1; i < a->ndim; i++)
    for (int j = i; j > 0 && llabs(a->stride[j - 1]) < llabs(a->stride[j]); j--) {
      swap(&a->shape[j], &a->shape[j - 1]);
      swap(&a->stride[j], &a->stride[j - 1]);
      if (b) swap(&b->stride[j], &b->stride[j - 1]), swap(&b->shape[j], &b->shape[j - 1]);
    }
}

/* Walk axis d of a, and of b, from its other end where a's stride is negative. */
static void flip_axis(fnn_array *a, fnn_array *b, int d) {
  if (a->stride[d] >= 0) return;
  fnn_array *both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    if (!both[i]) continue;
    both[i]->data = (char *)both[i]->data +
                    (both[i]->shape[d] - 1) * both[i]->stride[d] * fnn_itemsize(both[i]->dtype);
    both[i]->stride[d] = -both[i]->stride[d];
  }
}

static void join_kept(fnn_array *a, fnn_array *b) {
  int n = 0;
  for (int d = 0; d < a->ndim; d++) {
    if (n && a->stride[n - 1] == a->stride[d] * a->shape[d] &&
        b->stride[n - 1] == b->stride[d] * b->shape[d]) {
      a->shape[n - 1] *= a->shape[d], b->shape[n - 1] *= b->shape[d];
      a->stride[n - 1] = a->stride[d], b->stride[n - 1] = b->stride[d];
    } else {
      a->shape[n] = a->shape[d], b->shape[n] = b->shape[d];
      a->stride[n] = a->stride[d], b->stride[n] = b->stride[d];
      n++;
    }
  }
  a->ndim = b->ndim = n;
}

static void add_axis(fnn_array *to, const fnn_array *from, int d) {
  to->shape[to->ndim] = from->shape[d];
  to->stride[to->ndim++] = from->stride[d];
}

/* The axes of x and y sorted into r->reduced, r->kept and r->out. False when the shapes do not fit. */
static int split_axes(const fnn_array *x, const fnn_array *y, fnn_reduction *r) {
  r->reduced = r->kept = *x;
  r->out = *y;
  r->reduced.ndim = r->kept.ndim = r->out.ndim = 0;
  r->count = r->outputs = 1;
  if (x->ndim != y->ndim) return 0;
  for (int d = 0; d < x->ndim; d++) {
    if (x->shape[d] == 1 && y->shape[d] == 1) continue;
    if (y->shape[d] == x->shape[d]) {
      add_axis(&r->kept, x, d);
      add_axis(&r->out, y, d);
      r->outputs *= x->shape[d];
    } else if (y->shape[d] == 1) {
      add_axis(&r->reduced, x, d);
      r->count *= x->shape[d];
    } else {
      return 0;
    }
  }
  return 1;
}

/* How many rows of columns are taken as one: rows that touch, of real numbers, where there are several times as
 * many. Places (argmax) are not folded, nor is what takes long anyway. */
static int64_t fold_of(const fnn_reduction *r) {
  const fnn_array *x = &r->reduced;
  int64_t fold = 1;
  if (r->work == FNN_I64 || fnn_reduction_is_arg(r->kind) || r->kind == FNN_REDUCE_LSE ||
      x->ndim != 1 || r->inner_x != 1 || x->stride[0] != r->inner)
    return 1;
  while (2 * fold * r->inner <= FNN_REDUCTION_FOLDED && 16 * fold <= r->count) fold *= 2;
  return fold;
}

/* Rows of so many elements are copied and reduced as columns: turning them costs less than a sum across lanes
 * for each. */
static int64_t short_of(const fnn_reduction *r) {
  int plain = r->work != FNN_I64 && fnn_reduction_numbers(r->kind) == 1;
  return plain && r->reduced.ndim == 1 ? FNN_REDUCTION_PLAIN_SHORT : FNN_REDUCTION_SHORT;
}

/* The last kept axis becomes columns, cut into strips; the rows are cut into blocks. */
static void cut_columns(fnn_reduction *r, int dtype) {
  const int d = --r->kept.ndim;
  r->out.ndim = d;
  r->inner = r->kept.shape[d], r->inner_x = r->kept.stride[d], r->inner_y = r->out.stride[d];
  r->fold = fold_of(r);
  r->per_block = r->fold > 1 ? r->fold * FNN_REDUCTION_FOLDED_ROWS : FNN_REDUCE_ROWS;
  r->strip = FNN_REDUCTION_STRIP;
  if (r->inner_x != 1 || r->read != dtype)
    r->strip =
        r->count <= FNN_REDUCTION_SHORT ? FNN_REDUCTION_STRIP_SHORT : FNN_REDUCTION_STRIP_GATHER;
}

int fnn_reduction_of(const fnn_call *call, fnn_reduction *r) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  r->op = call->op;
  r->means = call->op == FNN_OP_moments ? call->arrays[2].data : NULL;
  r->kind = kind_of(call->op);
  r->ddof = call->op == FNN_OP_var ? call->scalars[0].f : 0;
  r->truth = call->op == FNN_OP_any || call->op == FNN_OP_all;
  r->work = fnn_is_real(x->dtype) && !r->truth ? x->dtype : FNN_I64;
  r->read = r->truth ? FNN_BOOL : x->dtype;
  if (!split_axes(x, y, r)) return 0;
  r->columns = 0, r->blocks = r->strips = 0;
  if (r->outputs == 0 || r->count == 0) return 1;

  fnn_array *reduced = &r->reduced, *kept = &r->kept;
  if (!fnn_reduction_is_arg(r->kind)) {
    for (int d = 0; d < reduced->ndim; d++) flip_axis(reduced, NULL, d);
    sort_axes(reduced, NULL);
  }
  *reduced = fnn_joined(reduced);
  for (int d = 0; d < kept->ndim; d++) flip_axis(kept, &r->out, d);
  sort_axes(kept, &r->out);
  join_kept(kept, &r->out);
  if (r->means) r->means = (char *)r->means + ((char *)r->out.data - (char *)y->data);
  /* Both walked from x's data: what flipping added to kept's moves reduced's too. */
  reduced->data = (char *)reduced->data + ((char *)kept->data - (char *)x->data);

  int k = kept->ndim - 1, d = reduced->ndim - 1;
  r->columns = k >= 0 && (d < 0 || kept->stride[k] < llabs(reduced->stride[d]));
  if (!r->columns && k >= 0 && r->count <= short_of(r) && kept->shape[k] >= 16) r->columns = 1;
  r->inner = r->strip = r->fold = 1;
  r->per_block = FNN_REDUCTION_BLOCK;
  if (r->columns) cut_columns(r, x->dtype);
  r->blocks = (r->count + r->per_block - 1) / r->per_block;
  r->strips = (r->inner + r->strip - 1) / r->strip;
  return 1;
}

const void *fnn_reduction_as_read(const fnn_reduction *r, int64_t n, const void *x, void *buffer) {
  const int64_t step = 1;
  if (r->read == r->reduced.dtype) return x;
  fnn_kernels_of(FNN_F32)->integer->convert[r->reduced.dtype][r->read](n, &x, &step, buffer, NULL);
  return buffer;
}

/* --- states --- */
static int beats(const fnn_reduction *r, fnn_scalar b, fnn_scalar a) {
  int most = r->kind == FNN_REDUCE_MAX || r->kind == FNN_REDUCE_ARGMAX;
  if (r->work == FNN_I64) return most ? b.i > a.i : b.i < a.i;
  if (isnan(a.f) || isnan(b.f)) return !isnan(a.f);
  return most ? b.f > a.f : b.f < a.f;
}

/* a, of na elements, then b, of nb, into a. */
static void combine(const fnn_reduction *r, fnn_scalar *a, double na, const fnn_scalar *b,
                    double nb) {
  int whole = r->work == FNN_I64;
  switch (r->kind) {
    case FNN_REDUCE_SUM:
    case FNN_REDUCE_SUMSQ:
      if (whole)
        a->i = (int64_t)((uint64_t)a->i + (uint64_t)b->i);
      else
        a->f += b->f;
      break;
    case FNN_REDUCE_PROD:
      if (whole)
        a->i = (int64_t)((uint64_t)a->i * (uint64_t)b->i);
      else
        a->f *= b->f;
      break;
    case FNN_REDUCE_MOMENTS: { /* Chan, Golub and LeVeque 1979 */
      double d = b[0].f - a[0].f, n = na + nb;
      a[0].f += d * (nb / n);
      a[1].f += b[1].f + d * d * (na * nb / n);
      break;
    }
    case FNN_REDUCE_LSE: {
      double top = isnan(a->f) || a->f > b->f ? a->f : b->f;
      if (isfinite(top))
        a[1].f = a[1].f * exp(a->f - top) + b[1].f * exp(b->f - top);
      else
        a[1].f += b[1].f;
      a->f = top;
      break;
    }
    default:
      if (beats(r, *b, *a)) {
        a[0] = b[0];
        if (fnn_reduction_is_arg(r->kind)) a[1] = b[1];
      }
  }
}

void fnn_reduction_fold(const fnn_reduction *r, const fnn_scalar *states, int64_t step,
                        int64_t begin, int64_t end, fnn_scalar *result) {
  if (end - begin == 1) {
    result[0] = states[begin * step];
    if (fnn_reduction_numbers(r->kind) == 2) result[1] = states[begin * step + 1];
    return;
  }
  fnn_state right;
  int64_t middle = begin + (end - begin + 1) / 2, last = end * r->per_block;
  if (last > r->count) last = r->count;
  fnn_reduction_fold(r, states, step, begin, middle, result);
  fnn_reduction_fold(r, states, step, middle, end, right);
  combine(r, result, (double)((middle - begin) * r->per_block), right,
          (double)(last - middle * r->per_block));
}

void fnn_reduction_finish(const fnn_reduction *r, const fnn_scalar *s, int64_t at) {
  void *y = r->out.data;
  double value = s[0].f, n = (double)r->count;
  int64_t whole = fnn_reduction_is_arg(r->kind) ? s[1].i : s[0].i;
  if (r->op == FNN_OP_mean) value = (r->work == FNN_I64 ? (double)s[0].i : s[0].f) / n;
  if (r->means) {
    fnn_array means = {.data = r->means, .dtype = r->out.dtype};
    fnn_real_put(&means, at, s[0].f);
  }
  if (r->op == FNN_OP_var || r->op == FNN_OP_moments)
    value = s[1].f / (n > r->ddof ? n - r->ddof : 0);
  if (r->op == FNN_OP_logsumexp) value = s[0].f + log(s[1].f);
  switch (r->out.dtype) {
    case FNN_F32:
      ((float *)y)[at] = (float)value;
      break;
    case FNN_F64:
      ((double *)y)[at] = value;
      break;
    case FNN_I64:
      ((int64_t *)y)[at] = whole;
      break;
    case FNN_I32:
      ((int32_t *)y)[at] = (int32_t)whole;
      break;
    default:
      ((uint8_t *)y)[at] = (uint8_t)whole;
  }
}

void fnn_reduction_finish_empty(const fnn_reduction *r, fnn_team *team) {
  int real = r->work != FNN_I64;
  int one = r->op == FNN_OP_prod || r->op == FNN_OP_all;
  fnn_state s = {{0}, {0}};
  if (real)
    s[0].f = r->op == FNN_OP_logsumexp ? -INFINITY : one;
  else
    s[0].i = one;
  fnn_range mine = fnn_share(r->outputs, team);
  for (int64_t i = mine.begin; i < mine.end; i++)
    fnn_reduction_finish(r, s, fnn_offset(&r->out, i));
}
