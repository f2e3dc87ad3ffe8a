/* gemm_plan.c: whether a product is one, and what it costs. */
#include <string.h>

#include "gemm.h"

/* b of a matmul that is the result of gemm_pack. */
static fnn_status gemm_check_packed(const fnn_call *call, fnn_failure *why) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *c = &call->arrays[3];
  if (c->ndim != 2 || a->ndim != 2 || a->shape[0] != c->shape[0])
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: with packed b, a and c must be matrices");
  if (c->stride[1] != 1)
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: with packed b, rows of c must have unit stride");
  const fnn_kernels *kernels = fnn_kernels_of(c->dtype);
  if (b->stride[0] != 1 ||
      b->shape[0] != fnn_gemm_packed_size(&kernels->gemm, kernels->lanes, c->shape[1], a->shape[1]))
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: packed b is not of the shape (k, n)");
  return FNN_OK;
}

static fnn_status gemm_check_matrices(const fnn_call *call, fnn_failure *why) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *c = &call->arrays[3];
  int d = c->ndim;
  if (d < 2 || a->ndim != d || b->ndim != d)
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: arrays must have the same rank, 2 or more");
  for (int i = 0; i < d - 2; i++)
    if (a->shape[i] != c->shape[i] || b->shape[i] != c->shape[i])
      return fnn_fail(why, FNN_ERR_SHAPE, "matmul: stacks of matrices must have equal shapes");
  if (a->shape[d - 2] != c->shape[d - 2] || b->shape[d - 1] != c->shape[d - 1] ||
      a->shape[d - 1] != b->shape[d - 2])
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: shapes must be (m, k), (k, n) and (m, n)");
  if (c->stride[d - 1] != 1 && c->stride[d - 2] != 1 && c->shape[d - 1] > 1 && c->shape[d - 2] > 1)
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "matmul: rows or columns of the output must have unit stride");
  return FNN_OK;
}

/* matmul: c (..., m, n) = act(a (..., m, k) b (..., k, n) + bias (n)), or c += where accumulate is not 0.
 * a, b and c have equal ranks >= 2 and c's shape in the dimensions before the last two (a stride of 0
 * repeats a matrix), or b is the result of gemm_pack, of rank 1, and a and c are matrices. Strides of a, b and
 * bias are any; c's last or last but one dimension has unit stride.
 * c shares no memory with the others. activation is the number of a pointwise op of one input, 0 for none
 * (add, the op of number 0, has two); alpha and beta are that op's scalars. k = 0 makes a product of zeros. */
fnn_status fnn_gemm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2],
                  *c = &call->arrays[3];
  if (call->op == FNN_OP_gemm_pack) return fnn_gemm_pack_plan(call, plan, why);
  if (call->op == FNN_OP_matmul_chain) return fnn_gemm_chain_plan(call, plan, why);
  int d = c->ndim;
  if (!fnn_is_real(c->dtype) || a->dtype != c->dtype || b->dtype != c->dtype ||
      (fnn_present(bias) && bias->dtype != c->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "matmul: all arrays must be float32, or all float64");
  fnn_status status = b->ndim == 1 ? gemm_check_packed(call, why) : gemm_check_matrices(call, why);
  if (status != FNN_OK) return status;
  if (fnn_present(bias) && (bias->ndim != 1 || bias->shape[0] != c->shape[d - 1]))
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: bias must have one element a column");
  int64_t activation = call->scalars[1].i;
  if (activation < 0 || activation >= FNN_OPS ||
      (activation && !fnn_kernels_of(c->dtype)->map[activation]) ||
      (activation && strcmp(fnn_op((int)activation)->arrays, "x -> y")))
    return fnn_fail(why, FNN_ERR_VALUE, "matmul: activation must be a pointwise op of one input");
  if (fnn_size(c) == 0) return FNN_OK;
  /* Besides the matrices: the bias, and c where it is added to. */
  double moved = fnn_present(bias) ? fnn_bytes(bias) : 0;
  if (call->scalars[0].i) moved += fnn_bytes(c);
  if (fnn_gemm_small_way(call, fnn_kernels_of(c->dtype))) {
    int64_t m = c->shape[0], n = c->shape[1], k = a->shape[1];
    plan->flops = 2.0 * (double)(m * n * k);
    plan->bytes = moved + (double)(fnn_itemsize(c->dtype) * (m * n + k * (m + n)));
    return FNN_OK;
  }
  fnn_gemm g;
  fnn_gemm_prepare(call, &g);
  double mn = (double)g.batches * (double)g.m * (double)g.n, k = (double)g.k;
  plan->flops = 2 * mn * k;
  plan->bytes = moved + (double)g.size * (mn + (double)g.batches * k * (double)(g.m + g.n));
  plan->workspace = fnn_gemm_workspace(&g);
  /* A thread is worth its start for two microseconds of work: of products, or of memory. */
  double worth = plan->flops / FNN_GEMM_FLOPS_WORTH(fnn_kernels_of(c->dtype)->lanes);
  if (worth < plan->bytes / 200e3) worth = plan->bytes / 200e3;
  plan->tasks = at_most(g.batches * ceil_div(g.m, g.height) * ceil_div(g.n, g.width),
                        at_least(1, (int64_t)worth));
  return FNN_OK;
}
