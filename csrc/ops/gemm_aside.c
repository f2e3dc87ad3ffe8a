/* gemm_aside.c: products x W^T of a batch x with weights W that lie as rows of k, which is the forward pass
 * of a layer in training. To feed its tiles, all of W would have to be turned over; instead C^T = W x^T is
 * computed, where W is read as it lies and only x is turned over, aside in the workspace, and C^T is turned
 * over in the end, each piece while it is in cache. A product of two numbers does not ask for their order and
 * sums run over k as ever, so that the bits are the same. */
#include "gemm.h"

#define LEAST_K 256
#define MOST_VECTORS 12

/* Does that cost less? What is turned over falls from n * k elements to m * (k + n), of which those of C^T are
 * also written and read once more: worth it where that is at most half. Rows of x that do not fill a vector
 * leave some of it idle.
 *
 * Measured on a Zen 5, over m of 16 to 1024 and 14 pairs of n and k from 64 to 4096, with 1 and 2 threads,
 * as speed against the other way: in float32 with AVX-512 1.02 to 1.3 where this says yes (512 x 784: 1.12
 * for m = 64, 1.05 for 128; 2048 x 2048: 1.32, 1.15), 0.8 to 0.95 for k = 128, 0.95 to 1.05 for m = 256,
 * 0.85 to 1 for m = 512, 0.85 to 0.95 for m = 33, 65 or 129. With AVX2 1.05 to 1.15 up to m = 64, 0.95 to
 * 1.05 for m = 128, less for more; float64 differs as its vectors do. */
int fnn_gemm_aside_pays(const fnn_gemm *g, int64_t lanes) {
  if (!g->pack_b || g->b_row != 1 || g->turned || g->n_batch || g->accumulate) return 0;
  if (g->kernels->rows * g->kernels->cols * lanes * g->size > FNN_GEMM_SPREAD_BYTES) return 0;
  if (g->m % lanes || g->m < 2 * lanes || g->m > MOST_VECTORS * lanes || g->k < LEAST_K) return 0;
  return g->n * g->k >= 2 * g->m * (g->n + g->k);
}

/* A tile to be added whose rows hold the bias of C^T's rows. */
void fnn_gemm_spread_bias(const fnn_gemm *g, int64_t row, int64_t rows, char *spread) {
#define SPREAD(REAL)                                  \
  for (int64_t i = 0; i < rows; i++) {                \
    REAL x = ((const REAL *)g->bias)[row + i];        \
    REAL *to = (REAL *)spread + i * g->width;         \
    for (int64_t j = 0; j < g->width; j++) to[j] = x; \
  }
  if (g->size == 4) {
    SPREAD(float)
  } else {
    SPREAD(double)
  }
#undef SPREAD
}
