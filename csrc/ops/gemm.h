/* gemm.h: what the general way (gemm.c) and the short way (gemm_small.c) of a matrix product share. */
#ifndef FNN_OPS_GEMM_H
#define FNN_OPS_GEMM_H

#include "chain.h"
#include "op.h"

/* A product, read from its call and cut. Strides count elements. */
typedef struct {
  const fnn_gemm_kernels *kernels;
  const fnn_gemm_kernel *table; /* of tiles, by rows and columns */
  int64_t size;                 /* bytes of an element */
  int64_t m, n, k;
  int64_t a_row, a_col, b_row, b_col, c_row; /* strides; c's rows have unit stride */
  const char *a, *b, *bias;
  char *c;
  int64_t bias_row, bias_col;
  int accumulate, bias_in_tile;
  int turned; /* C^T is computed */
  int aside;  /* C^T is computed aside, in the workspace, and turned over: see gemm_aside.c */
  void (*transpose)(int64_t rows, int64_t cols, const void *from, int64_t from_step, void *to,
                    int64_t to_step); /* of the move family */
  fnn_map_kernel activation;
  const fnn_scalar *activation_scalars;
  const fnn_chain *chain; /* that it ends with, or NULL */
  int n_batch;            /* dimensions before the last two, outermost first, and their product */
  int64_t batch_shape[FNN_MAX_DIMS], a_batch[FNN_MAX_DIMS], b_batch[FNN_MAX_DIMS],
      c_batch[FNN_MAX_DIMS];
  int64_t batches;
  int dot, pack_a, pack_b;
  int packed_b;                           /* b is the result of gemm_pack */
  int64_t lanes, cols;                    /* columns of a vector (1 for dot), vectors of a tile */
  int64_t height, width, block;           /* rows, columns of a tile; tiles of columns in L2 */
  int64_t slab_m, slab_n, block_k, group; /* what one phase covers */
  int64_t a_panels_bytes, b_panels_bytes; /* of one matrix */
} fnn_gemm;

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The steps of k that are summed before they are added to C, in bytes. On a Zen 5 1536 and 768 do equally
 * well in float32; in float64 1536 come to 88 % of the peak at 1024, 2048 to 86 %, 3072 to 84 %. */
#define FNN_GEMM_BLOCK_K_BYTES 1536

/* Arithmetic for which a thread is worth its start. */
#define FNN_GEMM_FLOPS_WORTH(lanes) (32e3 * (lanes))

/* All of it. */
void fnn_gemm_prepare(const fnn_call *call, fnn_gemm *g);

/* Bytes of scratch for its panels, and for C^T if that is computed aside. */
int64_t fnn_gemm_workspace(const fnn_gemm *g);

/* The steps of k in a block, but for the last: they decide the order of sums, and follow from k and
 * the size of an element alone. */
int64_t fnn_gemm_block_k(int64_t k, int64_t size);

/* --- C^T computed aside (gemm_aside.c) --- */

/* A tile's worth of one number a row. */
#define FNN_GEMM_SPREAD_BYTES 2048

int fnn_gemm_aside_pays(const fnn_gemm *g, int64_t lanes);
void fnn_gemm_spread_bias(const fnn_gemm *g, int64_t row, int64_t rows, char *spread);

/* --- b packed once for many products (gemm_pack.c) --- */

/* Elements of packed b. */
static inline int64_t fnn_gemm_packed_size(const fnn_gemm_kernels *kernels, int64_t lanes,
                                           int64_t n, int64_t k) {
  int64_t width = kernels->cols * lanes;
  return ceil_div(n, width) * width * k;
}

fnn_status fnn_gemm_pack_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_gemm_pack_run(const fnn_call *call, fnn_team *team);

/* --- products that end with a chain (gemm_chain.c) --- */

fnn_status fnn_gemm_chain_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_gemm_chain_run(const fnn_call *call, fnn_team *team);
void fnn_gemm_chain_turn(fnn_chain *chain);

/* A matmul of at least one element, then the chain if there is one. */
void fnn_gemm_run_with(const fnn_call *call, fnn_chain *chain, fnn_team *team);

/* Both have unit stride along k: does turning b over for tiles of whole vectors cost more than it brings?
 * It is paid once for all rows of a; with few columns, most of a vector would lie idle. */
static inline int fnn_gemm_dot_pays(const fnn_gemm_kernels *kernels, int64_t lanes, int64_t m,
                                    int64_t n, int64_t k) {
  if (k < lanes) return 0;
  if (m <= 2 * kernels->dot_rows || n <= 2 * kernels->dot_cols) return 1;
  return k >= 8 * lanes && (m <= 8 * kernels->dot_rows || n < lanes);
}

/* How a small product is computed, NOT_SMALL where it is none. */
typedef enum { NOT_SMALL, SMALL_DIRECT, SMALL_DOT, SMALL_TURNED, SMALL_PACKED } fnn_gemm_small;

fnn_gemm_small fnn_gemm_small_way(const fnn_call *call, const fnn_kernels *kernels);
void fnn_gemm_run_small(const fnn_call *call, const fnn_kernels *kernels, fnn_gemm_small way);

#endif
