/* gemm_chain.c: products that end with a chain. It runs on the rows of C that were just made, while they are
 * in the caches. */
#include "chain.h"
#include "gemm.h"

enum { CODE = 3, FIRST = 4, INPUTS = 3, C = 7 };

/* The product alone. */
static void plain_call(const fnn_call *call, fnn_call *plain) {
  plain->op = FNN_OP_matmul;
  plain->n_arrays = 4;
  for (int k = 0; k < 3; k++) plain->arrays[k] = call->arrays[k];
  plain->arrays[3] = call->arrays[C];
  for (int k = 0; k < 4; k++) plain->scalars[k].i = 0;
}

/* An input's strides, 0 where it is broadcast to c's shape. */
static int broadcast(const fnn_array *a, const fnn_array *c, fnn_chain_array *place) {
  if (a->ndim > 2) return 0;
  for (int i = 1; i <= a->ndim; i++) {
    int64_t n = a->shape[a->ndim - i];
    if (n != 1 && n != c->shape[2 - i]) return 0;
    *(i == 1 ? &place->col : &place->row) = n == 1 ? 0 : a->stride[a->ndim - i];
  }
  return 1;
}

/* The chain, with C's rows and columns. */
static fnn_status ready(const fnn_call *call, fnn_chain *chain, fnn_failure *why) {
  const fnn_array *a = call->arrays, *c = &a[C];
  fnn_status status = fnn_chain_read(&a[CODE], &a[FIRST], INPUTS, c, 1, 1, chain, why);
  if (status) return status;
  if (c->ndim != 2 || !fnn_contiguous(c))
    return fnn_fail(why, FNN_ERR_SHAPE, "c must be a contiguous matrix");
  for (int k = 0; k < INPUTS; k++)
    if (chain->kinds[k] == CHAIN_REAL || chain->kinds[k] == CHAIN_BOOL)
      if (!broadcast(&a[FIRST + k], c, &chain->arrays[k]))
        return fnn_fail(why, FNN_ERR_SHAPE, "inputs of the chain must broadcast to c");
  chain->rows = c->shape[0];
  chain->cols = c->shape[1];
  chain->arrays[FNN_CHAIN_OUTPUT].row = chain->cols;
  chain->arrays[FNN_CHAIN_OUTPUT].col = 1;
  return FNN_OK;
}

/* matmul_chain: c (m, n) = the chain of a (m, k) b (k, n) + bias (n), as matmul makes it. The code finds the
 * product in the first output, c, and its other operands in the inputs e0 to e2, which broadcast to c. c is
 * contiguous and shares no memory with any input. */
fnn_status fnn_gemm_chain_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_call plain;
  fnn_chain chain;
  plain_call(call, &plain);
  fnn_status status = fnn_gemm_plan(&plain, plan, why);
  if (status == FNN_OK) status = ready(call, &chain, why);
  if (status != FNN_OK || fnn_size(&call->arrays[C]) == 0) return status;
  const fnn_kernels *kernels = fnn_kernels_of(call->arrays[C].dtype);
  double more = chain.flops * (double)fnn_size(&call->arrays[C]);
  if (!fnn_gemm_small_way(&plain, kernels))
    plan->tasks += (int64_t)(more / FNN_GEMM_FLOPS_WORTH(kernels->lanes));
  plan->flops += more;
  for (int k = FIRST; k < C; k++)
    if (fnn_present(&call->arrays[k]))
      plan->bytes += (double)(fnn_size(&call->arrays[k]) * fnn_itemsize(call->arrays[k].dtype));
  return FNN_OK;
}

void fnn_gemm_chain_run(const fnn_call *call, fnn_team *team) {
  fnn_call plain;
  fnn_chain chain;
  fnn_failure why;
  if (fnn_size(&call->arrays[C]) == 0 || ready(call, &chain, &why)) return;
  plain_call(call, &plain);
  fnn_gemm_run_with(&plain, &chain, team);
}

/* The same for C^T. */
void fnn_gemm_chain_turn(fnn_chain *chain) {
  for (int k = 0; k < FNN_CHAIN_PLACES; k++) {
    int64_t row = chain->arrays[k].row;
    chain->arrays[k].row = chain->arrays[k].col;
    chain->arrays[k].col = row;
  }
  int64_t rows = chain->rows;
  chain->rows = chain->cols;
  chain->cols = rows;
}
