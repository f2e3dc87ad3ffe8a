/* norm.c: layer and RMS normalisation with their gradients; the family's batch half is batch_norm.c.
 *
 * Contract: arrays are contiguous and of one real type, outputs are overwritten; y may be x and dx may be dy,
 * nothing else shares memory. An absent weight is 1, an absent bias 0.
 *
 * layer_norm, rms_norm: x is rows of `width` numbers. y = (x - mean) rstd w + b, rstd = 1 / sqrt(var + eps);
 *   mean and rstd (one a row) are kept for the gradient. dw and db are summed over chunks of rows first,
 *   whose number depends on the shape alone, then over the chunks. */
#include <string.h>

#include "norm.h"

#define TASK 4096 /* elements of a task, about */
#define CHUNKS 64 /* chunks of rows whose dw are kept apart, at most FNN_REDUCE_ROWS */
#define STRIP 512 /* columns of dw that a thread adds up at a time */
#define CHAIN 64  /* rows whose dw is one running sum */

/* All present arrays real, of one type and contiguous, `count` of them from the call's first. */
static fnn_status alike(const fnn_call *call, int count, fnn_failure *why) {
  for (int i = 0; i < count; i++) {
    const fnn_array *a = &call->arrays[i];
    if (!fnn_present(a)) continue;
    if (!fnn_is_real(a->dtype) || a->dtype != call->arrays[0].dtype)
      return fnn_fail(why, FNN_ERR_DTYPE, "normalisation takes float32 or float64, all alike");
    if (!fnn_contiguous(a))
      return fnn_fail(why, FNN_ERR_SHAPE, "normalisation wants contiguous arrays");
  }
  return FNN_OK;
}

static int has_size(const fnn_array *a, int64_t n) { return !fnn_present(a) || fnn_size(a) == n; }

/* --- layer and RMS norm --- */
typedef struct {
  int rms, grad;
  const fnn_array *x, *w, *b, *y, *mean, *rstd, *dy, *dx, *dw, *db;
  int64_t width, rows, per_task, tasks;
} layer;

static const fnn_array absent = {.ndim = -1};

/* layer_norm: x w? b? -> y mean rstd        layer_norm_grad: x w? mean rstd dy -> dx? dw? db?
 * rms_norm:   x w? -> y rstd                rms_norm_grad:   x w? rstd dy -> dx? dw? */
static layer layer_of(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  layer l = {.x = &a[0], .w = &a[1], .b = &absent, .mean = &absent, .dw = &absent, .db = &absent};
  l.rms = call->op == FNN_OP_rms_norm || call->op == FNN_OP_rms_norm_grad;
  l.grad = call->op == FNN_OP_layer_norm_grad || call->op == FNN_OP_rms_norm_grad;
  if (!l.grad && l.rms)
    l.y = &a[2], l.rstd = &a[3];
  else if (!l.grad)
    l.b = &a[2], l.y = &a[3], l.mean = &a[4], l.rstd = &a[5];
  else if (l.rms)
    l.rstd = &a[2], l.dy = &a[3], l.dx = &a[4], l.dw = &a[5];
  else
    l.mean = &a[2], l.rstd = &a[3], l.dy = &a[4], l.dx = &a[5], l.dw = &a[6], l.db = &a[7];
  l.width = call->scalars[l.grad ? 0 : 1].i;
  l.rows = fnn_size(l.rstd);
  int64_t wide = l.width > 0 ? l.width : 1;
  l.per_task = wide < TASK ? TASK / wide : 1;
  if (l.grad) { /* few enough chunks to keep a dw for each */
    int64_t least = fnn_ceil_div(l.rows, CHUNKS);
    if (l.per_task < least) l.per_task = least;
  }
  l.tasks = fnn_ceil_div(l.rows, l.per_task);
  return l;
}

static fnn_status layer_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  layer l = layer_of(call);
  fnn_status status = alike(call, call->n_arrays, why);
  if (status != FNN_OK) return status;
  const fnn_array *like_x[] = {l.grad ? l.dy : l.y, l.grad ? l.dx : l.y};
  for (int i = 0; i < 2; i++)
    if (fnn_present(like_x[i]) && !fnn_same_shape(like_x[i], l.x))
      return fnn_fail(why, FNN_ERR_SHAPE, "layer norm: x, y, dx and dy must have one shape");
  if (l.width < 0 || fnn_size(l.x) != l.rows * l.width || !has_size(l.mean, l.rows))
    return fnn_fail(why, FNN_ERR_SHAPE, "layer norm: one mean and rstd for each row of x");
  if (!has_size(l.w, l.width) || !has_size(l.b, l.width) || !has_size(l.dw, l.width) ||
      !has_size(l.db, l.width))
    return fnn_fail(why, FNN_ERR_SHAPE, "layer norm: weight and bias must be as long as a row");
  if (l.tasks > 0) plan->tasks = l.tasks;
  if (l.grad) plan->workspace = 4 * l.tasks * l.width * fnn_itemsize(l.x->dtype);
  plan->bytes = (double)fnn_size(l.x) * (double)(fnn_itemsize(l.x->dtype) * (l.grad ? 3 : 2));
  /* and a root and sums across lanes for each row (measured: some 15 ns) */
  plan->flops = (double)fnn_size(l.x) * (l.grad ? 12 : 8) + (double)l.rows * 500;
  return FNN_OK;
}

/* y[width] = the sum of `tasks` rows of partial sums; each thread does some columns. */
static void sum_parts(const layer *l, const char *parts, const fnn_array *y, fnn_team *team) {
  if (!fnn_present(y)) return;
  int64_t size = fnn_itemsize(l->x->dtype);
  const void *rows[CHUNKS];
  fnn_range mine = fnn_share(fnn_ceil_div(l->width, STRIP), team);
  for (int64_t s = mine.begin; s < mine.end; s++) {
    int64_t begin = s * STRIP, n = fnn_smaller(STRIP, l->width - begin);
    for (int64_t t = 0; t < l->tasks; t++) rows[t] = parts + (t * l->width + begin) * size;
    if (l->tasks)
      fnn_kernels_of(l->x->dtype)
          ->reduce.cols[FNN_REDUCE_SUM](l->tasks, n, rows, fnn_at(y, begin), NULL);
    else
      memset(fnn_at(y, begin), 0, (size_t)(n * size));
  }
}

/* total[width] += part[width] */
static void add_row(const layer *l, char *total, const char *part) {
  const void *both[2] = {total, part};
  if (l->width)
    fnn_kernels_of(l->x->dtype)->reduce.cols[FNN_REDUCE_SUM](2, l->width, both, total, NULL);
}

static void layer_run(const fnn_call *call, fnn_team *team) {
  layer l = layer_of(call);
  const fnn_norm_kernels *k = &fnn_kernels_of(l.x->dtype)->norm;
  int64_t part = l.width * fnn_itemsize(l.x->dtype);
  char *dw = team->workspace, *db = dw + l.tasks * part;
  int want_w = l.grad && fnn_present(l.dw), want_b = l.grad && fnn_present(l.db);
  fnn_range mine = fnn_share(l.tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t row = t * l.per_task, rows = fnn_smaller(l.per_task, l.rows - row),
            first = row * l.width;
    if (!l.grad) {
      k->rows(rows, l.width, fnn_at(l.x, first), fnn_data(l.w), fnn_data(l.b), call->scalars[0].f,
              fnn_at(l.y, first), fnn_at(l.mean, row), fnn_at(l.rstd, row));
      continue;
    }
    char *parts[2] = {want_w ? dw + t * part : NULL, want_b ? db + t * part : NULL};
    char *chains[2] = {dw + (2 * l.tasks + t) * part, dw + (3 * l.tasks + t) * part};
    for (int64_t i = 0; i < rows; i += CHAIN, first += CHAIN * l.width) {
      char *to[2]; /* the first chain's sum is the chunk's; the others' are added to it */
      for (int j = 0; j < 2; j++) {
        to[j] = parts[j] && i ? chains[j] : parts[j];
        if (to[j]) memset(to[j], 0, (size_t)part);
      }
      k->rows_grad(fnn_smaller(CHAIN, rows - i), l.width, fnn_at(l.x, first), fnn_data(l.w),
                   fnn_at(l.mean, row + i), fnn_at(l.rstd, row + i), fnn_at(l.dy, first),
                   fnn_at(l.dx, first), to[0], to[1]);
      for (int j = 0; j < 2; j++)
        if (parts[j] && i) add_row(&l, parts[j], to[j]);
    }
  }
  if (!want_w && !want_b) return;
  fnn_team_barrier(team);
  sum_parts(&l, dw, l.dw, team);
  sum_parts(&l, db, l.db, team);
}

static int is_layer(int op) {
  return op == FNN_OP_layer_norm || op == FNN_OP_layer_norm_grad || op == FNN_OP_rms_norm ||
         op == FNN_OP_rms_norm_grad;
}

fnn_status fnn_norm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  return is_layer(call->op) ? layer_plan(call, plan, why) : fnn_batch_norm_plan(call, plan, why);
}

void fnn_norm_run(const fnn_call *call, fnn_team *team) {
  if (is_layer(call->op))
    layer_run(call, team);
  else
    fnn_batch_norm_run(call, team);
}
