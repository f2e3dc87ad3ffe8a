/* reduce.c: sum, mean, max ... over any axes.
 *
 * y has x's rank; an axis is reduced where y's length is 1 and x's is not. Contract: x any strides, y any
 * strides without overlap, overwritten; x and y do not share memory.
 *
 * The axes are sorted by x's strides (argmax keeps those it reduces in order, as it counts along them),
 * joined where they can be, and cut: with a reduced axis innermost ("rows") into blocks of BLOCK
 * elements of one output, with a kept axis innermost ("columns", reduce_columns.c) into blocks of rows
 * by strips of columns. Short rows are turned into columns by copying. Each block gives a state
 * (kernels/reduce.h); an output of several blocks is the fold of their states as a balanced tree. So the
 * bits depend on the shape, not on the team. */
#include "reduction.h"

#define BLOCK FNN_REDUCTION_BLOCK

/* --- rows --- */
static const fnn_integer_kernels *integers(void) { return fnn_kernels_of(FNN_F32)->integer; }

static void reduce_row(const fnn_reduction *r, int kind, int64_t n, const void *x, fnn_scalar *s) {
  if (r->work == FNN_I64) {
    int64_t whole[2] = {0, 0};
    integers()->row[r->read - FNN_I64][kind](n, x, whole);
    s[0].i = whole[0], s[1].i = whole[1];
    return;
  }
  double real[2] = {0, 0};
  fnn_kernels_of(r->work)->reduce.row[kind](n, x, real);
  s[0].f = real[0];
  if (fnn_reduction_is_arg(kind))
    s[1].i = (int64_t)real[1];
  else
    s[1].f = real[1];
}

/* The state of one block of a row; of ARGMAX and ARGMIN the place is that in the whole row. */
static void row_block(const fnn_reduction *r, int kind, int64_t output, int64_t block,
                      fnn_scalar *s) {
  const int64_t begin = block * BLOCK, n = r->count - begin < BLOCK ? r->count - begin : BLOCK;
  const int64_t size = fnn_itemsize(r->reduced.dtype);
  char *first = (char *)r->reduced.data + fnn_offset(&r->kept, output) * size;
  if (r->reduced.ndim == 1 && r->reduced.stride[0] == 1 && r->read == r->reduced.dtype) {
    reduce_row(r, kind, n, first + begin * size, s);
  } else {
    int64_t buffer[BLOCK], bytes[BLOCK / 8];
    fnn_array x = r->reduced;
    x.data = first;
    reduce_row(r, kind, n, fnn_reduction_as_read(r, n, fnn_read(&x, begin, n, buffer), bytes), s);
  }
  if (fnn_reduction_is_arg(kind)) s[1].i += begin;
}

/* Rows of one block that lie as they are read, at even distances: the common case, without the walk. */
static int even(const fnn_reduction *r) {
  return r->blocks == 1 && r->kept.ndim <= 1 && r->reduced.ndim == 1 && r->reduced.stride[0] == 1 &&
         r->read == r->reduced.dtype;
}

static void run_even_rows(const fnn_reduction *r, fnn_range mine) {
  const int64_t size = fnn_itemsize(r->reduced.dtype), arg = fnn_reduction_is_arg(r->kind);
  const int64_t from = r->kept.ndim ? r->kept.stride[0] * size : 0;
  const int64_t to = r->kept.ndim ? r->out.stride[0] : 0;
  const char *x = (const char *)r->reduced.data + mine.begin * from;
  if (r->work == FNN_I64) {
    for (int64_t k = mine.begin; k < mine.end; k++, x += from) {
      fnn_state s;
      reduce_row(r, r->kind, r->count, x, s);
      fnn_reduction_finish(r, s, k * to);
    }
    return;
  }
  void (*row)(int64_t, const void *, double *) = fnn_kernels_of(r->work)->reduce.row[r->kind];
  for (int64_t k = mine.begin; k < mine.end; k++, x += from) {
    double real[2] = {0, 0};
    row(r->count, x, real);
    fnn_state s = {{.f = real[0]}, {.f = real[1]}};
    if (arg) s[1].i = (int64_t)real[1];
    fnn_reduction_finish(r, s, k * to);
  }
}

static void run_rows(const fnn_reduction *r, fnn_team *team) {
  int numbers = fnn_reduction_numbers(r->kind);
  fnn_scalar *states = (fnn_scalar *)team->workspace;
  fnn_range mine = fnn_share(r->outputs * r->blocks, team);
  fnn_state s;
  if (even(r)) {
    run_even_rows(r, mine);
    return;
  }
  if (r->blocks == 1) {
    for (int64_t k = mine.begin; k < mine.end; k++) {
      row_block(r, r->kind, k, 0, s);
      fnn_reduction_finish(r, s, fnn_offset(&r->out, k));
    }
    return;
  }
  /* Which block has the greatest number is known before where in the block it is. */
  const int arg = fnn_reduction_is_arg(r->kind);
  const int kind = arg ? r->kind - FNN_REDUCE_ARGMAX + FNN_REDUCE_MAX : r->kind;
  for (int64_t t = mine.begin; t < mine.end; t++) {
    row_block(r, kind, t / r->blocks, t % r->blocks, s);
    if (arg) s[1].i = t % r->blocks;
    for (int i = 0; i < numbers; i++) states[t * numbers + i] = s[i];
  }
  fnn_team_barrier(team);
  mine = fnn_share(r->outputs, team);
  for (int64_t k = mine.begin; k < mine.end; k++) {
    fnn_reduction_fold(r, states + k * r->blocks * numbers, numbers, 0, r->blocks, s);
    if (arg) row_block(r, r->kind, k, s[1].i, s);
    fnn_reduction_finish(r, s, fnn_offset(&r->out, k));
  }
}

/* sum_squares, mean, var and logsumexp give reals of x's type (mean also of integers); sum and prod int64
 * of integers; max and min x's type; argmax and argmin int64; any and all bool. */
static int takes(int op, int x, int y) {
  switch (op) {
    case FNN_OP_sum:
    case FNN_OP_prod:
      return fnn_is_real(x) ? y == x : y == FNN_I64;
    case FNN_OP_mean:
      return fnn_is_real(x) ? y == x : fnn_is_real(y);
    case FNN_OP_argmax:
    case FNN_OP_argmin:
      return y == FNN_I64;
    case FNN_OP_any:
    case FNN_OP_all:
      return y == FNN_BOOL;
    case FNN_OP_max:
    case FNN_OP_min:
      return y == x;
    default:
      return fnn_is_real(x) && y == x;
  }
}

fnn_status fnn_reduce_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  fnn_reduction r;
  if (!takes(call->op, x->dtype, y->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "this reduction does not take these element types");
  if (!fnn_reduction_of(call, &r))
    return fnn_fail(why, FNN_ERR_SHAPE, "y is not x's shape with 1 for each axis to reduce");
  if (call->op == FNN_OP_moments) {
    const fnn_array *means = &call->arrays[2];
    int alike = fnn_same_shape(means, y) && means->dtype == y->dtype;
    for (int d = 0; d < y->ndim && alike; d++) alike = means->stride[d] == y->stride[d];
    if (!alike) return fnn_fail(why, FNN_ERR_SHAPE, "the means must be laid out as the variances");
  }
  if (r.outputs > 0 && r.count == 0 && r.kind >= FNN_REDUCE_MAX && r.kind <= FNN_REDUCE_ARGMIN &&
      !r.truth)
    return fnn_fail(why, FNN_ERR_SHAPE, "the greatest or least of no elements is not defined");
  if (r.blocks > 1) plan->workspace = r.outputs * r.blocks * fnn_reduction_numbers(r.kind) * 8;
  if (r.blocks > 0) plan->tasks = r.outputs / r.inner * r.blocks * r.strips;
  plan->bytes =
      (double)r.outputs * ((double)r.count * fnn_itemsize(x->dtype) + fnn_itemsize(y->dtype));
  plan->flops = (double)r.outputs * (double)r.count *
                (r.kind == FNN_REDUCE_LSE       ? 20
                 : r.kind == FNN_REDUCE_MOMENTS ? 4
                                                : 1);
  return FNN_OK;
}

void fnn_reduce_run(const fnn_call *call, fnn_team *team) {
  fnn_reduction r;
  fnn_reduction_of(call, &r);
  if (r.outputs == 0) return;
  if (r.count == 0)
    fnn_reduction_finish_empty(&r, team);
  else if (r.columns)
    fnn_reduction_columns(&r, team);
  else
    run_rows(&r, team);
}
