/* conv_chain.c: convolutions that end with a chain. It runs on rows of the output that were just made, while
 * they are in the caches; to the chain, pixels are rows and channels columns. */
#include "conv.h"

enum { CODE = 3, FIRST = 4, INPUTS = 3, Y = 7 };

/* An input's strides along pixels and channels, 0 where it is repeated. */
static int chain_strides(const fnn_array *e, const fnn_array *y, fnn_chain_array *place) {
  int64_t row = 0, pixels = 1;
  if (e->ndim > 4) return 0;
  place->row = place->col = 0;
  for (int i = 1; i <= 4; i++) {
    int64_t n = i <= e->ndim ? e->shape[e->ndim - i] : 1, length = y->shape[4 - i];
    if (n != 1 && n != length) return 0;
    int64_t stride = n == 1 ? 0 : e->stride[e->ndim - i];
    if (i == 1) {
      place->col = stride;
    } else if (length > 1) {
      if (pixels == 1) row = stride;
      if (stride != row * pixels) return 0; /* pixels do not lie evenly */
      pixels *= length;
    }
  }
  place->row = row;
  return 1;
}

/* conv_chain: y = the chain of what conv makes of x, w and bias. The code finds it in the first output, y, and
 * its other operands in the inputs e0 to e2, which broadcast to y so that their pixels lie evenly. y shares
 * no memory with any input. */
fnn_status fnn_conv_chain_read(const fnn_call *call, fnn_chain *chain, fnn_failure *why) {
  const fnn_array *a = call->arrays, *y = &a[Y];
  fnn_status status = fnn_chain_read(&a[CODE], &a[FIRST], INPUTS, y, 1, 1, chain, why);
  if (status) return status;
  for (int k = 0; k < INPUTS; k++)
    if (chain->kinds[k] == CHAIN_REAL || chain->kinds[k] == CHAIN_BOOL)
      if (!chain_strides(&a[FIRST + k], y, &chain->arrays[k]))
        return fnn_fail(why, FNN_ERR_SHAPE,
                        "conv_chain: inputs of the chain must broadcast to y, pixels lying evenly");
  chain->rows = y->shape[0] * y->shape[1] * y->shape[2];
  chain->cols = y->shape[3];
  chain->arrays[FNN_CHAIN_OUTPUT].row = chain->cols;
  chain->arrays[FNN_CHAIN_OUTPUT].col = 1;
  return FNN_OK;
}

/* What the chain adds to the cost of the convolution. */
void fnn_conv_chain_cost(const fnn_call *call, const fnn_chain *chain, fnn_plan *plan) {
  plan->flops += chain->flops * (double)fnn_size(&call->arrays[Y]);
  for (int k = FIRST; k < Y; k++)
    if (fnn_present(&call->arrays[k])) plan->bytes += fnn_bytes(&call->arrays[k]);
}
