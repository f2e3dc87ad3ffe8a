/* gemm_shape.c: what a call multiplies, in the simplest terms (stacks folded into one tall matrix, C turned
 * over where its columns have unit stride), and how it is cut into tiles, panels, blocks of k and phases.
 * All of it follows from shapes and strides alone. */
#include "gemm.h"

/* What fits the caches: a panel of a stays in L1 while panels of b stream from L2, and a block of them stays
 * in L2 while the panels of a stream from L3. The sizes suit L1 >= 32K, L2 >= 512K a core. */
#define BLOCK_BYTES (320 << 10)
#define SLAB_A_BYTES (1 << 20)
#define SLAB_B_BYTES (4 << 20)
#define GROUP_BYTES (1 << 20)
/* Matrices up to this size, for each byte of a vector, are read as they lie. On a Zen 5 with 1 MB of L2 the
 * product of 512 x 512 came to 96 % of the peak in place and 91 % packed, that of 600 x 600 to the same,
 * 1024 x 1024 to less; narrower vectors have more time to pack. */
#define IN_PLACE_BYTES (24 << 10)

/* n cut into as few equal pieces of at most `most` as can be, each a multiple of `unit`. */
static int64_t even(int64_t n, int64_t most, int64_t unit) {
  int64_t pieces = at_least(1, ceil_div(n, most));
  return at_most(most, ceil_div(ceil_div(n, pieces), unit) * unit);
}

int64_t fnn_gemm_block_k(int64_t k, int64_t size) {
  return at_least(1, even(k, FNN_GEMM_BLOCK_K_BYTES / size, 8));
}

static void gemm_swap(int64_t *x, int64_t *y) {
  int64_t t = *x;
  *x = *y;
  *y = t;
}

/* C^T = B^T A^T: where C's columns have unit stride, or C is one column, or C is turned over in the end. */
static void gemm_transpose(fnn_gemm *g) {
  const char *t = g->a;
  g->a = g->b;
  g->b = t;
  gemm_swap(&g->m, &g->n);
  gemm_swap(&g->a_row, &g->b_col);
  gemm_swap(&g->a_col, &g->b_row);
  for (int i = 0; i < g->n_batch; i++) gemm_swap(&g->a_batch[i], &g->b_batch[i]);
}

/* A stack of A times one B is one tall product when A's rows and C's rows go on evenly. */
static void gemm_fold(fnn_gemm *g) {
  while (g->n_batch) {
    int last = g->n_batch - 1;
    if (g->batch_shape[last] != 1) {
      if (g->b_batch[last] != 0) return;
      if (g->m != 1 && (g->a_batch[last] != g->m * g->a_row || g->c_batch[last] != g->m * g->c_row))
        return;
      if (g->m == 1) {
        g->a_row = g->a_batch[last];
        g->c_row = g->c_batch[last];
      }
      g->m *= g->batch_shape[last];
    }
    g->n_batch--;
  }
}

static void gemm_read(const fnn_call *call, fnn_gemm *g) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2],
                  *c = &call->arrays[3];
  int d = c->ndim;
  const fnn_kernels *kernels = fnn_kernels_of(c->dtype);
  g->kernels = &kernels->gemm;
  g->transpose = kernels->move.transpose;
  g->size = fnn_itemsize(c->dtype);
  g->m = c->shape[d - 2];
  g->n = c->shape[d - 1];
  g->k = a->shape[d - 1];
  g->a = a->data;
  g->b = b->data;
  g->c = c->data;
  g->bias = fnn_present(bias) ? bias->data : NULL;
  g->a_row = a->stride[d - 2];
  g->a_col = a->stride[d - 1];
  g->packed_b = b->ndim == 1;
  if (!g->packed_b) {
    g->b_row = b->stride[d - 2];
    g->b_col = b->stride[d - 1];
  }
  g->c_row = c->stride[d - 2];
  g->bias_row = 0;
  g->bias_col = g->bias ? bias->stride[0] : 0;
  g->accumulate = call->scalars[0].i != 0;
  g->activation = call->scalars[1].i > 0 ? kernels->map[call->scalars[1].i] : NULL;
  g->activation_scalars = &call->scalars[2];
  g->n_batch = 0;
  for (int i = 0; i < d - 2; i++) {
    if (c->shape[i] == 1) continue;
    g->batch_shape[g->n_batch] = c->shape[i];
    g->a_batch[g->n_batch] = a->stride[i];
    g->b_batch[g->n_batch] = b->stride[i];
    g->c_batch[g->n_batch++] = c->stride[i];
  }
  int unit_rows = c->stride[d - 1] == 1 || g->n == 1;
  if (unit_rows) gemm_fold(g);
  g->chain = NULL;
  g->aside = 0;
  g->turned = !unit_rows || (g->n == 1 && g->m > 1 && g->c_row == 1 && !g->packed_b);
  if (g->turned) {
    gemm_transpose(g);
    gemm_swap(&g->bias_row, &g->bias_col);
    g->c_row = c->stride[d - 1];
  }
  g->batches = 1;
  for (int i = 0; i < g->n_batch; i++) g->batches *= g->batch_shape[i];
  g->bias_in_tile =
      g->bias && !g->accumulate && g->bias_row == 0 && (g->bias_col == 1 || g->n == 1);
}

/* Rows or columns whose panels take at most `bytes`. */
static int64_t gemm_slab(const fnn_gemm *g, int64_t bytes, int64_t unit) {
  return at_least(1, bytes / (g->block_k * g->size) / unit) * unit;
}

/* Which way, and how large the pieces are. */
static void gemm_choose(fnn_gemm *g, int vector_lanes) {
  const fnn_gemm_kernels *kernels = g->kernels;
  int64_t a_bytes = g->m * g->k * g->size, b_bytes = g->k * g->n * g->size;
  int unit_b = g->packed_b || g->b_col == 1 || g->n == 1;
  g->dot = !g->packed_b && g->a_col == 1 && g->b_row == 1 &&
           fnn_gemm_dot_pays(kernels, vector_lanes, g->m, g->n, g->k);
  if (g->dot) {
    g->pack_a = g->pack_b = 0;
    g->table = g->m == 1 ? kernels->dot_wide : kernels->dot;
    g->lanes = 1;
    g->cols = g->width = g->m == 1 ? kernels->dot_wide_cols : kernels->dot_cols;
    g->height = even(g->m, kernels->dot_rows, 1);
    g->block_k = at_least(1, g->k);
    g->slab_m = g->m;
    g->slab_n = g->n;
    return;
  }
  /* With few steps of k, what counts is to write C in long runs. */
  int shallow = g->k <= 16;
  int64_t in_place = IN_PLACE_BYTES * vector_lanes * g->size;
  int wide = !g->packed_b && (shallow || (unit_b && g->m <= kernels->wide_rows));
  g->pack_b =
      !unit_b || (!g->packed_b && !shallow && g->m > 3 * kernels->rows && b_bytes > in_place);
  g->pack_a = !wide && !g->aside && g->n > 4 * vector_lanes && a_bytes > in_place;
  int panels = g->pack_a && (g->pack_b || g->packed_b);
  g->table = wide ? kernels->wide : panels ? kernels->packed : kernels->direct;
  g->lanes = vector_lanes;
  g->cols = wide ? kernels->wide_cols : kernels->cols;
  g->width = g->lanes * g->cols;
  g->height = even(g->m, wide ? kernels->wide_rows : kernels->rows, 1);
  g->block_k = fnn_gemm_block_k(g->k, g->size);
  g->slab_m = g->m;
  g->slab_n = g->n;
  if (g->pack_a || g->pack_b) {
    /* Two slabs of rows at least, where there is a second block of k: it need not wait for the first. */
    int64_t rows = g->k > g->block_k ? at_least(2 * g->height, ceil_div(g->m, 2)) : g->m;
    g->slab_m = even(g->m, at_most(rows, gemm_slab(g, SLAB_A_BYTES, g->height)), g->height);
    if (g->pack_b) g->slab_n = even(g->n, gemm_slab(g, SLAB_B_BYTES, g->width), g->width);
  }
}

static void gemm_panels(fnn_gemm *g) {
  g->a_panels_bytes =
      g->pack_a ? ceil_div(g->slab_m, g->height) * g->height * g->block_k * g->size : 0;
  g->b_panels_bytes =
      g->pack_b ? ceil_div(g->slab_n, g->width) * g->width * g->block_k * g->size : 0;
  g->a_panels_bytes = ceil_div(g->a_panels_bytes, 64) * 64;
  int64_t bytes = g->a_panels_bytes + g->b_panels_bytes;
  g->group = g->batches;
  if (bytes) g->group = at_most(g->batches, at_least(1, GROUP_BYTES / bytes));
  if (g->slab_m < g->m || g->slab_n < g->n) g->group = 1;
}

void fnn_gemm_prepare(const fnn_call *call, fnn_gemm *g) {
  int lanes = fnn_kernels_of(call->arrays[3].dtype)->lanes;
  gemm_read(call, g);
  gemm_choose(g, lanes);
  if (fnn_gemm_aside_pays(g, lanes)) {
    g->aside = 1;
    gemm_transpose(g);
    gemm_choose(g, lanes);
  }
  gemm_panels(g);
  g->block = at_least(1, BLOCK_BYTES / (g->width * at_least(1, g->block_k) * g->size));
}
