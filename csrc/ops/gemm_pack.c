/* gemm_pack.c: the right matrix of a product, packed once for many products, as the weights of a network that
 * is not in training. The panels are those that a product would pack for itself, so its result is the same
 * to the bit: for each block of k in turn, one panel after another. */
#include "gemm.h"

/* Elements that gemm_pack makes of this matmul's b, or 0 where the product reads b as it lies. */
int64_t fnn_gemm_packs(const fnn_call *matmul) {
  const fnn_array *b = &matmul->arrays[1], *c = &matmul->arrays[3];
  const fnn_kernels *kernels = fnn_kernels_of(c->dtype);
  if (c->ndim != 2 || b->ndim != 2 || c->stride[1] != 1 || fnn_size(c) == 0) return 0;
  fnn_gemm_small way = fnn_gemm_small_way(matmul, kernels);
  if (way && way != SMALL_TURNED) return 0;
  if (!way) {
    fnn_gemm g;
    fnn_gemm_prepare(matmul, &g);
    if (!g.aside && (!g.pack_b || g.b != (const char *)b->data)) return 0;
  }
  return fnn_gemm_packed_size(&kernels->gemm, kernels->lanes, b->shape[1], b->shape[0]);
}

/* gemm_pack: b (k, n) of any strides -> packed, of rank 1 and unit stride, with fnn_gemm_packs elements.
 * What lies in it is known to matmul alone, and differs between instruction sets. */
fnn_status fnn_gemm_pack_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *b = &call->arrays[0], *packed = &call->arrays[1];
  if (!fnn_is_real(b->dtype) || packed->dtype != b->dtype)
    return fnn_fail(why, FNN_ERR_DTYPE, "gemm_pack: both arrays must be float32, or both float64");
  if (b->ndim != 2 || packed->ndim != 1 || packed->stride[0] != 1)
    return fnn_fail(why, FNN_ERR_SHAPE, "gemm_pack: a matrix is packed into one row");
  const fnn_kernels *kernels = fnn_kernels_of(b->dtype);
  int64_t size = fnn_gemm_packed_size(&kernels->gemm, kernels->lanes, b->shape[1], b->shape[0]);
  if (packed->shape[0] != size) {
    why->seen = packed->shape[0];
    why->limit = size;
    return fnn_fail(why, FNN_ERR_SHAPE, "gemm_pack: {seen} elements where {limit} are needed");
  }
  plan->bytes = (double)(fnn_itemsize(b->dtype) * (fnn_size(b) + size));
  plan->tasks = at_least(1, at_most(size >> 14, ceil_div(b->shape[1], kernels->gemm.cols)));
  return FNN_OK;
}

void fnn_gemm_pack_run(const fnn_call *call, fnn_team *team) {
  const fnn_array *b = &call->arrays[0];
  const fnn_kernels *kernels = fnn_kernels_of(b->dtype);
  int64_t size = fnn_itemsize(b->dtype), k = b->shape[0], n = b->shape[1];
  int64_t width = kernels->gemm.cols * kernels->lanes, block_k = fnn_gemm_block_k(k, size);
  fnn_range panels = fnn_share(ceil_div(n, width), team);
  int64_t begin = panels.begin * width, end = at_most(n, panels.end * width);
  if (begin >= end) return;
  char *packed = call->arrays[1].data;
  for (int64_t k0 = 0; k0 < k; k0 += block_k) {
    int64_t steps = at_most(block_k, k - k0);
    kernels->gemm.pack(width, end - begin, steps,
                       (const char *)b->data + (k0 * b->stride[0] + begin * b->stride[1]) * size,
                       b->stride[1], b->stride[0], packed + begin * steps * size);
    packed += ceil_div(n, width) * width * steps * size;
  }
}
