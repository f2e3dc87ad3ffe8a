/* move.c: ops that move elements by index: gather, scatter, scatter-add, one-hot.
 *
 * An axis is picked out by a view of three dimensions (outer, m, inner). An index i means element i
 * of the axis of length m; -m <= i < 0 counts from the end. Every index is checked before anything
 * is written.
 *
 * A scatter gives each thread a part of the OUTPUT (outer slices, columns or rows) and lets it walk
 * the whole list of indices, so that every output element sees its contributions in the list's
 * order: the bits do not depend on the number of threads, and the last of several writes to one
 * place wins. */
#include "move.h"

#include <string.h>

static const char INDEX_MESSAGE[] = "index {seen} is out of range for an axis of length {limit}";

/* --- planning --- */

static fnn_status move_cost(const fnn_array *index, const fnn_array *y, int64_t elements,
                            fnn_plan *plan) {
  int64_t size = elements * fnn_itemsize(y->dtype);
  plan->bytes = 2.0 * (double)size + 8.0 * (double)fnn_size(index);
  plan->tasks = 1 + size / 16384;
  plan->may_fail = 1;
  return FNN_OK;
}

static fnn_status check_gather(const fnn_call *call, fnn_failure *why, int along) {
  const fnn_array *x = &call->arrays[0], *index = &call->arrays[1], *y = &call->arrays[2];
  if (index->dtype != FNN_I64) return fnn_fail(why, FNN_ERR_DTYPE, "indices must be int64");
  if (x->dtype != y->dtype) return fnn_fail(why, FNN_ERR_DTYPE, "x and y differ in dtype");
  if (x->ndim != 3 || y->ndim != 3 || index->ndim != (along ? 3 : 1))
    return fnn_fail(why, FNN_ERR_SHAPE, "x and y have three dimensions (outer, axis, inner)");
  if (x->shape[0] != y->shape[0] || x->shape[2] != y->shape[2] ||
      (along ? !fnn_same_shape(index, y) : index->shape[0] != y->shape[1]))
    return fnn_fail(why, FNN_ERR_SHAPE, "x, indices and y do not fit together");
  if (!fnn_contiguous(y)) return fnn_fail(why, FNN_ERR_SHAPE, "y must be contiguous");
  return FNN_OK;
}

static fnn_status check_scatter(const fnn_call *call, fnn_failure *why, int along, int adds) {
  const fnn_array *in = &call->arrays[0], *index = &call->arrays[1], *values = &call->arrays[2],
                  *y = &call->arrays[3];
  if (index->dtype != FNN_I64) return fnn_fail(why, FNN_ERR_DTYPE, "indices must be int64");
  if (values->dtype != y->dtype || in->dtype != y->dtype)
    return fnn_fail(why, FNN_ERR_DTYPE, "values and y differ in dtype");
  if (adds && !fnn_is_real(y->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "scatter-add takes float32 or float64");
  if (y->ndim != 3 || values->ndim != 3 || index->ndim != (along ? 3 : 1))
    return fnn_fail(why, FNN_ERR_SHAPE, "values and y have three dimensions (outer, axis, inner)");
  if (values->shape[0] != y->shape[0] || values->shape[2] != y->shape[2] ||
      (along ? !fnn_same_shape(index, values) : index->shape[0] != values->shape[1]))
    return fnn_fail(why, FNN_ERR_SHAPE, "y, indices and values do not fit together");
  if (in->data != y->data || !fnn_same_shape(in, y) ||
      memcmp(in->stride, y->stride, sizeof in->stride[0] * 3) != 0)
    return fnn_fail(why, FNN_ERR_VALUE,
                    "a scatter works in place: y is the same array on both sides");
  return FNN_OK;
}

static fnn_status check_ravel(const fnn_call *call, fnn_failure *why) {
  const fnn_array *prefix = &call->arrays[0], *index = &call->arrays[1], *y = &call->arrays[2];
  if (index->dtype != FNN_I64 || y->dtype != FNN_I64 ||
      (fnn_present(prefix) && prefix->dtype != FNN_I64))
    return fnn_fail(why, FNN_ERR_DTYPE, "indices must be int64");
  if (!fnn_same_shape(index, y) || (fnn_present(prefix) && !fnn_same_shape(prefix, y)))
    return fnn_fail(why, FNN_ERR_SHAPE, "prefix, index and y differ in shape");
  if (!fnn_contiguous(y)) return fnn_fail(why, FNN_ERR_SHAPE, "y must be contiguous");
  if (call->scalars[0].i < 0) return fnn_fail(why, FNN_ERR_VALUE, "the axis has a negative length");
  return FNN_OK;
}

static fnn_status check_one_hot(const fnn_call *call, fnn_failure *why) {
  const fnn_array *index = &call->arrays[0], *y = &call->arrays[1];
  if (index->dtype != FNN_I64) return fnn_fail(why, FNN_ERR_DTYPE, "indices must be int64");
  if (index->ndim != 1 || y->ndim != 2 || index->shape[0] != y->shape[0])
    return fnn_fail(why, FNN_ERR_SHAPE, "one_hot takes n indices and gives (n, classes)");
  if (!fnn_contiguous(y)) return fnn_fail(why, FNN_ERR_SHAPE, "y must be contiguous");
  return FNN_OK;
}

fnn_status fnn_move_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = call->arrays;
  fnn_status status;
  switch (call->op) {
    case FNN_OP_gather:
    case FNN_OP_gather_along:
      status = check_gather(call, why, call->op == FNN_OP_gather_along);
      return status ? status : move_cost(&a[1], &a[2], fnn_size(&a[2]), plan);
    case FNN_OP_scatter:
    case FNN_OP_scatter_add:
    case FNN_OP_scatter_add_along:
      status = check_scatter(call, why, call->op == FNN_OP_scatter_add_along,
                             call->op != FNN_OP_scatter);
      plan->flops = (double)fnn_size(&a[2]);
      return status ? status : move_cost(&a[1], &a[3], fnn_size(&a[2]), plan);
    case FNN_OP_ravel_index:
      status = check_ravel(call, why);
      return status ? status : move_cost(&a[1], &a[2], fnn_size(&a[2]), plan);
    default:
      status = check_one_hot(call, why);
      return status ? status : move_cost(&a[0], &a[1], fnn_size(&a[1]), plan);
  }
}

/* --- walking index arrays of any strides --- */

/* A position in an array, stepped in row-major order. */
typedef struct {
  const fnn_array *array;
  int64_t at[FNN_MAX_DIMS];
  int64_t offset;
} walk;

static walk walk_from(const fnn_array *array, int64_t position) {
  walk w = {.array = array};
  for (int d = array->ndim - 1; d >= 0; d--) {
    w.at[d] = position % array->shape[d];
    position /= array->shape[d];
    w.offset += w.at[d] * array->stride[d];
  }
  return w;
}

static inline void walk_step(walk *w) {
  for (int d = w->array->ndim - 1; d >= 0; d--) {
    w->offset += w->array->stride[d];
    if (++w->at[d] < w->array->shape[d]) return;
    w->offset -= w->at[d] * w->array->stride[d];
    w->at[d] = 0;
  }
}

int fnn_index_outside(const fnn_array *index, int64_t low, int64_t m, fnn_team *team) {
  fnn_range share = fnn_share(fnn_size(index), team);
  if (share.begin < share.end) {
    const int64_t *data = index->data;
    const fnn_integer_kernels *k = fnn_kernels_of(FNN_F32)->integer;
    if (fnn_contiguous(index) && !k->outside(share.end - share.begin, data + share.begin, low, m))
      share.end = share.begin; /* nothing to look for one by one */
    walk w = walk_from(index, share.begin);
    for (int64_t i = share.begin; i < share.end; i++, walk_step(&w)) {
      int64_t seen = data[w.offset];
      if (seen < low || seen >= m) {
        fnn_team_fail(team, FNN_ERR_INDEX, i, INDEX_MESSAGE, seen, m);
        break;
      }
    }
  }
  fnn_team_barrier(team);
  return fnn_team_failed(team);
}

void fnn_copy_strided(int64_t n, int64_t size, const char *from, int64_t from_stride, char *to,
                      int64_t to_stride) {
  if (n == 1 || (from_stride == 1 && to_stride == 1)) {
    memcpy(to, from, (size_t)(n * size));
  } else if (size == 4) {
    for (int64_t i = 0; i < n; i++)
      ((int32_t *)to)[i * to_stride] = ((const int32_t *)from)[i * from_stride];
  } else if (size == 8) {
    for (int64_t i = 0; i < n; i++)
      ((int64_t *)to)[i * to_stride] = ((const int64_t *)from)[i * from_stride];
  } else {
    for (int64_t i = 0; i < n; i++) to[i * to_stride] = from[i * from_stride];
  }
}

/* --- the scatters --- */

/* The box of y that a thread owns. Its shape may follow the team: no element's sum is cut by it. */
typedef struct {
  fnn_range outer, rows, columns;
} box;

static box own_box(const fnn_array *y, int64_t least_columns, const fnn_team *team) {
  box b = {{0, y->shape[0]}, {0, y->shape[1]}, {0, y->shape[2]}};
  if (y->shape[0] >= team->size) {
    b.outer = fnn_share(y->shape[0], team);
  } else if (y->shape[2] >= least_columns * team->size) {
    /* In whole cache lines, so that two threads seldom write to one. */
    int64_t lines = (y->shape[2] + 15) / 16;
    fnn_range share = fnn_share(lines, team);
    b.columns.begin = share.begin * 16;
    b.columns.end = share.end * 16 < y->shape[2] ? share.end * 16 : y->shape[2];
  } else {
    b.rows = fnn_share(y->shape[1], team);
  }
  return b;
}

/* A few numbers are added here; more are worth a call. */
static inline void add_strided(int dtype, int64_t n, const char *x, int64_t x_stride, char *y,
                               int64_t y_stride) {
  if (n > 16 && x_stride == 1 && y_stride == 1) {
    fnn_kernels_of(dtype)->move.add_row(n, x, y);
  } else if (dtype == FNN_F32) {
    for (int64_t i = 0; i < n; i++) ((float *)y)[i * y_stride] += ((const float *)x)[i * x_stride];
  } else {
    for (int64_t i = 0; i < n; i++)
      ((double *)y)[i * y_stride] += ((const double *)x)[i * x_stride];
  }
}

/* scatter:      y[o, index[j], c]  = values[o, j, c], the last j wins
 * scatter_add:  y[o, index[j], c] += values[o, j, c] in the order of j, but where index[j] is `skip`
 *               (>= 0; -1 for none).
 * y (in place) and values have any strides; they do not overlap each other. */
static void run_scatter(const fnn_call *call, fnn_team *team) {
  const fnn_array *index = &call->arrays[1], *values = &call->arrays[2], *y = &call->arrays[3];
  int adds = call->op == FNN_OP_scatter_add;
  int64_t m = y->shape[1], k = values->shape[1], size = fnn_itemsize(y->dtype);
  int64_t skip = adds ? call->scalars[0].i : -1;
  const int64_t *at = index->data;
  if (bad_index(index, m, team)) return;
  box own = own_box(y, 32, team);
  int64_t n = own.columns.end - own.columns.begin;
  if (n <= 0) return;
  for (int64_t o = own.outer.begin; o < own.outer.end; o++) {
    char *to = (char *)y->data + size * (o * y->stride[0] + own.columns.begin * y->stride[2]);
    const char *from = (const char *)values->data +
                       size * (o * values->stride[0] + own.columns.begin * values->stride[2]);
    for (int64_t j = 0; j < k; j++) {
      int64_t i = wrapped(at[j * index->stride[0]], m);
      if (i < own.rows.begin || i >= own.rows.end || i == skip) continue;
      char *row = to + size * i * y->stride[1];
      const char *value = from + size * j * values->stride[1];
      if (adds)
        add_strided(y->dtype, n, value, values->stride[2], row, y->stride[2]);
      else
        fnn_copy_strided(n, size, value, values->stride[2], row, y->stride[2]);
    }
  }
}

/* scatter_add_along: y[o, index[o, j, c], c] += values[o, j, c] in the order of j. As scatter_add. */
static void run_scatter_add_along(const fnn_call *call, fnn_team *team) {
  const fnn_array *index = &call->arrays[1], *values = &call->arrays[2], *y = &call->arrays[3];
  int64_t m = y->shape[1], k = values->shape[1];
  if (bad_index(index, m, team)) return;
  box own = own_box(y, 16, team);
  for (int64_t o = own.outer.begin; o < own.outer.end; o++) {
    for (int64_t j = 0; j < k; j++) {
      const int64_t *at =
          (const int64_t *)index->data + o * index->stride[0] + j * index->stride[1];
      for (int64_t c = own.columns.begin; c < own.columns.end; c++) {
        int64_t i = wrapped(at[c * index->stride[2]], m);
        if (i < own.rows.begin || i >= own.rows.end) continue;
        int64_t to = o * y->stride[0] + i * y->stride[1] + c * y->stride[2];
        int64_t from = o * values->stride[0] + j * values->stride[1] + c * values->stride[2];
        if (y->dtype == FNN_F32)
          ((float *)y->data)[to] += ((const float *)values->data)[from];
        else
          ((double *)y->data)[to] += ((const double *)values->data)[from];
      }
    }
  }
}

/* --- ravel_index: y = prefix * size + index, the index wrapped; prefix absent counts as 0. Several
 * index arrays, one an axis, become one index into the flattened axes. Any strides; y contiguous --- */

static void run_ravel_index(const fnn_call *call, fnn_team *team) {
  const fnn_array *prefix = &call->arrays[0], *index = &call->arrays[1], *y = &call->arrays[2];
  int64_t m = call->scalars[0].i;
  int has_prefix = fnn_present(prefix);
  if (bad_index(index, m, team)) return;
  fnn_range share = fnn_share(fnn_size(y), team);
  if (share.begin >= share.end) return;
  walk at = walk_from(index, share.begin),
       before = walk_from(has_prefix ? prefix : index, share.begin);
  for (int64_t i = share.begin; i < share.end; i++, walk_step(&at), walk_step(&before)) {
    int64_t base = has_prefix ? ((const int64_t *)prefix->data)[before.offset] * m : 0;
    ((int64_t *)y->data)[i] = base + wrapped(((const int64_t *)index->data)[at.offset], m);
  }
}

/* --- one_hot: y[j, :] = 0 but y[j, index[j]] = 1, in y's dtype; classes count from 0. y
 * contiguous --- */

static void run_one_hot(const fnn_call *call, fnn_team *team) {
  static const float one32 = 1;
  static const double one64 = 1;
  static const int64_t one_i64 = 1;
  static const int32_t one_i32 = 1;
  static const uint8_t one_byte = 1;
  const void *const ones[FNN_DTYPES] = {&one32, &one64, &one_i64, &one_i32, &one_byte, &one_byte};
  const fnn_array *index = &call->arrays[0], *y = &call->arrays[1];
  int64_t classes = y->shape[1], size = fnn_itemsize(y->dtype);
  if (fnn_index_outside(index, 0, classes, team)) return;
  fnn_range share = fnn_share(y->shape[0], team);
  if (share.begin >= share.end || classes == 0) return;
  char *rows = (char *)y->data + share.begin * classes * size;
  memset(rows, 0, (size_t)((share.end - share.begin) * classes * size));
  for (int64_t j = share.begin; j < share.end; j++) {
    int64_t i = ((const int64_t *)index->data)[j * index->stride[0]];
    memcpy((char *)y->data + size * (j * classes + i), ones[y->dtype], (size_t)size);
  }
}

void fnn_move_run(const fnn_call *call, fnn_team *team) {
  switch (call->op) {
    case FNN_OP_gather:
      fnn_gather(call, team);
      return;
    case FNN_OP_gather_along:
      fnn_gather_along(call, team);
      return;
    case FNN_OP_scatter:
    case FNN_OP_scatter_add:
      run_scatter(call, team);
      return;
    case FNN_OP_scatter_add_along:
      run_scatter_add_along(call, team);
      return;
    case FNN_OP_ravel_index:
      run_ravel_index(call, team);
      return;
    default:
      run_one_hot(call, team);
      return;
  }
}
