/* norm.c: layer, RMS and batch normalisation with their gradients.
 *
 * Contract: arrays are contiguous and of one real type, outputs are overwritten; y may be x and dx may be dy,
 * nothing else shares memory. An absent weight is 1, an absent bias 0.
 *
 * layer_norm, rms_norm: x is rows of `width` numbers. y = (x - mean) rstd w + b, rstd = 1 / sqrt(var + eps);
 *   mean and rstd (one a row) are kept for the gradient. dw and db are summed over chunks of rows first,
 *   whose number depends on the shape alone, then over the chunks.
 * batch_norm: x (N, C) or (N, C, L), all else (C). Takes mean and (biased) variance over N and L; running_mean
 *   and running_var, where present, move towards them (the unbiased variance) by `momentum`, or by
 *   1 / tracked if that is negative; tracked, where present, is counted up first. These three are inputs
 *   and outputs, the same arrays.
 * batch_norm_eval: the same with given mean and var.
 * batch_norm_grad: with batch statistics (training 1) or fixed ones (0). dx, dw, db may be absent. */
#include <math.h>
#include <string.h>

#include "lines.h"

#define TASK 4096       /* elements of a task, about */
#define CHUNKS 64       /* chunks of rows whose dw are kept apart, at most FNN_REDUCE_ROWS */
#define STRIP 512       /* channels of a task, where they lie side by side */
#define ROWS 128        /* rows of such a task */
#define LINE 2048       /* elements of a task along one channel */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static void *data_of(const fnn_array *a) { return fnn_present(a) ? a->data : NULL; }
static char *at(const fnn_array *a, int64_t i) {
  return fnn_present(a) ? (char *)a->data + i * fnn_itemsize(a->dtype) : NULL;
}

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
  if (!l.grad && l.rms) l.y = &a[2], l.rstd = &a[3];
  else if (!l.grad) l.b = &a[2], l.y = &a[3], l.mean = &a[4], l.rstd = &a[5];
  else if (l.rms) l.rstd = &a[2], l.dy = &a[3], l.dx = &a[4], l.dw = &a[5];
  else l.mean = &a[2], l.rstd = &a[3], l.dy = &a[4], l.dx = &a[5], l.dw = &a[6], l.db = &a[7];
  l.width = call->scalars[l.grad ? 0 : 1].i;
  l.rows = fnn_size(l.rstd);
  int64_t wide = l.width > 0 ? l.width : 1;
  l.per_task = wide < TASK ? TASK / wide : 1;
  if (l.grad) { /* few enough chunks to keep a dw for each */
    int64_t least = ceil_div(l.rows, CHUNKS);
    if (l.per_task < least) l.per_task = least;
  }
  l.tasks = ceil_div(l.rows, l.per_task);
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
  if (l.grad) plan->workspace = 2 * l.tasks * l.width * fnn_itemsize(l.x->dtype);
  plan->bytes = (double)fnn_size(l.x) * (double)(fnn_itemsize(l.x->dtype) * (l.grad ? 3 : 2));
  plan->flops = (double)fnn_size(l.x) * (l.grad ? 12 : 8);
  return FNN_OK;
}

/* y[width] = the sum of `tasks` rows of partial sums; each thread does some columns. */
static void sum_parts(const layer *l, const char *parts, const fnn_array *y, fnn_team *team) {
  if (!fnn_present(y)) return;
  int64_t size = fnn_itemsize(l->x->dtype);
  const void *rows[CHUNKS];
  fnn_range mine = fnn_share(ceil_div(l->width, STRIP), team);
  for (int64_t s = mine.begin; s < mine.end; s++) {
    int64_t begin = s * STRIP, n = smaller(STRIP, l->width - begin);
    for (int64_t t = 0; t < l->tasks; t++) rows[t] = parts + (t * l->width + begin) * size;
    if (l->tasks)
      fnn_kernels_of(l->x->dtype)->reduce.cols[FNN_REDUCE_SUM](l->tasks, n, rows, at(y, begin), NULL);
    else memset(at(y, begin), 0, (size_t)(n * size));
  }
}

static void layer_run(const fnn_call *call, fnn_team *team) {
  layer l = layer_of(call);
  const fnn_norm_kernels *k = &fnn_kernels_of(l.x->dtype)->norm;
  int64_t part = l.width * fnn_itemsize(l.x->dtype);
  char *dw = team->workspace, *db = dw + l.tasks * part;
  int want_w = l.grad && fnn_present(l.dw), want_b = l.grad && fnn_present(l.db);
  fnn_range mine = fnn_share(l.tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t row = t * l.per_task, rows = smaller(l.per_task, l.rows - row), first = row * l.width;
    if (!l.grad) {
      k->rows(rows, l.width, at(l.x, first), data_of(l.w), data_of(l.b), call->scalars[0].f,
              at(l.y, first), at(l.mean, row), at(l.rstd, row));
      continue;
    }
    if (want_w) memset(dw + t * part, 0, (size_t)part);
    if (want_b) memset(db + t * part, 0, (size_t)part);
    k->rows_grad(rows, l.width, at(l.x, first), data_of(l.w), at(l.mean, row), at(l.rstd, row),
                 at(l.dy, first), at(l.dx, first), want_w ? dw + t * part : NULL,
                 want_b ? db + t * part : NULL);
  }
  if (!want_w && !want_b) return;
  fnn_team_barrier(team);
  sum_parts(&l, dw, l.dw, team);
  sum_parts(&l, db, l.db, team);
}

/* --- batch norm --- */
typedef struct {
  int64_t samples, channels, length; /* (N, C, L); L is 1 for (N, C) */
  int columns;                       /* channels lie side by side */
  int64_t blocks, strips, group;     /* columns: blocks of rows by strips of channels; else blocks of
                                        `group` samples by strips of a line, for each channel */
  int64_t tasks;
} batch;

static batch batch_of(const fnn_array *x) {
  batch b = {.samples = x->ndim > 1 ? x->shape[0] : 0, .channels = x->ndim > 1 ? x->shape[1] : 0,
             .length = x->ndim == 3 ? x->shape[2] : 1};
  b.columns = b.length == 1;
  if (b.columns) {
    b.blocks = ceil_div(b.samples, ROWS);
    b.strips = ceil_div(b.channels, STRIP);
    b.tasks = b.blocks * b.strips;
  } else {
    b.group = b.length > 0 && b.length < LINE ? LINE / b.length : 1;
    b.blocks = ceil_div(b.samples, b.group);
    b.strips = ceil_div(b.length, LINE);
    b.tasks = b.channels * b.blocks * b.strips;
  }
  return b;
}

/* The reduction that puts x's variances and means over N and L into the places of rstd and mean. */
static fnn_call moments_call(const fnn_call *call) {
  fnn_call m = {.op = FNN_OP_moments, .n_arrays = 3, .arrays = {call->arrays[0], call->arrays[8],
                                                               call->arrays[7]}};
  for (int i = 1; i < 3; i++) {
    fnn_array *a = &m.arrays[i];
    a->ndim = m.arrays[0].ndim;
    a->shape[1] = call->arrays[0].shape[1], a->stride[1] = 1;
    a->shape[0] = a->shape[2] = 1, a->stride[0] = a->stride[2] = 0;
  }
  return m;
}

/* batch_norm:      x w? b? running_mean? running_var? tracked? ->
 *                  y mean rstd running_mean? running_var? tracked?
 * batch_norm_eval: x w? b? mean var -> y        batch_norm_grad: x w? mean rstd dy -> dx? dw? db? */
static fnn_status batch_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = call->arrays, *x = &a[0];
  int grad = call->op == FNN_OP_batch_norm_grad, eval = call->op == FNN_OP_batch_norm_eval;
  fnn_status status = FNN_OK;
  if (x->ndim != 2 && x->ndim != 3)
    return fnn_fail(why, FNN_ERR_SHAPE, "batch norm: x must be (N, C) or (N, C, L)");
  for (int i = 0; i < call->n_arrays; i++) {
    int tracked = !grad && !eval && (i == 5 || i == 11);
    int like_x = i == 0 || (grad ? i == 4 || i == 5 : eval ? i == 5 : i == 6);
    if (!fnn_present(&a[i])) continue;
    if (tracked ? a[i].dtype != FNN_I64 : !fnn_is_real(a[i].dtype) || a[i].dtype != x->dtype)
      status = fnn_fail(why, FNN_ERR_DTYPE, "batch norm takes float32 or float64, all alike");
    else if (tracked ? fnn_size(&a[i]) != 1
             : like_x ? !fnn_same_shape(&a[i], x)
                      : a[i].ndim != 1 || a[i].shape[0] != x->shape[1])
      status = fnn_fail(why, FNN_ERR_SHAPE, "batch norm: a statistic, weight or bias is not (C,)");
    else if (!fnn_contiguous(&a[i]))
      status = fnn_fail(why, FNN_ERR_SHAPE, "normalisation wants contiguous arrays");
    if (status != FNN_OK) return status;
  }
  batch b = batch_of(x);
  if (b.tasks > 0) plan->tasks = b.tasks;
  int64_t size = fnn_itemsize(x->dtype), coefficients = 3 * b.channels * size;
  plan->workspace = (coefficients + 63) / 64 * 64;
  if (grad) {
    plan->workspace += b.columns ? 2 * b.blocks * b.channels * size : 16 * b.tasks;
  } else if (!eval) {
    fnn_plan inner = {0};
    fnn_call moments = moments_call(call);
    status = fnn_reduce_plan(&moments, &inner, why);
    if (status != FNN_OK) return status;
    plan->workspace += inner.workspace;
  }
  plan->bytes = (double)fnn_size(x) * (double)(size * (grad ? 5 : eval ? 2 : 3));
  plan->flops = (double)fnn_size(x) * (grad ? 8 : 6);
  return FNN_OK;
}

/* The numbers a (C) array holds for the pass over x that follows, in the workspace. */
typedef struct {
  fnn_array a, b, c;
} coefficients;

static coefficients coefficients_in(const fnn_array *x, const batch *b, char *workspace) {
  coefficients k;
  fnn_array *all[] = {&k.a, &k.b, &k.c};
  for (int i = 0; i < 3; i++)
    *all[i] = (fnn_array){.data = workspace + i * b->channels * fnn_itemsize(x->dtype), .ndim = 1,
                          .shape = {b->channels}, .stride = {1}, .dtype = x->dtype};
  return k;
}

static double value_or(const fnn_array *a, int64_t i, double otherwise) {
  return fnn_present(a) ? fnn_real_at(a, i) : otherwise;
}

/* What a task covers: rows of n elements, the first at `first`, `step` apart; its channel (the first one). */
typedef struct {
  int64_t channel, first, rows, n, step;
} piece;

static piece piece_of(const batch *b, int64_t t) {
  piece p;
  if (b->columns) {
    int64_t block = t / b->strips * ROWS;
    p.channel = t % b->strips * STRIP;
    p.n = smaller(STRIP, b->channels - p.channel);
    p.rows = smaller(ROWS, b->samples - block);
    p.step = b->channels;
    p.first = block * p.step + p.channel;
  } else {
    int64_t column = t % b->strips * LINE, sample = t / b->strips % b->blocks * b->group;
    p.channel = t / b->strips / b->blocks;
    p.n = smaller(LINE, b->length - column);
    p.rows = smaller(b->group, b->samples - sample);
    p.step = b->channels * b->length;
    p.first = sample * p.step + p.channel * b->length + column;
  }
  return p;
}

/* y = (x - center) scale + offset, by the whole team. */
static void shift(const fnn_array *x, const batch *b, const fnn_array *center, const fnn_array *scale,
                  const fnn_array *offset, const fnn_array *y, fnn_team *team) {
  const fnn_norm_kernels *k = &fnn_kernels_of(x->dtype)->norm;
  fnn_range mine = fnn_share(b->tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    piece p = piece_of(b, t);
    if (b->columns) {
      k->shift_cols(p.rows, p.n, p.step, at(x, p.first), at(center, p.channel), at(scale, p.channel),
                    at(offset, p.channel), at(y, p.first));
      continue;
    }
    for (int64_t i = 0; i < p.rows; i++)
      k->shift_row(p.n, at(x, p.first + i * p.step), fnn_real_at(center, p.channel),
                   fnn_real_at(scale, p.channel), fnn_real_at(offset, p.channel),
                   at(y, p.first + i * p.step));
  }
}

/* The running statistics after this batch; mean and rstd hold its mean and variance. */
static void update_running(const fnn_call *call, const batch *b) {
  const fnn_array *a = call->arrays, *mean = &a[9], *var = &a[10], *tracked = &a[11];
  double n = (double)(b->samples * b->length), move = call->scalars[1].f;
  if (fnn_present(tracked)) {
    int64_t *count = tracked->data;
    *count += 1;
    if (move < 0) move = 1 / (double)*count;
  }
  if (move < 0) move = 0;
  for (int64_t c = 0; c < b->channels; c++) {
    double unbiased = fnn_real_at(&a[8], c) * (n > 1 ? n / (n - 1) : 1);
    if (fnn_present(mean))
      fnn_real_put(mean, c, (1 - move) * fnn_real_at(mean, c) + move * fnn_real_at(&a[7], c));
    if (fnn_present(var)) fnn_real_put(var, c, (1 - move) * fnn_real_at(var, c) + move * unbiased);
  }
}

static void batch_forward(const fnn_call *call, fnn_team *team) {
  const fnn_array *a = call->arrays, *x = &a[0];
  batch b = batch_of(x);
  int eval = call->op == FNN_OP_batch_norm_eval;
  coefficients k = coefficients_in(x, &b, team->workspace);
  const fnn_array *mean = &a[eval ? 3 : 7], *var = &a[eval ? 4 : 8], *y = &a[eval ? 5 : 6];
  if (!eval) {
    fnn_team inner = *team;
    fnn_call moments = moments_call(call);
    inner.workspace += (3 * b.channels * fnn_itemsize(x->dtype) + 63) / 64 * 64;
    fnn_reduce_run(&moments, &inner);
    fnn_team_barrier(team);
  }
  if (team->id == 0) {
    if (!eval && b.samples * b.length > 0) update_running(call, &b);
    for (int64_t c = 0; c < b.channels; c++) {
      double rstd = 1 / sqrt(fnn_real_at(var, c) + call->scalars[0].f);
      if (!eval) fnn_real_put(&a[8], c, rstd);
      fnn_real_put(&k.a, c, rstd * value_or(&a[1], c, 1));
      fnn_real_put(&k.b, c, value_or(&a[2], c, 0));
    }
  }
  fnn_team_barrier(team);
  shift(x, &b, mean, &k.a, &k.b, y, team);
}

/* The sums of dy and dy (x - mean) of every task, to be added up by channel. */
static void batch_sums(const fnn_call *call, const batch *b, char *parts, fnn_team *team) {
  const fnn_array *a = call->arrays, *x = &a[0], *mean = &a[2], *dy = &a[4];
  const fnn_norm_kernels *k = &fnn_kernels_of(x->dtype)->norm;
  int64_t size = fnn_itemsize(x->dtype);
  fnn_range mine = fnn_share(b->tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    piece p = piece_of(b, t);
    if (b->columns) {
      char *s0 = parts + (t / b->strips * 2 * b->channels + p.channel) * size;
      k->sums_cols(p.rows, p.n, p.step, at(x, p.first), at(dy, p.first), at(mean, p.channel), s0,
                   s0 + b->channels * size);
      continue;
    }
    double *total = (double *)parts + 2 * t, s[2];
    total[0] = total[1] = 0;
    for (int64_t i = 0; i < p.rows; i++) {
      k->sums_row(p.n, at(x, p.first + i * p.step), at(dy, p.first + i * p.step),
                  fnn_real_at(mean, p.channel), s);
      total[0] += s[0], total[1] += s[1];
    }
  }
}

/* s[0], s[1]: channel c's parts added up, in order. */
static void channel_sums(const batch *b, int dtype, const char *parts, int64_t c, double *s) {
  s[0] = s[1] = 0;
  if (b->columns) {
    fnn_array all = {.data = (void *)parts, .dtype = dtype};
    for (int64_t i = 0; i < b->blocks; i++) {
      s[0] += fnn_real_at(&all, 2 * i * b->channels + c);
      s[1] += fnn_real_at(&all, (2 * i + 1) * b->channels + c);
    }
    return;
  }
  const double *mine = (const double *)parts + 2 * c * b->blocks * b->strips;
  for (int64_t i = 0; i < b->blocks * b->strips; i++) s[0] += mine[2 * i], s[1] += mine[2 * i + 1];
}

static void batch_backward(const fnn_call *call, fnn_team *team) {
  const fnn_array *a = call->arrays, *x = &a[0], *mean = &a[2], *dy = &a[4], *dx = &a[5];
  const fnn_norm_kernels *kernels = &fnn_kernels_of(x->dtype)->norm;
  batch b = batch_of(x);
  coefficients k = coefficients_in(x, &b, team->workspace);
  char *parts = team->workspace + (3 * b.channels * fnn_itemsize(x->dtype) + 63) / 64 * 64;
  int training = call->scalars[0].i != 0;
  double n = (double)(b.samples * b.length), s[2];
  batch_sums(call, &b, parts, team);
  fnn_team_barrier(team);
  fnn_range mine = fnn_share(b.channels, team);
  for (int64_t c = mine.begin; c < mine.end; c++) {
    double rstd = fnn_real_at(&a[3], c);
    channel_sums(&b, x->dtype, parts, c, s);
    /* An empty batch has no statistics, and no gradient. */
    if (fnn_present(&a[6])) fnn_real_put(&a[6], c, n > 0 ? s[1] * rstd : 0);
    if (fnn_present(&a[7])) fnn_real_put(&a[7], c, s[0]);
    fnn_real_put(&k.a, c, training ? s[0] / n : 0);
    fnn_real_put(&k.b, c, training ? s[1] * rstd * rstd / n : 0);
    fnn_real_put(&k.c, c, rstd * value_or(&a[1], c, 1));
  }
  if (!fnn_present(dx)) return;
  fnn_team_barrier(team);
  mine = fnn_share(b.tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    piece p = piece_of(&b, t);
    int64_t c = p.channel;
    if (b.columns) {
      kernels->grad_cols(p.rows, p.n, p.step, at(x, p.first), at(dy, p.first), at(mean, c), at(&k.a, c),
                         at(&k.b, c), at(&k.c, c), at(dx, p.first));
      continue;
    }
    for (int64_t i = 0; i < p.rows; i++) {
      int64_t line = p.first + i * p.step;
      kernels->grad_row(p.n, at(x, line), at(dy, line), fnn_real_at(mean, c), fnn_real_at(&k.a, c),
                        fnn_real_at(&k.b, c), fnn_real_at(&k.c, c), at(dx, line));
    }
  }
}

static int is_layer(int op) {
  return op == FNN_OP_layer_norm || op == FNN_OP_layer_norm_grad || op == FNN_OP_rms_norm ||
         op == FNN_OP_rms_norm_grad;
}

fnn_status fnn_norm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  return is_layer(call->op) ? layer_plan(call, plan, why) : batch_plan(call, plan, why);
}

void fnn_norm_run(const fnn_call *call, fnn_team *team) {
  if (is_layer(call->op)) layer_run(call, team);
  else if (call->op == FNN_OP_batch_norm_grad) batch_backward(call, team);
  else batch_forward(call, team);
}
