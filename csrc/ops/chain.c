/* chain.c: the op that runs a chain over whole arrays. */
#include "chain.h"

/* Elements that a thread takes at once: a few tiles, so that what a row vector is spread to serves them all. */
#define UNIT 8192

/* chain: outputs of one shape, contiguous, overwritten; inputs broadcast to it and may be of any strides, as
 * long as shape and strides of all together come down to rows and columns. An output may be an input's own
 * memory, element by element, and otherwise overlaps none. Each output is written by the code. */

/* The arrays' strides along the outputs' axes longer than 1, 0 where they are broadcast. Returns the number
 * of axes, or -1 if an array does not fit. */
static int gather_axes(const fnn_call *call, int64_t *shape, int64_t (*stride)[FNN_MAX_DIMS],
                       fnn_failure *why) {
  const fnn_array *y = &call->arrays[1 + FNN_CHAIN_INPUTS];
  int n = 0;
  for (int k = 1; k < call->n_arrays; k++) {
    const fnn_array *a = &call->arrays[k];
    if (!fnn_present(a) || (k <= FNN_CHAIN_INPUTS && a->dtype == FNN_I64)) continue;
    int lead = y->ndim - a->ndim;
    if (lead < 0) return -1;
    for (int i = 0; i < a->ndim; i++)
      if (a->shape[i] != y->shape[lead + i] && (a->shape[i] != 1 || k > FNN_CHAIN_INPUTS)) {
        why->seen = a->shape[i];
        why->limit = y->shape[lead + i];
        return -1;
      }
    if (k > FNN_CHAIN_INPUTS && (lead || !fnn_contiguous(a))) return -1;
  }
  for (int i = 0; i < y->ndim; i++) {
    if (y->shape[i] == 1) continue;
    shape[n] = y->shape[i];
    for (int k = 1; k < call->n_arrays; k++) {
      const fnn_array *a = &call->arrays[k];
      int own = i - (y->ndim - a->ndim);
      stride[k][n] =
          !fnn_present(a) || own < 0 || own >= a->ndim || a->shape[own] == 1 ? 0 : a->stride[own];
    }
    n++;
  }
  return n;
}

/* Whether axis i goes on from axis i + 1 in every array. */
static int joins(const fnn_call *call, const int64_t *shape, int64_t (*stride)[FNN_MAX_DIMS],
                 int i) {
  for (int k = 1; k < call->n_arrays; k++)
    if (call->arrays[k].dtype != FNN_I64 || k > FNN_CHAIN_INPUTS)
      if (stride[k][i] != stride[k][i + 1] * shape[i + 1]) return 0;
  return 1;
}

/* Rows, columns and strides. */
static fnn_status lay_out(const fnn_call *call, fnn_chain *chain, fnn_failure *why) {
  int64_t shape[FNN_MAX_DIMS] = {1}, stride[FNN_MAX_ARRAYS][FNN_MAX_DIMS] = {{0}};
  int n = gather_axes(call, shape, stride, why);
  if (n < 0)
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "inputs must broadcast to the outputs, which are alike and contiguous");
  for (int i = n - 2; i >= 0; i--) {
    if (!joins(call, shape, stride, i)) continue;
    shape[i] *= shape[i + 1];
    for (int k = 1; k < call->n_arrays; k++) stride[k][i] = stride[k][i + 1];
    for (int j = i + 1; j < n - 1; j++) {
      shape[j] = shape[j + 1];
      for (int k = 1; k < call->n_arrays; k++) stride[k][j] = stride[k][j + 1];
    }
    n--;
  }
  if (n > 2) return fnn_fail(why, FNN_ERR_SHAPE, "the arrays do not come down to rows and columns");
  chain->rows = n == 2 ? shape[0] : 1;
  chain->cols = n == 2 ? shape[1] : n == 1 ? shape[0] : 1;
  for (int k = 1; k < call->n_arrays; k++) {
    int place = k <= FNN_CHAIN_INPUTS ? k - 1 : k - 1 - FNN_CHAIN_INPUTS + FNN_CHAIN_OUTPUT;
    chain->arrays[place].row = n == 2 ? stride[k][0] : n == 1 ? stride[k][0] * shape[0] : 0;
    chain->arrays[place].col = n == 2 ? stride[k][1] : n == 1 ? stride[k][0] : 0;
  }
  return FNN_OK;
}

static fnn_status ready(const fnn_call *call, fnn_chain *chain, fnn_failure *why) {
  const fnn_array *a = call->arrays;
  fnn_status status = fnn_chain_read(a, a + 1, FNN_CHAIN_INPUTS, a + 1 + FNN_CHAIN_INPUTS,
                                     FNN_CHAIN_OUTPUTS, 0, chain, why);
  if (status) return status;
  for (int k = 0; k < FNN_CHAIN_OUTPUTS; k++)
    if (fnn_present(&a[1 + FNN_CHAIN_INPUTS + k]) && !chain->written[k])
      return fnn_fail(why, FNN_ERR_VALUE, "an output is not written by the code");
  return lay_out(call, chain, why);
}

/* Units: runs of a long row, or some whole rows. */
static int64_t units(const fnn_chain *chain, int64_t *rows, int64_t *cols) {
  *cols = chain->cols < UNIT ? chain->cols : UNIT;
  *rows = chain->cols < UNIT ? UNIT / (chain->cols ? chain->cols : 1) : 1;
  return ((chain->rows + *rows - 1) / *rows) * (*cols ? (chain->cols + *cols - 1) / *cols : 0);
}

/* Elements, those that are repeated counted once. */
static int64_t distinct(const fnn_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->ndim; i++) n *= a->stride[i] ? a->shape[i] : 1;
  return n;
}

fnn_status fnn_chain_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_chain chain;
  fnn_status status = ready(call, &chain, why);
  if (status) return status;
  int64_t rows, cols, n = units(&chain, &rows, &cols);
  plan->tasks = n > 0 ? n : 1;
  plan->flops = chain.flops * (double)chain.rows * (double)chain.cols;
  for (int k = 1; k < call->n_arrays; k++)
    if (fnn_present(&call->arrays[k]))
      plan->bytes += (double)(distinct(&call->arrays[k]) * fnn_itemsize(call->arrays[k].dtype));
  return FNN_OK;
}

void fnn_chain_run(const fnn_call *call, fnn_team *team) {
  fnn_chain chain;
  fnn_failure why;
  if (ready(call, &chain, &why)) return; /* not after plan */
  int64_t rows, cols;
  fnn_range share = fnn_share(units(&chain, &rows, &cols), team);
  int64_t across = cols ? (chain.cols + cols - 1) / cols : 0;
  for (int64_t i = share.begin; i < share.end; i++) {
    int64_t row = i / across * rows, col = i % across * cols;
    fnn_chain_block(&chain, row, rows < chain.rows - row ? rows : chain.rows - row, col,
                    cols < chain.cols - col ? cols : chain.cols - col);
  }
}
