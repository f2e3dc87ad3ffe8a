/* batch_norm.c: batch, group and instance normalisation; the gradients are in batch_norm_grad.c.
 *
 * Contract: arrays are contiguous and of one real type, outputs are overwritten; y may be x or residual,
 * nothing else shares memory. An absent weight is 1, an absent bias 0.
 *
 *   y = (x - mean) rstd weight + bias + residual, held within [low, high] (infinite: no limit)
 *
 * batch_norm: x, y, residual (N, C) or (N, C, L), all else (C). Takes mean and (biased) variance over N and
 *   L; rstd = 1 / sqrt(variance + eps). running_mean and running_var, where present, move towards them (the
 *   unbiased variance) by `momentum`, or by 1 / tracked if that is negative; tracked, where present, is
 *   counted up first. These three are inputs and outputs, the same arrays.
 * batch_norm_eval: the same with given mean and var; with eps below 0, rstd is given in var's place.
 * group_norm: x, y, residual (N, C, L) or, with columns set, (N, L, C), also without L; mean and rstd (N,
 *   groups), over L and the channels of each group; weight and bias (C). Instance norm has C groups.
 *
 * x is read once for the statistics: a chunk's sums are of x less a number near it (the mean of its first
 * few), so that no digits are lost, and chunks are joined by Chan, Golub and LeVeque's formula in double.
 * The pass that makes y goes backwards, as the end of x was read last and is in the caches. */
#include "channels.h"

#include <math.h>

#define BLOCK 64 /* channels whose statistics are joined at once */

/* --- checks --- */

/* What each array is, in the order of ops.def: x like x, c one a channel, s one a statistic, t one int64. */
static const char *kinds_of(int op) {
  switch (op) {
    case FNN_OP_batch_norm:
      return "xcccctx"
             "xsscct";
    case FNN_OP_batch_norm_eval:
      return "xccccx"
             "x";
    case FNN_OP_group_norm:
      return "xccx"
             "xss";
    default:
      return "xccssxxx"
             "xccx";
  }
}

static int is_group(int op) { return op == FNN_OP_group_norm || op == FNN_OP_group_norm_grad; }

static int is_grad(int op) { return op == FNN_OP_batch_norm_grad || op == FNN_OP_group_norm_grad; }

fnn_channels fnn_channels_of_call(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  int grad = is_grad(call->op);
  int each = is_group(call->op), at = grad ? 3 : call->op == FNN_OP_batch_norm ? 8 : each ? 5 : 3;
  const fnn_scalar *groups = &call->scalars[grad ? 2 : 3];
  fnn_channels c =
      each ? fnn_channels_of(a, groups[1].i != 0, groups[0].i, 1) : fnn_channels_of(a, 0, 0, 0);
  c.weight = &a[1], c.bias = &a[2], c.mean = &a[at], c.rstd = &a[at + 1];
  return c;
}

static fnn_status check(const fnn_call *call, fnn_failure *why) {
  const fnn_array *a = call->arrays, *x = &a[0];
  const fnn_scalar *groups = &call->scalars[call->op == FNN_OP_group_norm ? 3 : 2];
  int each = is_group(call->op), last = each && groups[1].i && x->ndim == 3;
  if (x->ndim != 2 && x->ndim != 3)
    return fnn_fail(why, FNN_ERR_SHAPE, "batch norm: x must be (N, C) or (N, C, L)");
  int64_t channels = x->shape[last ? 2 : 1];
  if (each && (groups[0].i < 1 || channels % groups[0].i))
    return fnn_fail(why, FNN_ERR_VALUE, "group norm: the groups must divide the channels");
  const char *kinds = kinds_of(call->op);
  if (is_grad(call->op) && (fnn_present(&a[6]) || fnn_present(&a[11])) && !fnn_present(&a[7]))
    return fnn_fail(why, FNN_ERR_SHAPE, "batch norm: a residual's gradient is told by y");
  for (int i = 0; i < call->n_arrays; i++) {
    if (!fnn_present(&a[i])) continue;
    if (kinds[i] == 't' ? a[i].dtype != FNN_I64
                        : !fnn_is_real(a[i].dtype) || a[i].dtype != x->dtype)
      return fnn_fail(why, FNN_ERR_DTYPE, "batch norm takes float32 or float64, all alike");
    int64_t size = kinds[i] == 't'           ? 1
                   : each && kinds[i] == 's' ? x->shape[0] * groups[0].i
                                             : channels;
    if (kinds[i] == 'x' ? !fnn_same_shape(&a[i], x) : fnn_size(&a[i]) != size)
      return fnn_fail(
          why, FNN_ERR_SHAPE,
          "batch norm: a statistic, weight, bias, residual or gradient has the wrong shape");
    if (!fnn_contiguous(&a[i]))
      return fnn_fail(why, FNN_ERR_SHAPE, "normalisation wants contiguous arrays");
  }
  return FNN_OK;
}

fnn_status fnn_batch_norm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_status status = check(call, why);
  if (status != FNN_OK) return status;
  const fnn_array *x = &call->arrays[0];
  fnn_channels c = fnn_channels_of_call(call);
  if (c.tasks > 0) plan->tasks = c.tasks;
  if (call->op != FNN_OP_batch_norm_eval)
    plan->workspace = c.slabs * c.chunks * c.channels * 2 * (int64_t)sizeof(double);
  const char *kinds = kinds_of(call->op);
  for (int i = 0; i < call->n_arrays; i++)
    if (kinds[i] == 'x' && fnn_present(&call->arrays[i])) plan->bytes += fnn_bytes(x);
  plan->flops = (double)fnn_size(x) * (call->op == FNN_OP_batch_norm_eval ? 4 : 8);
  return FNN_OK;
}

/* --- statistics: a chunk's mean and sum of squares around it, two doubles for each channel --- */

/* Sums of a piece's columns of x - shift and of its square. */
static void sum_piece(const fnn_channels *c, const fnn_channels_piece *p, const double *shift,
                      double *s0, double *s1) {
  const fnn_channels_kernels *k = &fnn_kernels_of(c->x->dtype)->channels;
  for (int64_t i = 0; i < p->lines; i++) {
    int64_t first = p->first + i * p->apart;
    k->moments(p->m, p->n, p->step, fnn_at(c->x, first), shift, s0, s1);
    if (p->tail) k->moments(1, p->tail, 0, fnn_at(c->x, first + p->m * p->step), shift, s0, s1);
  }
}

/* A number near what each column holds: the mean of the channel's first few. */
static void shift_of(const fnn_channels *c, const fnn_channels_piece *p, double *shift) {
  int dtype = c->x->dtype;
  fnn_channels_piece few = *p;
  double s0[FNN_CHANNELS_WIDE], s1[FNN_CHANNELS_WIDE];
  few.lines = 1;
  few.m = fnn_smaller(p->m, c->fold < 4 ? 4 / c->fold : 1);
  if (few.m) few.tail = 0;
  int64_t of = few.m ? few.m * (p->n / p->width) : few.tail / p->width;
  fnn_channels_zero(p, shift);
  fnn_channels_zero(p, s0);
  fnn_channels_zero(p, s1);
  sum_piece(c, &few, shift, s0, s1);
  for (int64_t i = 0; i < p->width; i++) {
    double mean = fnn_channels_total(dtype, p, s0, i) / (double)of;
    fnn_line_put(dtype, shift, i, isfinite(mean) ? mean : 0);
  }
  fnn_channels_repeat(c, p, shift);
}

static void chunk_moments(const fnn_channels *c, const fnn_channels_piece *p, double *states) {
  int dtype = c->x->dtype;
  double shift[FNN_CHANNELS_WIDE], s0[FNN_CHANNELS_WIDE], s1[FNN_CHANNELS_WIDE];
  double n = (double)fnn_channels_counted(c, p->chunk);
  shift_of(c, p, shift);
  fnn_channels_zero(p, s0);
  fnn_channels_zero(p, s1);
  sum_piece(c, p, shift, s0, s1);
  for (int64_t i = 0; i < p->width; i++) {
    double sum = fnn_channels_total(dtype, p, s0, i);
    double squares = fnn_channels_total(dtype, p, s1, i) - sum * sum / n;
    double *state = states + 2 * ((p->slab * c->chunks + p->chunk) * c->channels + p->channel + i);
    state[0] = fnn_line_at(dtype, shift, i) + sum / n;
    state[1] = squares < 0 ? 0 : squares;
  }
}

/* The mean and squares of n numbers, joined by those of `more` others. */
static void join(double *mean, double *squares, double n, const double *other, double more) {
  double d = other[0] - *mean, part = more / (n + more);
  *mean += d * part;
  *squares += other[1] + d * d * (n * part);
}

/* Those of all chunks of a slab, for `width` channels from one. */
static void slab_moments(const fnn_channels *c, const double *states, int64_t slab, int64_t channel,
                         int64_t width, double *mean, double *squares) {
  double n = 0;
  for (int64_t i = 0; i < width; i++) mean[i] = squares[i] = 0;
  for (int64_t chunk = 0; chunk < c->chunks; chunk++) {
    const double *from = states + 2 * ((slab * c->chunks + chunk) * c->channels + channel);
    double more = (double)fnn_channels_counted(c, chunk);
    for (int64_t i = 0; i < width; i++) join(&mean[i], &squares[i], n, from + 2 * i, more);
    n += more;
  }
}

/* The running statistics of a channel after this batch. */
static void update_running(const fnn_call *call, int64_t channel, double n, double mean,
                           double variance) {
  const fnn_array *running = &call->arrays[10], *tracked = &call->arrays[12];
  double now[2] = {mean, variance * (n > 1 ? n / (n - 1) : 1)}, move = call->scalars[1].f;
  if (move < 0) move = fnn_present(tracked) ? 1 / (double)(*(int64_t *)tracked->data + 1) : 0;
  for (int i = 0; i < 2; i++)
    if (fnn_present(&running[i]))
      fnn_real_put(&running[i], channel,
                   (1 - move) * fnn_real_at(&running[i], channel) + move * now[i]);
}

static void put_statistic(const fnn_call *call, const fnn_channels *c, int64_t i, double n,
                          double mean, double squares) {
  fnn_real_put(c->mean, i, n > 0 ? mean : NAN);
  fnn_real_put(c->rstd, i, 1 / sqrt(squares / n + call->scalars[0].f));
  if (call->op == FNN_OP_batch_norm && n > 0) update_running(call, i, n, mean, squares / n);
}

/* Statistics [begin, end), numbered slab by slab. */
static void finish_moments(const fnn_call *call, const fnn_channels *c, const double *states,
                           fnn_range mine) {
  double mean[BLOCK], squares[BLOCK];
  int64_t size = c->channels / c->groups;
  for (int64_t at = mine.begin; at < mine.end;) {
    int64_t slab = at / c->groups, channel = at % c->groups * size;
    if (size == 1) { /* some channels at once */
      int64_t n = fnn_smaller(BLOCK, fnn_smaller(mine.end - at, c->channels - channel));
      slab_moments(c, states, slab, channel, n, mean, squares);
      for (int64_t i = 0; i < n; i++)
        put_statistic(call, c, at + i, (double)c->count, mean[i], squares[i]);
      at += n;
      continue;
    }
    double total[2] = {0, 0}, n = 0;
    for (int64_t i = 0; i < size; i++) {
      double one[2];
      slab_moments(c, states, slab, channel + i, 1, &one[0], &one[1]);
      join(&total[0], &total[1], n, one, (double)c->count);
      n += (double)c->count;
    }
    put_statistic(call, c, at++, n, total[0], total[1]);
  }
}

/* --- y --- */

void fnn_channels_ready(const fnn_channels *c, const fnn_channels_piece *p, double eps,
                        fnn_channels_table *t) {
  int dtype = c->x->dtype;
  for (int64_t i = 0; i < p->width; i++) {
    int64_t channel = p->channel + i, s = p->slab * c->groups + fnn_channels_group(c, channel);
    double rstd = fnn_real_at(c->rstd, s);
    if (eps >= 0) rstd = 1 / sqrt(rstd + eps);
    fnn_line_put(dtype, t->center, i, fnn_real_at(c->mean, s));
    fnn_line_put(dtype, t->scale, i, rstd * fnn_value_or(c->weight, channel, 1));
    fnn_line_put(dtype, t->offset, i, fnn_value_or(c->bias, channel, 0));
  }
  fnn_channels_repeat(c, p, t->center);
  fnn_channels_repeat(c, p, t->scale);
  fnn_channels_repeat(c, p, t->offset);
}

static void apply_piece(const fnn_channels *c, const fnn_channels_piece *p,
                        const fnn_channels_forward *f, const fnn_array *residual,
                        const fnn_array *y) {
  const fnn_channels_kernels *k = &fnn_kernels_of(c->x->dtype)->channels;
  for (int64_t i = 0; i < p->lines; i++) {
    int64_t first = p->first + i * p->apart, last = first + p->m * p->step;
    k->apply(p->m, p->n, p->step, fnn_at(c->x, first), f, fnn_at(residual, first),
             fnn_at(y, first));
    if (p->tail)
      k->apply(1, p->tail, 0, fnn_at(c->x, last), f, fnn_at(residual, last), fnn_at(y, last));
  }
}

static void forward(const fnn_call *call, fnn_team *team) {
  const fnn_array *a = call->arrays;
  fnn_channels c = fnn_channels_of_call(call);
  int eval = call->op == FNN_OP_batch_norm_eval, batch = call->op == FNN_OP_batch_norm;
  const fnn_array *residual = &a[eval ? 5 : batch ? 6 : 3], *y = &a[eval ? 6 : batch ? 7 : 4];
  const fnn_scalar *limits = &call->scalars[batch ? 2 : 1];
  double *states = (double *)team->workspace;
  fnn_range mine = fnn_share(c.tasks, team);
  if (!eval) {
    for (int64_t t = mine.begin; t < mine.end; t++) {
      fnn_channels_piece p = fnn_channels_piece_of(&c, t);
      chunk_moments(&c, &p, states);
    }
    fnn_team_barrier(team);
    finish_moments(call, &c, states, fnn_share(c.slabs * c.groups, team));
    fnn_team_barrier(team);
    if (batch && team->id == 0 && fnn_present(&a[12]) && c.count > 0) ++*(int64_t *)a[12].data;
  }
  fnn_channels_table table;
  fnn_channels_start(&table, limits[0].f, limits[1].f);
  for (int64_t t = mine.end - 1; t >= mine.begin; t--) {
    fnn_channels_piece p = fnn_channels_piece_of(&c, t);
    if (fnn_channels_other(&table, &p))
      fnn_channels_ready(&c, &p, eval ? call->scalars[0].f : -1, &table);
    apply_piece(&c, &p, &table.forward, residual, y);
  }
}

void fnn_batch_norm_run(const fnn_call *call, fnn_team *team) {
  if (is_grad(call->op))
    fnn_batch_norm_backward(call, team);
  else
    forward(call, team);
}
