/* softmax.c: softmax, log_softmax and their gradients along one axis.
 *
 * Contract: all arrays have one shape. x and dy any strides; y (the result, or the saved result in the
 * gradients) and dx contiguous and overwritten. An input that is not contiguous is copied into the output
 * first and the work is done in place. Rows, or columns where the axis is not the last, never depend
 * on one another, so any cut of them gives the same bits. */
#include "lines.h"

#define TASK 4096 /* elements that a task of whole rows has about */
#define STRIP 128 /* columns of a task */
#define COPY 4096

typedef struct {
  int64_t outer, n, inner; /* the axis has n elements, inner apart */
  int64_t per_task, strips, tasks;
} layout;

static layout layout_of(const fnn_array *x, int axis) {
  layout l = {1, x->shape[axis], 1, 0, 1, 0};
  for (int d = 0; d < x->ndim; d++)
    if (d != axis) *(d < axis ? &l.outer : &l.inner) *= x->shape[d];
  if (l.n == 0 || l.outer == 0 || l.inner == 0) return l;
  if (l.inner == 1) {
    l.per_task = l.n < TASK ? TASK / l.n : 1;
    l.tasks = (l.outer + l.per_task - 1) / l.per_task;
  } else {
    l.strips = (l.inner + STRIP - 1) / STRIP;
    l.tasks = l.outer * l.strips;
  }
  return l;
}

static int is_grad(int op) { return op == FNN_OP_softmax_grad || op == FNN_OP_log_softmax_grad; }

fnn_status fnn_softmax_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = call->arrays;
  int grad = is_grad(call->op), arrays = grad ? 3 : 2;
  int64_t axis = call->scalars[0].i;
  for (int i = 0; i < arrays; i++) {
    if (!fnn_is_real(a[i].dtype) || a[i].dtype != a[0].dtype)
      return fnn_fail(why, FNN_ERR_DTYPE, "softmax takes float32 or float64, all alike");
    if (!fnn_same_shape(&a[i], &a[0]))
      return fnn_fail(why, FNN_ERR_SHAPE, "softmax wants arrays of one shape");
  }
  if (axis < 0 || axis >= a[0].ndim) return fnn_fail(why, FNN_ERR_VALUE, "softmax: no such axis");
  if (!fnn_contiguous(&a[arrays - 1]) || (grad && !fnn_contiguous(&a[0])))
    return fnn_fail(why, FNN_ERR_SHAPE, "softmax wants a contiguous result");
  layout l = layout_of(&a[0], (int)axis);
  plan->tasks = l.tasks > 0 ? l.tasks : 1;
  plan->bytes = (double)fnn_size(&a[0]) * (double)(arrays * fnn_itemsize(a[0].dtype));
  plan->flops = (double)fnn_size(&a[0]) * (call->op == FNN_OP_softmax_grad ? 4 : 30);
  return FNN_OK;
}

/* x where it is contiguous, else y after x was copied there, by blocks, by the whole team. */
static const char *source(const fnn_array *x, const fnn_array *y, fnn_team *team) {
  if (fnn_contiguous(x)) return x->data;
  fnn_array line = fnn_joined(x);
  int64_t size = fnn_size(x), width = fnn_itemsize(x->dtype);
  fnn_range mine = fnn_share((size + COPY - 1) / COPY, team);
  for (int64_t b = mine.begin; b < mine.end; b++) {
    int64_t begin = b * COPY, n = size - begin < COPY ? size - begin : COPY;
    char *to = (char *)y->data + begin * width;
    const void *from = fnn_read(&line, begin, n, to);
    if (from != to)
      fnn_write(&(fnn_array){.data = to, .ndim = 1, .shape = {n}, .stride = {1}, .dtype = x->dtype},
                0, n, from);
  }
  fnn_team_barrier(team);
  return y->data;
}

void fnn_softmax_run(const fnn_call *call, fnn_team *team) {
  const fnn_array *a = call->arrays;
  int grad = is_grad(call->op);
  int log = call->op == FNN_OP_log_softmax || call->op == FNN_OP_log_softmax_grad;
  layout l = layout_of(&a[0], (int)call->scalars[0].i);
  if (l.tasks == 0) return;
  const fnn_softmax_kernels *k = &fnn_kernels_of(a[0].dtype)->softmax;
  int64_t width = fnn_itemsize(a[0].dtype);
  const fnn_array *result = &a[grad ? 2 : 1];
  const char *x = source(&a[grad ? 1 : 0], result, team), *y = a[0].data;
  fnn_range mine = fnn_share(l.tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    if (l.inner == 1) {
      int64_t row = t * l.per_task, at = row * l.n * width;
      int64_t rows = l.outer - row < l.per_task ? l.outer - row : l.per_task;
      char *to = (char *)result->data + at;
      if (grad)
        k->rows_grad(rows, l.n, y + at, x + at, to, log);
      else
        k->rows(rows, l.n, x + at, to, log);
    } else {
      int64_t column = t % l.strips * STRIP;
      int64_t at = (t / l.strips * l.n * l.inner + column) * width;
      int64_t n = l.inner - column < STRIP ? l.inner - column : STRIP;
      char *to = (char *)result->data + at;
      if (grad)
        k->cols_grad(l.n, n, l.inner, y + at, x + at, to, log);
      else
        k->cols(l.n, n, l.inner, x + at, to, log);
    }
  }
}
