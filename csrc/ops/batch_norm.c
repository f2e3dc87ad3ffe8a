/* batch_norm.c: batch normalisation with its gradient.
 *
 * Contract: arrays are contiguous and of one real type, outputs are overwritten; y may be x and dx may be dy,
 * nothing else shares memory. An absent weight is 1, an absent bias 0.
 *
 * batch_norm: x (N, C) or (N, C, L), all else (C). Takes mean and (biased) variance over N and L; running_mean
 *   and running_var, where present, move towards them (the unbiased variance) by `momentum`, or by
 *   1 / tracked if that is negative; tracked, where present, is counted up first. These three are inputs
 *   and outputs, the same arrays.
 * batch_norm_eval: the same with given mean and var.
 * batch_norm_grad: with batch statistics (training 1) or fixed ones (0). dx, dw, db may be absent. */
#include "norm.h"

#include <math.h>

#define STRIP 512 /* channels of a task, where they lie side by side */
#define ROWS 128  /* rows of such a task */
#define LINE 2048 /* elements of a task along one channel */

typedef struct {
  int64_t samples, channels, length; /* (N, C, L); L is 1 for (N, C) */
  int columns;                       /* channels lie side by side */
  int64_t blocks, strips, group; /* columns: blocks of rows by strips of channels; else blocks of
                                        `group` samples by strips of a line, for each channel */
  int64_t tasks;
} batch;

static batch batch_of(const fnn_array *x) {
  batch b = {.samples = x->ndim > 1 ? x->shape[0] : 0,
             .channels = x->ndim > 1 ? x->shape[1] : 0,
             .length = x->ndim == 3 ? x->shape[2] : 1};
  b.columns = b.length == 1;
  if (b.columns) {
    b.blocks = fnn_ceil_div(b.samples, ROWS);
    b.strips = fnn_ceil_div(b.channels, STRIP);
    b.tasks = b.blocks * b.strips;
  } else {
    b.group = b.length > 0 && b.length < LINE ? LINE / b.length : 1;
    b.blocks = fnn_ceil_div(b.samples, b.group);
    b.strips = fnn_ceil_div(b.length, LINE);
    b.tasks = b.channels * b.blocks * b.strips;
  }
  return b;
}

/* The reduction that puts x's variances and means over N and L into the places of rstd and mean. */
static fnn_call moments_call(const fnn_call *call) {
  fnn_call m = {.op = FNN_OP_moments,
                .n_arrays = 3,
                .arrays = {call->arrays[0], call->arrays[8], call->arrays[7]}};
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
fnn_status fnn_batch_norm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
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
    else if (tracked  ? fnn_size(&a[i]) != 1
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
  plan->bytes = (double)fnn_size(x) * (double)(size * (grad ? 3 : 2));
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
    *all[i] = (fnn_array){.data = workspace + i * b->channels * fnn_itemsize(x->dtype),
                          .ndim = 1,
                          .shape = {b->channels},
                          .stride = {1},
                          .dtype = x->dtype};
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
    p.n = fnn_smaller(STRIP, b->channels - p.channel);
    p.rows = fnn_smaller(ROWS, b->samples - block);
    p.step = b->channels;
    p.first = block * p.step + p.channel;
  } else {
    int64_t column = t % b->strips * LINE, sample = t / b->strips % b->blocks * b->group;
    p.channel = t / b->strips / b->blocks;
    p.n = fnn_smaller(LINE, b->length - column);
    p.rows = fnn_smaller(b->group, b->samples - sample);
    p.step = b->channels * b->length;
    p.first = sample * p.step + p.channel * b->length + column;
  }
  return p;
}

/* y = (x - center) scale + offset, by the whole team. */
static void shift(const fnn_array *x, const batch *b, const fnn_array *center,
                  const fnn_array *scale, const fnn_array *offset, const fnn_array *y,
                  fnn_team *team) {
  const fnn_norm_kernels *k = &fnn_kernels_of(x->dtype)->norm;
  fnn_range mine = fnn_share(b->tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    piece p = piece_of(b, t);
    if (b->columns) {
      k->shift_cols(p.rows, p.n, p.step, fnn_at(x, p.first), fnn_at(center, p.channel),
                    fnn_at(scale, p.channel), fnn_at(offset, p.channel), fnn_at(y, p.first));
      continue;
    }
    for (int64_t i = 0; i < p.rows; i++)
      k->shift_row(p.n, fnn_at(x, p.first + i * p.step), fnn_real_at(center, p.channel),
                   fnn_real_at(scale, p.channel), fnn_real_at(offset, p.channel),
                   fnn_at(y, p.first + i * p.step));
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
      k->sums_cols(p.rows, p.n, p.step, fnn_at(x, p.first), fnn_at(dy, p.first),
                   fnn_at(mean, p.channel), s0, s0 + b->channels * size);
      continue;
    }
    double *total = (double *)parts + 2 * t, s[2];
    total[0] = total[1] = 0;
    for (int64_t i = 0; i < p.rows; i++) {
      k->sums_row(p.n, fnn_at(x, p.first + i * p.step), fnn_at(dy, p.first + i * p.step),
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
      kernels->grad_cols(p.rows, p.n, p.step, fnn_at(x, p.first), fnn_at(dy, p.first),
                         fnn_at(mean, c), fnn_at(&k.a, c), fnn_at(&k.b, c), fnn_at(&k.c, c),
                         fnn_at(dx, p.first));
      continue;
    }
    for (int64_t i = 0; i < p.rows; i++) {
      int64_t line = p.first + i * p.step;
      kernels->grad_row(p.n, fnn_at(x, line), fnn_at(dy, line), fnn_real_at(mean, c),
                        fnn_real_at(&k.a, c), fnn_real_at(&k.b, c), fnn_real_at(&k.c, c),
                        fnn_at(dx, line));
    }
  }
}

void fnn_batch_norm_run(const fnn_call *call, fnn_team *team) {
  if (call->op == FNN_OP_batch_norm_grad)
    batch_backward(call, team);
  else
    batch_forward(call, team);
}
