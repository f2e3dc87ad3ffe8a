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

#define BLOCK 64 /* channels, or statistics, that are joined at once */

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

/* --- statistics: a chunk's means and then its sums of squares around them, by channel --- */

static double *moments_at(const fnn_channels *c, double *states, int64_t slab, int64_t chunk,
                          int64_t channel) {
  return states + 2 * (slab * c->chunks + chunk) * c->channels + channel;
}

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
  double s0[FNN_CHANNELS_WIDE], s1[FNN_CHANNELS_WIDE], mean[FNN_CHANNELS_WIDE];
  few.lines = 1;
  few.m = fnn_smaller(p->m, c->fold < 4 ? 4 / c->fold : 1);
  if (few.m) few.tail = 0;
  int64_t of = few.m ? few.m * (p->n / p->width) : few.tail / p->width;
  double part = 1 / (double)of;
  fnn_channels_zero(p, shift);
  fnn_channels_zero(p, s0);
  fnn_channels_zero(p, s1);
  sum_piece(c, &few, shift, s0, s1);
  fnn_channels_totals(dtype, p, s0, mean);
  for (int64_t i = 0; i < p->width; i++) {
    mean[i] *= part;
    mean[i] = mean[i] - mean[i] == 0 ? mean[i] : 0; /* finite */
  }
  fnn_line_put(dtype, p->width, mean, shift);
  fnn_channels_repeat(c, p, shift);
}

/* Sums of n numbers less a shift and of their squares become the mean and the squares around it. */
static void centered(int64_t width, double n, const double *restrict shift, double *restrict mean,
                     double *restrict squares) {
  double part = 1 / n;
  for (int64_t i = 0; i < width; i++) {
    double sum = mean[i], rest = squares[i] - sum * sum * part;
    mean[i] = shift[i] + sum * part;
    squares[i] = rest < 0 ? 0 : rest;
  }
}

static void chunk_moments(const fnn_channels *c, const fnn_channels_piece *p, double *states) {
  int dtype = c->x->dtype;
  double shift[FNN_CHANNELS_WIDE], s0[FNN_CHANNELS_WIDE], s1[FNN_CHANNELS_WIDE];
  double *mean = moments_at(c, states, p->slab, p->chunk, p->channel);
  shift_of(c, p, shift);
  fnn_channels_zero(p, s0);
  fnn_channels_zero(p, s1);
  sum_piece(c, p, shift, s0, s1);
  fnn_channels_totals(dtype, p, s0, mean);
  fnn_channels_totals(dtype, p, s1, mean + c->channels);
  fnn_line_get(dtype, p->width, shift, s0);
  centered(p->width, (double)fnn_channels_counted(c, p->chunk), s0, mean, mean + c->channels);
}

/* The means and squares of n numbers in each of `width` places, joined by those of `more` others. */
static void join(int64_t width, double *restrict mean, double *restrict squares, double n,
                 const double *restrict means, const double *restrict others, double more) {
  double part = more / (n + more), both = n * part;
  for (int64_t i = 0; i < width; i++) {
    double d = means[i] - mean[i];
    mean[i] += d * part;
    squares[i] += others[i] + d * d * both;
  }
}

/* Those of all chunks of a slab, for `width` channels from one. */
static void slab_moments(const fnn_channels *c, double *states, int64_t slab, int64_t channel,
                         int64_t width, double *mean, double *squares) {
  double n = 0;
  for (int64_t i = 0; i < width; i++) mean[i] = squares[i] = 0;
  for (int64_t chunk = 0; chunk < c->chunks; chunk++) {
    const double *from = moments_at(c, states, slab, chunk, channel);
    double more = (double)fnn_channels_counted(c, chunk);
    join(width, mean, squares, n, from, from + c->channels, more);
    n += more;
  }
}

/* Those of `size` channels together. */
static void group_moments(const fnn_channels *c, double *states, int64_t slab, int64_t channel,
                          int64_t size, double *mean, double *squares) {
  double means[BLOCK], others[BLOCK], n = 0, count = (double)c->count;
  *mean = *squares = 0;
  for (int64_t i = 0; i < size; i += BLOCK) {
    int64_t width = fnn_smaller(BLOCK, size - i);
    double middle = 0, around = 0;
    slab_moments(c, states, slab, channel + i, width, means, others);
    for (int64_t k = 0; k < width; k++) middle += means[k];
    middle /= (double)width;
    for (int64_t k = 0; k < width; k++)
      around += others[k] + count * (means[k] - middle) * (means[k] - middle);
    join(1, mean, squares, n, &middle, &around, (double)width * count);
    n += (double)width * count;
  }
}

/* A running statistic of `width` channels moves to now * factor. */
static void update_running(const fnn_array *running, int64_t channel, int64_t width, double move,
                           const double *now, double factor) {
  double values[BLOCK];
  if (!fnn_present(running)) return;
  fnn_line_get(running->dtype, width, fnn_at(running, channel), values);
  for (int64_t i = 0; i < width; i++) values[i] = (1 - move) * values[i] + move * (now[i] * factor);
  fnn_line_put(running->dtype, width, values, fnn_at(running, channel));
}

/* Statistics [at, at + width), each of n numbers. */
static void put_statistics(const fnn_call *call, const fnn_channels *c, int64_t at, int64_t width,
                           double n, double *mean, double *squares) {
  double rstd[BLOCK], eps = call->scalars[0].f;
  for (int64_t i = 0; i < width; i++) {
    if (n == 0) mean[i] = NAN;
    squares[i] /= n;
    rstd[i] = 1 / sqrt(squares[i] + eps);
  }
  fnn_line_put(c->x->dtype, width, mean, fnn_at(c->mean, at));
  fnn_line_put(c->x->dtype, width, rstd, fnn_at(c->rstd, at));
  if (call->op != FNN_OP_batch_norm || n == 0) return;
  const fnn_array *running = &call->arrays[10], *tracked = &call->arrays[12];
  double move = call->scalars[1].f;
  if (move < 0) move = fnn_present(tracked) ? 1 / (double)(*(int64_t *)tracked->data + 1) : 0;
  update_running(&running[0], at, width, move, mean, 1);
  update_running(&running[1], at, width, move, squares, n > 1 ? n / (n - 1) : 1);
}

/* Statistics [begin, end), numbered slab by slab. */
static void finish_moments(const fnn_call *call, const fnn_channels *c, double *states,
                           fnn_range mine) {
  double mean[BLOCK], squares[BLOCK];
  for (int64_t at = mine.begin, width; at < mine.end; at += width) {
    int64_t size = c->channels / c->groups, slab = at / c->groups, group = at % c->groups;
    width = fnn_smaller(BLOCK, fnn_smaller(mine.end - at, c->groups - group));
    if (size == 1)
      slab_moments(c, states, slab, group, width, mean, squares);
    else
      for (int64_t i = 0; i < width; i++)
        group_moments(c, states, slab, (group + i) * size, size, &mean[i], &squares[i]);
    put_statistics(call, c, at, width, (double)(c->count * size), mean, squares);
  }
}

/* --- y --- */

void fnn_channels_ready(const fnn_channels *c, const fnn_channels_piece *p, double eps,
                        fnn_channels_table *t) {
  int dtype = c->x->dtype;
  double line[FNN_CHANNELS_WIDE], scale[FNN_CHANNELS_WIDE];
  fnn_channels_spread(c, c->mean, p->slab, p->channel, p->width, line);
  fnn_line_put(dtype, p->width, line, t->center);
  fnn_channels_spread(c, c->rstd, p->slab, p->channel, p->width, line);
  fnn_channels_values(c->weight, p->channel, p->width, 1, scale);
  if (eps >= 0)
    for (int64_t i = 0; i < p->width; i++) line[i] = 1 / sqrt(line[i] + eps);
  for (int64_t i = 0; i < p->width; i++) scale[i] *= line[i];
  fnn_line_put(dtype, p->width, scale, t->scale);
  fnn_channels_values(c->bias, p->channel, p->width, 0, line);
  fnn_line_put(dtype, p->width, line, t->offset);
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
