/* optimizer.c: optimizer steps, averaging and gradient clipping over flat contiguous buffers.
 *
 * All arrays of weights, gradients and state have one size and dtype, are contiguous and are
 * updated in place: an output is the input of that name. `scale` (one double, absent for 1)
 * multiplies the gradient. */
#include "op.h"

#include <math.h>

#define CHUNK 16384 /* elements; partial sums are made of these */

/* Where things are in a step's arrays: w, g, then n_state, then scale, h, and w and the state
 * again. */
typedef struct {
  int rule, n_state;
  unsigned optional; /* bit i: state i may be absent */
} layout;

static layout layout_of(int op) {
  switch (op) {
    case FNN_OP_sgd:
      return (layout){FNN_RULE_SGD, 1, 1};
    case FNN_OP_adam:
      return (layout){FNN_RULE_ADAM, 3, 4};
    case FNN_OP_nadam:
      return (layout){FNN_RULE_NADAM, 2, 0};
    case FNN_OP_rmsprop:
      return (layout){FNN_RULE_RMSPROP, 3, 6};
    case FNN_OP_adagrad:
      return (layout){FNN_RULE_ADAGRAD, 1, 0};
    default:
      return (layout){FNN_RULE_LION, 1, 0};
  }
}

static int is_doubles(const fnn_array *a, int64_t n) {
  return a->dtype == FNN_F64 && fnn_contiguous(a) && fnn_size(a) == n;
}

static int is_flat_like(const fnn_array *a, const fnn_array *w) {
  return a->dtype == w->dtype && fnn_size(a) == fnn_size(w) && fnn_contiguous(a);
}

static fnn_status flat_cost(const fnn_array *w, int arrays, int flops, fnn_plan *plan) {
  double n = (double)fnn_size(w);
  plan->tasks = (fnn_size(w) + CHUNK - 1) / CHUNK;
  plan->flops = n * flops;
  plan->bytes = n * arrays * (double)fnn_itemsize(w->dtype);
  return FNN_OK;
}

static fnn_status check_step(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const layout l = layout_of(call->op);
  const fnn_array *a = call->arrays, *w = &a[0], *scale = &a[2 + l.n_state], *h = scale + 1,
                  *out = h + 1;
  if (!fnn_is_real(w->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "weights must be float32 or float64");
  if (!is_flat_like(w, w) || !is_flat_like(&a[1], w))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "weights and gradients must be contiguous and of one size and dtype");
  if (out[0].data != w->data || !is_flat_like(&out[0], w))
    return fnn_fail(why, FNN_ERR_VALUE, "a step works in place: w is the same array on both sides");
  int present = 0;
  for (int i = 0; i < l.n_state; i++) {
    const fnn_array *s = &a[2 + i];
    if (!fnn_present(s) && (l.optional >> i & 1) && !fnn_present(&out[1 + i])) continue;
    if (!fnn_present(s) || !is_flat_like(s, w))
      return fnn_fail(why, FNN_ERR_SHAPE, "the optimizer's state must be like the weights");
    if (out[1 + i].data != s->data || !is_flat_like(&out[1 + i], w))
      return fnn_fail(why, FNN_ERR_VALUE,
                      "a step works in place: state is the same array on both sides");
    present++;
  }
  if (!is_doubles(h, FNN_HYPER) || (fnn_present(scale) && !is_doubles(scale, 1)))
    return fnn_fail(why, FNN_ERR_SHAPE, "h holds 16 float64 numbers and scale one");
  return flat_cost(w, 3 + 2 * present, 12, plan);
}

fnn_status fnn_optimizer_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = call->arrays;
  switch (call->op) {
    case FNN_OP_optimizer_tick:
      if (!is_doubles(&a[0], FNN_HYPER) || !is_doubles(&a[1], FNN_HYPER) || a[0].data != a[1].data)
        return fnn_fail(why, FNN_ERR_SHAPE,
                        "h holds 16 float64 numbers, the same array on both sides");
      if (call->scalars[0].i < 0 || call->scalars[0].i >= FNN_RULES)
        return fnn_fail(why, FNN_ERR_VALUE, "no such rule");
      return FNN_OK;
    case FNN_OP_ema:
      if (!fnn_is_real(a[0].dtype) || !is_flat_like(&a[0], &a[0]) || !is_flat_like(&a[1], &a[0]) ||
          !is_flat_like(&a[3], &a[0]) || a[3].data != a[0].data)
        return fnn_fail(why, FNN_ERR_SHAPE, "average and weights must be contiguous and alike");
      if (!is_doubles(&a[2], FNN_HYPER))
        return fnn_fail(why, FNN_ERR_SHAPE, "h holds 16 float64 numbers");
      return flat_cost(&a[0], 3, 3, plan);
    case FNN_OP_flat_dot:
      if (!fnn_is_real(a[0].dtype) || !is_flat_like(&a[0], &a[0]) || !is_flat_like(&a[1], &a[0]) ||
          !is_doubles(&a[2], 1))
        return fnn_fail(why, FNN_ERR_SHAPE, "a and b must be contiguous and alike, y one float64");
      plan->workspace = (fnn_size(&a[0]) + CHUNK - 1) / CHUNK * (int64_t)sizeof(double);
      return flat_cost(&a[0], a[0].data == a[1].data ? 1 : 2, 2, plan);
    case FNN_OP_clip_scale:
      if (!is_doubles(&a[0], fnn_size(&a[0])) || !is_doubles(&a[1], 1) || !is_doubles(&a[2], 1))
        return fnn_fail(why, FNN_ERR_SHAPE, "squares, norm and scale are contiguous float64");
      if (!(call->scalars[0].f >= 0)) return fnn_fail(why, FNN_ERR_VALUE, "max_norm must be >= 0");
      return FNN_OK;
    case FNN_OP_scale_clip:
      if (!fnn_is_real(a[0].dtype) || !is_flat_like(&a[0], &a[0]) || !is_flat_like(&a[2], &a[0]) ||
          a[2].data != a[0].data || (fnn_present(&a[1]) && !is_doubles(&a[1], 1)))
        return fnn_fail(why, FNN_ERR_SHAPE, "g must be contiguous, the same array on both sides");
      if (!(call->scalars[0].f >= 0)) return fnn_fail(why, FNN_ERR_VALUE, "the limit must be >= 0");
      return flat_cost(&a[0], 2, 2, plan);
    default:
      return check_step(call, plan, why);
  }
}

/* optimizer_tick(rule): counts a step in h and derives its A, B, C, D; see optimizer.h. */
static void run_tick(double *h, int rule) {
  double t = ++h[FNN_H_STEP], lr = h[FNN_H_LR];
  switch (rule) {
    case FNN_RULE_SGD:
      h[FNN_H_A] = t == 1 ? 1 : 1 - h[FNN_H_1];
      break;
    case FNN_RULE_ADAM:
      h[FNN_H_A] = lr / (1 - pow(h[FNN_H_0], t));
      h[FNN_H_B] = 1 / sqrt(1 - pow(h[FNN_H_1], t));
      break;
    case FNN_RULE_NADAM: {
      double mu = h[FNN_H_0] * (1 - 0.5 * pow(0.96, t * h[FNN_H_4]));
      double next = h[FNN_H_0] * (1 - 0.5 * pow(0.96, (t + 1) * h[FNN_H_4]));
      double product = h[FNN_H_D] *= mu;
      h[FNN_H_A] = lr * (1 - mu) / (1 - product);
      h[FNN_H_B] = lr * next / (1 - product * next);
      h[FNN_H_C] = 1 / sqrt(1 - pow(h[FNN_H_1], t));
      break;
    }
    case FNN_RULE_ADAGRAD:
      h[FNN_H_A] = lr / (1 + (t - 1) * h[FNN_H_0]);
      break;
    case FNN_RULE_EMA: {
      double warm = (1 + t) / (10 + t);
      h[FNN_H_A] = h[FNN_H_1] != 0 && warm < h[FNN_H_0] ? warm : h[FNN_H_0];
      break;
    }
    default:
      break;
  }
}

static char *at(const fnn_array *a, int64_t element) {
  return a->data == NULL ? NULL : (char *)a->data + element * fnn_itemsize(a->dtype);
}

/* The rules' formulas are in optimizer.inc. */
static void run_step(const fnn_call *call, const fnn_optimizer_kernels *k, int64_t begin,
                     int64_t count) {
  const layout l = layout_of(call->op);
  const fnn_array *a = call->arrays, *scale = &a[2 + l.n_state], *h = scale + 1;
  const double *hyper = h->data;
  void *state[3] = {NULL, NULL, NULL};
  for (int i = 0; i < l.n_state; i++) state[i] = at(&a[2 + i], begin);
  double factor = hyper[FNN_H_SIGN] * (fnn_present(scale) ? *(const double *)scale->data : 1);
  k->rule[l.rule](count, at(&a[0], begin), at(&a[1], begin), state, factor, hyper);
}

/* flat_dot: y = sum of a[i] b[i], by chunks of fixed size, added in order. */
static void run_dot(const fnn_call *call, const fnn_optimizer_kernels *k, fnn_team *team) {
  const fnn_array *a = call->arrays;
  double *partial = (double *)(void *)team->workspace, total = 0;
  int64_t n = fnn_size(&a[0]), chunks = (n + CHUNK - 1) / CHUNK;
  fnn_range share = fnn_share(chunks, team);
  for (int64_t c = share.begin; c < share.end; c++) {
    int64_t count = n - c * CHUNK < CHUNK ? n - c * CHUNK : CHUNK;
    partial[c] = k->dot(count, at(&a[0], c * CHUNK), at(&a[1], c * CHUNK));
  }
  fnn_team_barrier(team);
  if (team->id != 0) return;
  for (int64_t c = 0; c < chunks; c++) total += partial[c];
  *(double *)a[2].data = total;
}

/* clip_scale(max_norm): norm = sqrt(sum of squares); scale = min(1, max_norm / (norm + 1e-6)); a
 * NaN stays. */
static void run_clip_scale(const fnn_call *call) {
  const double *squares = call->arrays[0].data;
  int64_t n = fnn_size(&call->arrays[0]);
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += squares[i];
  double norm = sqrt(total), scale = call->scalars[0].f / (norm + 1e-6);
  *(double *)call->arrays[1].data = norm;
  *(double *)call->arrays[2].data = scale > 1 ? 1 : scale;
}

/* Whether scale_clip would leave its array as it is: gradients that are within their limits. */
static int scales_nothing(const fnn_call *call) {
  const fnn_array *scale = &call->arrays[1];
  return isinf(call->scalars[0].f) && fnn_present(scale) && *(const double *)scale->data == 1;
}

/* ema: average += (1 - A) (weights - average).  scale_clip(limit): g = clip(scale g, -limit, limit);
 * nothing is read where that is g. */
void fnn_optimizer_run(const fnn_call *call, fnn_team *team) {
  const fnn_array *a = call->arrays;
  if (call->op == FNN_OP_optimizer_tick || call->op == FNN_OP_clip_scale) {
    if (team->id != 0) return;
    if (call->op == FNN_OP_clip_scale)
      run_clip_scale(call);
    else
      run_tick(a[0].data, (int)call->scalars[0].i);
    return;
  }
  if (call->op == FNN_OP_scale_clip && scales_nothing(call)) return;
  const fnn_optimizer_kernels *k = &fnn_kernels_of(a[0].dtype)->optimizer;
  if (call->op == FNN_OP_flat_dot) {
    run_dot(call, k, team);
    return;
  }
  int64_t n = fnn_size(&a[0]);
  fnn_range share = fnn_share((n + 63) / 64, team);
  int64_t begin = share.begin * 64, count = (share.end * 64 < n ? share.end * 64 : n) - begin;
  if (count <= 0) return;
  if (call->op == FNN_OP_ema)
    k->rule[FNN_RULE_EMA](count, at(&a[0], begin), at(&a[1], begin), NULL, 1, a[2].data);
  else if (call->op == FNN_OP_scale_clip)
    k->scale_clip(count, at(&a[0], begin), fnn_present(&a[1]) ? *(const double *)a[1].data : 1,
                  call->scalars[0].f);
  else
    run_step(call, k, begin, count);
}
