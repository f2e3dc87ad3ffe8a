/* loss.c: losses with their reduction, and their gradients, each in one pass.
 *
 * reduction is 0 none, 1 sum, 2 mean. With none the loss has a number for each element (or row), else it is
 * 0-d. Sums go by chunks of fixed size through the workspace, in double precision, added in order.
 *
 * Pointwise (mse_loss ...): x, target, weight and pos_weight have one shape (broadcast by strides of 0), any
 *   strides; loss is sum(weight l) or its quotient by the number of elements. dy is 0-d or of x's shape.
 * cross_entropy: x (rows, classes) with contiguous rows; labels (rows) of an integer type, each a class or
 *   `ignore`; weight (classes) contiguous; sample_weight (rows).
 *     l = (1 - smoothing) w[y] (-logp[y]) + smoothing / classes * sum_c w[c] (-logp[c])
 *   mean divides by the sum of w[y] over the rows not ignored (PyTorch's rule); that divisor is `total`. stats
 *   (rows, 2) is what the gradient needs to find softmax again.
 * cross_entropy_soft: target (rows, classes) holds probabilities; mean divides by rows.
 * nll: x holds log-probabilities; the rest as cross_entropy without smoothing.
 * A label out of range fails before anything is written. Outputs are overwritten and share no memory. */
#include <string.h>

#include "lines.h"

#define POINTS 1024 /* elements of a task of a pointwise loss */
#define CROSS 8192  /* logits of a task of cross entropy, about */
#define ROWS 128    /* rows of cross entropy that a kernel is given at once */

/* --- pointwise --- */
static int point_of(int op, int *grad) {
  *grad = 1;
  switch (op) {
    case FNN_OP_mse_loss:
      *grad = 0; /* fall through */
    case FNN_OP_mse_loss_grad:
      return FNN_LOSS_MSE;
    case FNN_OP_mae_loss:
      *grad = 0; /* fall through */
    case FNN_OP_mae_loss_grad:
      return FNN_LOSS_MAE;
    case FNN_OP_huber_loss:
      *grad = 0; /* fall through */
    case FNN_OP_huber_loss_grad:
      return FNN_LOSS_HUBER;
    case FNN_OP_bce_loss:
      *grad = 0; /* fall through */
    case FNN_OP_bce_loss_grad:
      return FNN_LOSS_BCE;
    case FNN_OP_bce_logits_loss:
      *grad = 0; /* fall through */
    case FNN_OP_bce_logits_loss_grad:
      return FNN_LOSS_BCE_LOGITS;
    default:
      return -1;
  }
}

static fnn_status point_plan(const fnn_call *call, int kind, int grad, fnn_plan *plan,
                             fnn_failure *why) {
  const fnn_array *a = call->arrays, *x = &a[0];
  int64_t reduction = call->scalars[1].i;
  for (int i = 0; i < 5 + grad; i++) {
    if (!fnn_present(&a[i])) continue;
    plan->bytes += fnn_bytes(&a[i]);
    if (!fnn_is_real(a[i].dtype) || a[i].dtype != x->dtype)
      return fnn_fail(why, FNN_ERR_DTYPE, "the loss takes float32 or float64, all alike");
    int single = reduction != 0 && i == 4;
    if (single ? fnn_size(&a[i]) != 1 : !fnn_same_shape(&a[i], x))
      return fnn_fail(why, FNN_ERR_SHAPE,
                      "the loss wants arrays of one shape, and a single dy or result");
  }
  int64_t size = fnn_size(x);
  if (reduction < 0 || reduction > 2) return fnn_fail(why, FNN_ERR_VALUE, "no such reduction");
  plan->tasks = size ? (size + POINTS - 1) / POINTS : 1;
  if (!grad && reduction) plan->workspace = plan->tasks * 8;
  plan->flops = (double)size * (kind < FNN_LOSS_BCE ? 8 : grad ? 35 : 70);
  return FNN_OK;
}

static void point_run(const fnn_call *call, int kind, int grad, fnn_team *team) {
  const fnn_array *a = call->arrays;
  int64_t size = fnn_size(&a[0]), reduction = call->scalars[1].i;
  int64_t tasks = (size + POINTS - 1) / POINTS;
  double delta = call->scalars[0].f, *parts = (double *)team->workspace;
  double scale = reduction == 2 ? 1 / (double)size : 1;
  int64_t buffer[5][POINTS], place[POINTS];
  fnn_array line[6] = {{0}};
  const fnn_kernels *k = fnn_kernels_of(a[0].dtype);
  for (int i = 0; i < 5 + grad; i++)
    if (fnn_present(&a[i])) line[i] = fnn_joined(&a[i]);
  int scalar_dy = grad && reduction != 0;
  const fnn_array *out = &line[grad ? 5 : 4];
  if (scalar_dy && size) scale *= fnn_real_at(&a[4], 0);
  fnn_range mine = fnn_share(tasks, team);
  for (int64_t b = mine.begin; b < mine.end; b++) {
    int64_t begin = b * POINTS, n = size - begin < POINTS ? size - begin : POINTS;
    const void *in[5] = {NULL};
    for (int i = 0; i < 4 + grad; i++)
      if (fnn_present(&a[i]) && !(i == 4 && scalar_dy))
        in[i] = fnn_read(&line[i], begin, n, buffer[i]);
    (grad ? k->loss.point_grad : k->loss.point)[kind](n, in[0], in[1], in[3], delta, place);
    if (grad || in[2]) k->loss.scale(n, grad ? scale : 1, in[2], in[4], place);
    if (grad || reduction == 0)
      fnn_write(out, begin, n, place);
    else
      k->reduce.row[FNN_REDUCE_SUM](n, place, &parts[b]);
  }
  if (grad || reduction == 0) return;
  fnn_team_barrier(team);
  if (team->id != 0) return;
  double total = 0;
  for (int64_t b = 0; b < tasks; b++) total += parts[b];
  fnn_real_put(&a[4], 0, reduction == 2 ? total / (double)size : total);
}

/* --- cross entropy --- */
typedef struct {
  int soft, nll, grad;
  const fnn_array *x, *target, *weight, *sample, *stats, *total, *dy, *out; /* out: loss or dx */
  double smoothing;
  int64_t ignore, reduction, rows, classes, per_task, tasks;
} cross;

static const fnn_array *optional(const fnn_array *a) { return fnn_present(a) ? a : NULL; }

/* forward: x target weight? sample_weight? -> loss total stats
 * grad:    x target weight? sample_weight? total dy stats -> dx      (nll has no stats) */
static cross cross_of(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  int op = call->op;
  cross c = {.soft = op == FNN_OP_cross_entropy_soft || op == FNN_OP_cross_entropy_soft_grad,
             .nll = op == FNN_OP_nll || op == FNN_OP_nll_grad,
             .grad = op == FNN_OP_cross_entropy_grad || op == FNN_OP_cross_entropy_soft_grad ||
                     op == FNN_OP_nll_grad,
             .x = &a[0],
             .target = &a[1],
             .weight = optional(&a[2]),
             .sample = optional(&a[3])};
  c.smoothing = c.nll ? 0 : call->scalars[0].f;
  c.ignore = call->scalars[1].i;
  c.reduction = call->scalars[2].i;
  c.total = &a[c.grad ? 4 : 5];
  c.dy = c.grad ? &a[5] : NULL;
  c.stats = c.nll ? NULL : &a[6];
  c.out = &a[c.grad ? (c.nll ? 6 : 7) : 4];
  c.rows = c.x->ndim == 2 ? c.x->shape[0] : 0;
  c.classes = c.x->ndim == 2 ? c.x->shape[1] : 0;
  c.per_task = c.classes < CROSS ? CROSS / (c.classes ? c.classes : 1) : 1;
  c.tasks = (c.rows + c.per_task - 1) / c.per_task;
  return c;
}

static int is_vector(const fnn_array *a, int64_t n) { return a->ndim == 1 && a->shape[0] == n; }
static int rows_contiguous(const fnn_array *a) { return a->shape[1] <= 1 || a->stride[1] == 1; }

static fnn_status cross_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  cross c = cross_of(call);
  const fnn_array *single = c.grad ? c.dy : c.out;
  if (c.x->ndim != 2 || c.rows < 0)
    return fnn_fail(why, FNN_ERR_SHAPE, "cross entropy: x must be (rows, classes)");
  const fnn_array *reals[] = {c.x,     c.weight, c.sample, c.stats,
                              c.total, c.dy,     c.out,    c.soft ? c.target : NULL};
  for (int i = 0; i < 8; i++)
    if (reals[i] && (!fnn_is_real(reals[i]->dtype) || reals[i]->dtype != c.x->dtype))
      return fnn_fail(why, FNN_ERR_DTYPE, "cross entropy takes float32 or float64, all alike");
  int label = c.target->dtype;
  if (!c.soft && label != FNN_I64 && label != FNN_I32 && label != FNN_U8)
    return fnn_fail(why, FNN_ERR_DTYPE, "cross entropy: labels must be int64, int32 or uint8");
  if (c.soft ? !fnn_same_shape(c.target, c.x) : !is_vector(c.target, c.rows))
    return fnn_fail(why, FNN_ERR_SHAPE, "cross entropy: one target for each row of x");
  if ((c.weight && !is_vector(c.weight, c.classes)) || (c.sample && !is_vector(c.sample, c.rows)))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "cross entropy: weight must be (classes,) and sample_weight (rows,)");
  if (!rows_contiguous(c.x) || (c.soft && !rows_contiguous(c.target)) ||
      (c.weight && !fnn_contiguous(c.weight)))
    return fnn_fail(why, FNN_ERR_SHAPE, "cross entropy: rows of x and target must be contiguous");
  if (fnn_size(c.total) != 1 || (c.reduction ? fnn_size(single) != 1 : !is_vector(single, c.rows)))
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "cross entropy: the loss has one number, or one for each row");
  if (c.stats && (c.stats->ndim != 2 || c.stats->shape[0] != c.rows || c.stats->shape[1] != 2 ||
                  !fnn_contiguous(c.stats)))
    return fnn_fail(why, FNN_ERR_SHAPE, "cross entropy: stats must be (rows, 2)");
  if (c.grad && (!fnn_same_shape(c.out, c.x) || !rows_contiguous(c.out)))
    return fnn_fail(why, FNN_ERR_SHAPE, "cross entropy: dx must have x's shape");
  if (c.classes == 0 && c.rows > 0)
    return fnn_fail(why, FNN_ERR_SHAPE, "cross entropy: there are no classes");
  plan->tasks = c.tasks ? c.tasks : 1;
  plan->workspace = c.grad ? 0 : plan->tasks * 16;
  plan->bytes = (double)c.rows * (double)(c.classes * fnn_itemsize(c.x->dtype) * (c.grad ? 2 : 1));
  /* an exponential each, and what a row takes however short it is (measured: some 4 ns) */
  plan->flops = (double)c.rows * (c.nll ? 1 : 20 * (double)c.classes + 200);
  plan->may_fail = 1;
  return FNN_OK;
}

/* Labels [begin, begin + n) as int64, in place where they are that. */
static const int64_t *labels_of(const cross *c, int64_t begin, int64_t n, int64_t *buffer) {
  return fnn_read_int(c->target, begin, n, 0, buffer);
}

/* True when all labels are classes or `ignore`; else the failure is on record. */
static int labels_fit(const cross *c, fnn_team *team) {
  fnn_range mine = fnn_share(c->rows, team);
  int64_t buffer[ROWS];
  for (int64_t begin = mine.begin; begin < mine.end; begin += ROWS) {
    int64_t n = mine.end - begin < ROWS ? mine.end - begin : ROWS, wrong = 0;
    const int64_t *y = labels_of(c, begin, n, buffer);
    for (int64_t i = 0; i < n; i++)
      wrong += (y[i] != c->ignore) & ((uint64_t)y[i] >= (uint64_t)c->classes);
    for (int64_t i = 0; wrong && i < n; i++)
      if (y[i] != c->ignore && (uint64_t)y[i] >= (uint64_t)c->classes) {
        fnn_team_fail(team, FNN_ERR_VALUE, begin + i, "label {seen} is not one of {limit} classes",
                      y[i], c->classes);
        break;
      }
    if (wrong) break;
  }
  fnn_team_barrier(team);
  return !fnn_team_failed(team);
}

static char *row_of(const fnn_array *a, int64_t i) {
  return (char *)a->data + i * a->stride[0] * fnn_itemsize(a->dtype);
}

/* Rows [begin, begin + n) with their labels, n <= ROWS. */
static fnn_labelled labelled_of(const cross *c, int64_t begin, int64_t n, int64_t *buffer) {
  const int64_t size = fnn_itemsize(c->x->dtype);
  return (fnn_labelled){.rows = n,
                        .n = c->classes,
                        .x_step = c->x->stride[0],
                        .x = row_of(c->x, begin),
                        .dx_step = c->grad ? c->out->stride[0] : 0,
                        .dx = c->grad ? row_of(c->out, begin) : NULL,
                        .stats = c->stats ? (char *)c->stats->data + 2 * begin * size : NULL,
                        .labels = labels_of(c, begin, n, buffer),
                        .ignore = c->ignore,
                        .weight = c->weight ? c->weight->data : NULL,
                        .on = 1 - c->smoothing,
                        .off = c->smoothing / (double)c->classes};
}

/* losses[i] of row begin + i whose target is a distribution. */
static void soft_rows(const cross *c, const fnn_kernels *k, int64_t begin, int64_t n,
                      double *losses) {
  const void *weight = c->weight ? c->weight->data : NULL;
  k->softmax.stats(n, c->classes, c->x->stride[0], row_of(c->x, begin),
                   (char *)c->stats->data + 2 * begin * fnn_itemsize(c->x->dtype));
  for (int64_t i = begin; i < begin + n; i++) {
    double stats[2] = {fnn_real_at(c->stats, 2 * i), fnn_real_at(c->stats, 2 * i + 1)}, sums[2];
    k->loss.cross(c->classes, row_of(c->x, i), stats, row_of(c->target, i), weight,
                  1 - c->smoothing, c->smoothing / (double)c->classes, sums);
    losses[i - begin] = sums[0];
  }
}

/* The losses of a task's rows and what they add to the mean's divisor, summed in order. */
static void cross_task(const cross *c, const fnn_kernels *k, int64_t t, double *parts) {
  const int64_t end = (t + 1) * c->per_task < c->rows ? (t + 1) * c->per_task : c->rows;
  double losses[ROWS], own[ROWS], loss = 0, divisor = 0;
  int64_t buffer[ROWS];
  for (int64_t begin = t * c->per_task; begin < end; begin += ROWS) {
    const int64_t n = end - begin < ROWS ? end - begin : ROWS;
    if (c->soft) {
      soft_rows(c, k, begin, n, losses);
      divisor += (double)n;
    } else {
      fnn_labelled rows = labelled_of(c, begin, n, buffer);
      k->loss.labelled(&rows, losses, own);
      for (int64_t i = 0; i < n; i++) divisor += own[i];
    }
    for (int64_t i = 0; i < n; i++) {
      if (c->sample) losses[i] *= fnn_real_at(c->sample, (begin + i) * c->sample->stride[0]);
      if (c->reduction == 0) fnn_real_put(c->out, (begin + i) * c->out->stride[0], losses[i]);
      loss += losses[i];
    }
  }
  parts[0] = loss, parts[1] = divisor;
}

static void cross_forward(const cross *c, fnn_team *team) {
  const fnn_kernels *k = fnn_kernels_of(c->x->dtype);
  double *parts = (double *)team->workspace;
  fnn_range mine = fnn_share(c->tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) cross_task(c, k, t, parts + 2 * t);
  fnn_team_barrier(team);
  if (team->id != 0) return;
  double loss = 0, divisor = 0;
  for (int64_t t = 0; t < c->tasks; t++) loss += parts[2 * t], divisor += parts[2 * t + 1];
  if (c->reduction != 2) divisor = 1;
  fnn_real_put(c->total, 0, divisor);
  if (c->reduction) fnn_real_put(c->out, 0, loss / divisor);
}

/* The gradient of row i whose target is a distribution. */
static void soft_row_grad(const cross *c, const fnn_kernels *k, int64_t i, double scale) {
  const void *weight = c->weight ? c->weight->data : NULL, *t = row_of(c->target, i);
  double stats[2] = {fnn_real_at(c->stats, 2 * i), fnn_real_at(c->stats, 2 * i + 1)}, sums[2];
  double on = 1 - c->smoothing, off = c->smoothing / (double)c->classes;
  k->loss.cross(c->classes, row_of(c->x, i), stats, t, weight, on, off, sums);
  k->loss.cross_grad(c->classes, row_of(c->x, i), stats, t, weight, on, off, sums[1], scale,
                     row_of(c->out, i));
}

static void cross_backward(const cross *c, fnn_team *team) {
  const fnn_kernels *k = fnn_kernels_of(c->x->dtype);
  const double total = fnn_real_at(c->total, 0);
  double off_sum = c->smoothing, scale[ROWS];
  int64_t buffer[ROWS];
  if (c->weight && c->smoothing > 0) {
    off_sum = 0;
    for (int64_t j = 0; j < c->classes; j++) off_sum += fnn_real_at(c->weight, j);
    off_sum *= c->smoothing / (double)c->classes;
  }
  fnn_range mine = fnn_share(c->tasks, team);
  int64_t first = mine.begin * c->per_task, end = mine.end * c->per_task;
  if (end > c->rows) end = c->rows;
  for (int64_t begin = first; begin < end; begin += ROWS) {
    const int64_t n = end - begin < ROWS ? end - begin : ROWS;
    for (int64_t i = 0; i < n; i++) {
      scale[i] = fnn_real_at(c->dy, c->reduction ? 0 : (begin + i) * c->dy->stride[0]) / total;
      if (c->sample) scale[i] *= fnn_real_at(c->sample, (begin + i) * c->sample->stride[0]);
    }
    if (c->soft) {
      for (int64_t i = 0; i < n; i++) soft_row_grad(c, k, begin + i, scale[i]);
    } else {
      fnn_labelled rows = labelled_of(c, begin, n, buffer);
      k->loss.labelled_grad(&rows, off_sum, scale);
    }
  }
}

fnn_status fnn_loss_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  int grad, kind = point_of(call->op, &grad);
  return kind >= 0 ? point_plan(call, kind, grad, plan, why) : cross_plan(call, plan, why);
}

void fnn_loss_run(const fnn_call *call, fnn_team *team) {
  int grad, kind = point_of(call->op, &grad);
  if (kind >= 0) {
    point_run(call, kind, grad, team);
    return;
  }
  cross c = cross_of(call);
  if (!c.soft && !labels_fit(&c, team)) return;
  if (c.grad)
    cross_backward(&c, team);
  else
    cross_forward(&c, team);
}
