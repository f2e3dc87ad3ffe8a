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

static fnn_status point_plan(const fnn_call *call, int grad, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = call->arrays, *x = &a[0];
  int64_t reduction = call->scalars[1].i;
  for (int i = 0; i < 5 + grad; i++) {
    if (!fnn_present(&a[i])) continue;
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
  plan->bytes = (double)size * (double)(fnn_itemsize(x->dtype) * 3);
  plan->flops = (double)size * 8;
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
  plan->flops = (double)c.rows * (double)c.classes * (c.nll ? 1 : 20);
  plan->may_fail = 1;
  return FNN_OK;
}

static int64_t label_at(const fnn_array *labels, int64_t i) {
  int64_t at = i * labels->stride[0];
  if (labels->dtype == FNN_I64) return ((const int64_t *)labels->data)[at];
  if (labels->dtype == FNN_I32) return ((const int32_t *)labels->data)[at];
  return ((const uint8_t *)labels->data)[at];
}

/* True when all labels are classes or `ignore`; else the failure is on record. */
static int labels_fit(const cross *c, fnn_team *team) {
  fnn_range mine = fnn_share(c->rows, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t y = label_at(c->target, i);
    if (y != c->ignore && (y < 0 || y >= c->classes)) {
      fnn_team_fail(team, FNN_ERR_VALUE, i, "label {seen} is not one of {limit} classes", y,
                    c->classes);
      break;
    }
  }
  fnn_team_barrier(team);
  return !fnn_team_failed(team);
}

static const char *row_of(const fnn_array *a, int64_t i) {
  return (const char *)a->data + i * a->stride[0] * fnn_itemsize(a->dtype);
}

/* The loss of row i; *divisor is what it adds to the mean's divisor. */
static double cross_row(const cross *c, const fnn_kernels *k, int64_t i, double *divisor) {
  const char *x = row_of(c->x, i);
  double stats[2] = {0, 0}, sums[2] = {0, 0}, loss = 0;
  if (c->stats) {
    k->softmax.stats(c->classes, x, stats);
    fnn_real_put(c->stats, 2 * i, stats[0]);
    fnn_real_put(c->stats, 2 * i + 1, stats[1]);
  }
  double off = c->smoothing / (double)c->classes;
  const void *weight = c->weight ? c->weight->data : NULL;
  if (c->soft) {
    k->loss.cross(c->classes, x, stats, row_of(c->target, i), weight, 1 - c->smoothing, off, sums);
    *divisor = 1;
    return sums[0];
  }
  int64_t y = label_at(c->target, i);
  *divisor = 0;
  if (y == c->ignore) return 0;
  double w = c->weight ? fnn_real_at(c->weight, y) : 1;
  fnn_array row = {.data = (void *)x, .dtype = c->x->dtype};
  loss = (1 - c->smoothing) * w * ((stats[0] - fnn_real_at(&row, y)) + stats[1]);
  if (c->smoothing > 0) k->loss.cross(c->classes, x, stats, NULL, weight, 0, off, sums);
  *divisor = w;
  return loss + sums[0];
}

static void cross_forward(const cross *c, fnn_team *team) {
  const fnn_kernels *k = fnn_kernels_of(c->x->dtype);
  double *parts = (double *)team->workspace;
  fnn_range mine = fnn_share(c->tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t end = (t + 1) * c->per_task < c->rows ? (t + 1) * c->per_task : c->rows;
    double loss = 0, divisor = 0, more;
    for (int64_t i = t * c->per_task; i < end; i++) {
      double l = cross_row(c, k, i, &more);
      if (c->sample) l *= fnn_real_at(c->sample, i * c->sample->stride[0]);
      if (c->reduction == 0) fnn_real_put(c->out, i * c->out->stride[0], l);
      loss += l, divisor += more;
    }
    parts[2 * t] = loss, parts[2 * t + 1] = divisor;
  }
  fnn_team_barrier(team);
  if (team->id != 0) return;
  double loss = 0, divisor = 0;
  for (int64_t t = 0; t < c->tasks; t++) loss += parts[2 * t], divisor += parts[2 * t + 1];
  if (c->reduction != 2) divisor = 1;
  fnn_real_put(c->total, 0, divisor);
  if (c->reduction) fnn_real_put(c->out, 0, loss / divisor);
}

static void cross_grad_row(const cross *c, const fnn_kernels *k, int64_t i, double off_sum) {
  char *dx = (char *)row_of(c->out, i);
  const char *x = row_of(c->x, i);
  fnn_array row = {.data = dx, .dtype = c->x->dtype};
  double scale =
      fnn_real_at(c->dy, c->reduction ? 0 : i * c->dy->stride[0]) / fnn_real_at(c->total, 0);
  double stats[2] = {0, 0}, sums[2], off = c->smoothing / (double)c->classes;
  const void *weight = c->weight ? c->weight->data : NULL;
  if (c->sample) scale *= fnn_real_at(c->sample, i * c->sample->stride[0]);
  if (c->stats)
    stats[0] = fnn_real_at(c->stats, 2 * i), stats[1] = fnn_real_at(c->stats, 2 * i + 1);
  if (c->soft) {
    const char *t = row_of(c->target, i);
    k->loss.cross(c->classes, x, stats, t, weight, 1 - c->smoothing, off, sums);
    k->loss.cross_grad(c->classes, x, stats, t, weight, 1 - c->smoothing, off, sums[1], scale, dx);
    return;
  }
  int64_t y = label_at(c->target, i);
  if (y == c->ignore || c->nll) memset(dx, 0, (size_t)(c->classes * fnn_itemsize(c->x->dtype)));
  if (y == c->ignore) return;
  double w = (1 - c->smoothing) * (c->weight ? fnn_real_at(c->weight, y) : 1);
  if (!c->nll)
    k->loss.cross_grad(c->classes, x, stats, NULL, c->smoothing > 0 ? weight : NULL, 0, off,
                       w + off_sum, scale, dx);
  fnn_real_put(&row, y, fnn_real_at(&row, y) - scale * w);
}

static void cross_backward(const cross *c, fnn_team *team) {
  const fnn_kernels *k = fnn_kernels_of(c->x->dtype);
  double off_sum = c->smoothing;
  if (c->weight && c->smoothing > 0) {
    off_sum = 0;
    for (int64_t j = 0; j < c->classes; j++) off_sum += fnn_real_at(c->weight, j);
    off_sum *= c->smoothing / (double)c->classes;
  }
  fnn_range mine = fnn_share(c->rows, team);
  for (int64_t i = mine.begin; i < mine.end; i++) cross_grad_row(c, k, i, off_sum);
}

fnn_status fnn_loss_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  int grad, kind = point_of(call->op, &grad);
  return kind >= 0 ? point_plan(call, grad, plan, why) : cross_plan(call, plan, why);
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
