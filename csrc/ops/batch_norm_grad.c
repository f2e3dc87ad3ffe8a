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
  double *sums;       /* of g and of g (x - mean), by slab, chunk and channel */
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
  return r->sums + 2 * ((slab * r->c.chunks + chunk) * r->c.channels + channel);
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
  for (int64_t i = 0; i < p->width; i++) {
    double *sums = sums_at(r, p->slab, p->chunk, p->channel + i);
    sums[0] = fnn_channels_total(dtype, p, s0, i);
    sums[1] = fnn_channels_total(dtype, p, s1, i);
  }
}

/* The chunks' sums added up in order, in the place of the first; this thread's share of channels. */
static void add_chunks(const gradient *r, fnn_team *team) {
  fnn_range mine = fnn_share(r->c.slabs * r->c.channels, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t slab = i / r->c.channels, channel = i % r->c.channels;
    double *total = sums_at(r, slab, 0, channel);
    for (int64_t chunk = 1; chunk < r->c.chunks; chunk++) {
      const double *more = sums_at(r, slab, chunk, channel);
      total[0] += more[0], total[1] += more[1];
    }
  }
}

/* dw and db: the slabs' sums. */
static void put_parameters(const gradient *r, fnn_team *team) {
  const fnn_array *dw = &r->call->arrays[DW], *db = &r->call->arrays[DB];
  fnn_range mine = fnn_share(r->c.channels, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    double weight = 0, bias = 0;
    for (int64_t slab = 0; slab < r->c.slabs && r->c.tasks; slab++) {
      const double *sums = sums_at(r, slab, 0, i);
      int64_t statistic = slab * r->c.groups + fnn_channels_group(&r->c, i);
      weight += sums[1] * fnn_real_at(r->c.rstd, statistic);
      bias += sums[0];
    }
    if (fnn_present(dw)) fnn_real_put(dw, i, weight);
    if (fnn_present(db)) fnn_real_put(db, i, bias);
  }
}

/* What a statistic's gradients need: the sums of g w and of g w (x - mean) over its channels. */
static void group_sums(const gradient *r, int64_t slab, int64_t group, double *total) {
  int64_t size = r->c.channels / r->c.groups;
  total[0] = total[1] = 0;
  for (int64_t i = group * size; i < (group + 1) * size; i++) {
    const double *sums = sums_at(r, slab, 0, i);
    double w = fnn_value_or(r->c.weight, i, 1);
    total[0] += w * sums[0], total[1] += w * sums[1];
  }
}

static void ready(const gradient *r, const fnn_channels_piece *p, fnn_channels_table *t) {
  const fnn_channels *c = &r->c;
  int dtype = c->x->dtype;
  double n = (double)(c->count * (c->channels / c->groups)), total[2] = {0, 0};
  int64_t known = -1;
  for (int64_t i = 0; i < p->width; i++) {
    int64_t channel = p->channel + i, group = fnn_channels_group(c, channel);
    double rstd = fnn_real_at(c->rstd, p->slab * c->groups + group);
    if (group != known && !r->fixed) group_sums(r, p->slab, group, total);
    known = group;
    fnn_line_put(dtype, t->gain, i, rstd * fnn_value_or(c->weight, channel, 1));
    fnn_line_put(dtype, t->slope, i, -(rstd * rstd * rstd) * total[1] / n);
    fnn_line_put(dtype, t->flat, i, -rstd * total[0] / n);
  }
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
