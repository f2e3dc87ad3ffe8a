/* batch_norm_grad.c: gradients of batch, group and instance normalisation, with the limits of y.
 *
 * batch_norm_grad, group_norm_grad: arrays as in batch_norm.c. With g = dy + more where y is between the
 *   limits and else 0, h = (x - mean) rstd and averages over what shares a statistic (0 where
 *   batch_norm_grad's `training` is not set: the statistics are fixed),
 *
 *     dx = rstd (g w - avg(g w) - h avg(g w h)),   dw = sum g h,   db = sum g,   dresidual = g
 *
 *   each of which may be absent. Where y is absent it is computed again to tell where the limits are, without
 *   residual; more and dresidual want it present. dx and dresidual may be dy, more or y.
 *
 * One pass makes the sums, and g where y told of the limits (into dresidual, else into dx); a second makes
 * dx, from the end, which was read last. */
#include "channels.h"

#include <math.h>

enum { X, W, B, MEAN, RSTD, DY, MORE, Y, DX, DW, DB, DRESIDUAL };

typedef struct {
  const fnn_call *call;
  fnn_channels c;
  fnn_channels_limits limits;
  const fnn_array *g; /* where the first pass puts g; NULL if it does not */
  int fixed;          /* statistics that do not depend on x */
  double *sums;       /* by slab and chunk: of g, and then of g (x - mean), by channel */
} gradient;

static gradient gradient_of(const fnn_call *call, const fnn_team *team) {
  const fnn_array *a = call->arrays;
  int limited = !isinf(call->scalars[0].f) || !isinf(call->scalars[1].f);
  int output = fnn_present(&a[Y]);
  gradient r = {.call = call,
                .c = fnn_channels_of_call(call),
                .limits = output    ? FNN_LIMITS_OUTPUT
                          : limited ? FNN_LIMITS_AGAIN
                                    : FNN_LIMITS_NONE,
                .fixed = call->op == FNN_OP_batch_norm_grad && !call->scalars[2].i,
                .sums = (double *)team->workspace};
  if (output) r.g = fnn_present(&a[DRESIDUAL]) ? &a[DRESIDUAL] : &a[DX];
  return r;
}

static double *sums_at(const gradient *r, int64_t slab, int64_t chunk, int64_t channel) {
  return r->sums + 2 * (slab * r->c.chunks + chunk) * r->c.channels + channel;
}

static void sum_piece(const gradient *r, const fnn_channels_piece *p,
                      const fnn_channels_forward *f) {
  const fnn_array *a = r->call->arrays, *y = &a[Y], *more = &a[MORE];
  int dtype = a[X].dtype;
  const fnn_channels_kernels *k = &fnn_kernels_of(dtype)->channels;
  double s0[FNN_CHANNELS_WIDE], s1[FNN_CHANNELS_WIDE];
  fnn_channels_zero(p, s0);
  fnn_channels_zero(p, s1);
  for (int64_t i = 0; i < p->lines; i++) {
    int64_t at = p->first + i * p->apart, last = at + p->m * p->step;
    k->sums(p->m, p->n, p->step, fnn_at(&a[X], at), fnn_at(&a[DY], at), fnn_at(more, at),
            fnn_at(y, at), f, r->limits, r->g ? fnn_at(r->g, at) : NULL, s0, s1);
    if (p->tail)
      k->sums(1, p->tail, 0, fnn_at(&a[X], last), fnn_at(&a[DY], last), fnn_at(more, last),
              fnn_at(y, last), f, r->limits, r->g ? fnn_at(r->g, last) : NULL, s0, s1);
  }
  double *sums = sums_at(r, p->slab, p->chunk, p->channel);
  fnn_channels_totals(dtype, p, s0, sums);
  fnn_channels_totals(dtype, p, s1, sums + r->c.channels);
}

static void add_line(int64_t n, const double *restrict more, double *restrict total) {
  for (int64_t i = 0; i < n; i++) total[i] += more[i];
}

/* The chunks' sums added up in order, in the place of the first; this thread's share of channels. */
static void add_chunks(const gradient *r, fnn_team *team) {
  int64_t channels = r->c.channels;
  fnn_range mine = fnn_share(r->c.slabs * channels, team);
  for (int64_t at = mine.begin, n; at < mine.end; at += n) {
    int64_t slab = at / channels, channel = at % channels;
    n = fnn_smaller(mine.end - at, channels - channel);
    double *total = sums_at(r, slab, 0, channel);
    for (int64_t chunk = 1; chunk < r->c.chunks; chunk++) {
      const double *more = sums_at(r, slab, chunk, channel);
      add_line(n, more, total);
      add_line(n, more + channels, total + channels);
    }
  }
}

/* dw and db: the slabs' sums. */
static void put_parameters(const gradient *r, fnn_team *team) {
  const fnn_array *dw = &r->call->arrays[DW], *db = &r->call->arrays[DB];
  int dtype = r->c.x->dtype;
  double weight[FNN_CHANNELS_WIDE], bias[FNN_CHANNELS_WIDE], rstd[FNN_CHANNELS_WIDE];
  fnn_range mine = fnn_share(r->c.channels, team);
  for (int64_t at = mine.begin, n; at < mine.end; at += n) {
    n = fnn_smaller(mine.end - at, FNN_CHANNELS_WIDE);
    for (int64_t i = 0; i < n; i++) weight[i] = bias[i] = 0;
    for (int64_t slab = 0; slab < r->c.slabs && r->c.tasks; slab++) {
      const double *sums = sums_at(r, slab, 0, at), *dots = sums + r->c.channels;
      fnn_channels_spread(&r->c, r->c.rstd, slab, at, n, rstd);
      for (int64_t i = 0; i < n; i++) weight[i] += dots[i] * rstd[i];
      add_line(n, sums, bias);
    }
    if (fnn_present(dw)) fnn_line_put(dtype, n, weight, fnn_at(dw, at));
    if (fnn_present(db)) fnn_line_put(dtype, n, bias, fnn_at(db, at));
  }
}

/* What statistics' gradients need: the sums of g w and of g w (x - mean) over the channels that share one, for
 * each channel of a piece. */
static void shared_sums(const gradient *r, const fnn_channels_piece *p, double *restrict flat,
                        double *restrict slope) {
  const fnn_channels *c = &r->c;
  int64_t size = c->channels / c->groups;
  for (int64_t i = 0, channel = p->channel; i < p->width;) {
    int64_t group = channel / size, next = fnn_smaller((group + 1) * size, p->channel + p->width);
    const double *sums = sums_at(r, p->slab, 0, group * size), *dots = sums + c->channels;
    double total = 0, dot = 0;
    for (int64_t k = 0; k < size; k++) {
      double w = fnn_present(c->weight) ? fnn_real_at(c->weight, group * size + k) : 1;
      total += w * sums[k], dot += w * dots[k];
    }
    for (; channel < next; channel++, i++) flat[i] = total, slope[i] = dot;
  }
}

static void ready(const gradient *r, const fnn_channels_piece *p, fnn_channels_table *t) {
  const fnn_channels *c = &r->c;
  int dtype = c->x->dtype;
  double n = (double)(c->count * (c->channels / c->groups));
  double rstd[FNN_CHANNELS_WIDE], gain[FNN_CHANNELS_WIDE];
  double slope[FNN_CHANNELS_WIDE] = {0}, flat[FNN_CHANNELS_WIDE] = {0};
  fnn_channels_spread(c, c->rstd, p->slab, p->channel, p->width, rstd);
  fnn_channels_values(c->weight, p->channel, p->width, 1, gain);
  if (!r->fixed) shared_sums(r, p, flat, slope);
  for (int64_t i = 0; i < p->width; i++) {
    gain[i] *= rstd[i];
    slope[i] *= -(rstd[i] * rstd[i] * rstd[i]) / n;
    flat[i] *= -rstd[i] / n;
  }
  fnn_line_put(dtype, p->width, gain, t->gain);
  fnn_line_put(dtype, p->width, slope, t->slope);
  fnn_line_put(dtype, p->width, flat, t->flat);
  fnn_channels_repeat(c, p, t->gain);
  fnn_channels_repeat(c, p, t->slope);
  fnn_channels_repeat(c, p, t->flat);
}

static void grad_piece(const gradient *r, const fnn_channels_piece *p,
                       const fnn_channels_table *t) {
  const fnn_array *a = r->call->arrays, *dy = r->g ? r->g : &a[DY], *dx = &a[DX];
  const fnn_channels_kernels *k = &fnn_kernels_of(a[X].dtype)->channels;
  fnn_channels_limits limits = r->g ? FNN_LIMITS_NONE : r->limits;
  for (int64_t i = 0; i < p->lines; i++) {
    int64_t at = p->first + i * p->apart, last = at + p->m * p->step;
    k->grad(p->m, p->n, p->step, fnn_at(&a[X], at), fnn_at(dy, at), &t->forward, limits,
            &t->backward, fnn_at(dx, at));
    if (p->tail)
      k->grad(1, p->tail, 0, fnn_at(&a[X], last), fnn_at(dy, last), &t->forward, limits,
              &t->backward, fnn_at(dx, last));
  }
}

void fnn_batch_norm_backward(const fnn_call *call, fnn_team *team) {
  gradient r = gradient_of(call, team);
  fnn_channels_table table;
  fnn_range mine = fnn_share(r.c.tasks, team);
  fnn_channels_start(&table, call->scalars[0].f, call->scalars[1].f);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    fnn_channels_piece p = fnn_channels_piece_of(&r.c, t);
    if (fnn_channels_other(&table, &p)) fnn_channels_ready(&r.c, &p, -1, &table);
    sum_piece(&r, &p, &table.forward);
  }
  fnn_team_barrier(team);
  if (r.c.tasks) add_chunks(&r, team);
  fnn_team_barrier(team);
  put_parameters(&r, team);
  if (!fnn_present(&call->arrays[DX])) return;
  table.slab = table.channel = -1;
  for (int64_t t = mine.end - 1; t >= mine.begin; t--) {
    fnn_channels_piece p = fnn_channels_piece_of(&r.c, t);
    if (fnn_channels_other(&table, &p)) {
      fnn_channels_ready(&r.c, &p, -1, &table);
      ready(&r, &p, &table);
    }
    grad_piece(&r, &p, &table);
  }
}
