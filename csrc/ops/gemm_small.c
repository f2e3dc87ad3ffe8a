/* gemm_small.c: products so small that choosing how to cut them would cost as much as computing them: one
 * matrix each, one thread, no workspace. The ways are those of gemm.c; a panel of b that has to be turned
 * over goes onto the stack. */
#include "gemm.h"

#define SMALL_PRODUCT (64 * 64 * 64)
#define SMALL_VECTOR \
  (1 << 16) /* of one row, which threads share sooner: bound by the memory of b */
#define SMALL_RESULT (96 * 96)
#define SMALL_PANEL (16 << 10)

fnn_gemm_small fnn_gemm_small_way(const fnn_call *call, const fnn_kernels *kernels) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2],
                  *c = &call->arrays[3];
  int64_t m = c->shape[0], n = c->shape[1], k = a->shape[1];
  int64_t most = m > 1 ? SMALL_PRODUCT : SMALL_VECTOR;
  if (c->ndim != 2 || m > 4096 || n > 4096 || k > 4096 || m * n * k > most || m * n > SMALL_RESULT)
    return NOT_SMALL;
  if ((c->stride[1] != 1 && n > 1) || n == 1) return NOT_SMALL;
  if (fnn_present(bias) && (bias->stride[0] != 1 || call->scalars[0].i)) return NOT_SMALL;
  int in_block = k * fnn_itemsize(c->dtype) <=
                 FNN_GEMM_BLOCK_K_BYTES; /* the order of sums is the same on any way but dot */
  if (b->ndim == 1) return in_block ? SMALL_PACKED : NOT_SMALL;
  if (b->stride[1] == 1) return in_block ? SMALL_DIRECT : NOT_SMALL;
  const fnn_gemm_kernels *gemm = &kernels->gemm;
  if (a->stride[1] == 1 && b->stride[0] == 1 && fnn_gemm_dot_pays(gemm, kernels->lanes, m, n, k))
    return SMALL_DOT;
  int64_t panel = k * gemm->cols * kernels->lanes * fnn_itemsize(c->dtype);
  return in_block && panel <= SMALL_PANEL ? SMALL_TURNED : NOT_SMALL;
}

void fnn_gemm_run_small(const fnn_call *call, const fnn_kernels *kernels, fnn_gemm_small way) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2],
                  *c = &call->arrays[3];
  const fnn_gemm_kernels *gemm = &kernels->gemm;
  _Alignas(64) char panel[SMALL_PANEL];
  int size = (int)fnn_itemsize(c->dtype), m = (int)c->shape[0], n = (int)c->shape[1];
  int dot = way == SMALL_DOT, wide = way == SMALL_DIRECT && m <= gemm->wide_rows;
  int rows = dot ? gemm->dot_rows : wide ? gemm->wide_rows : gemm->rows;
  int cols = dot && m == 1 ? gemm->dot_wide_cols
             : dot         ? gemm->dot_cols
             : wide        ? gemm->wide_cols
                           : gemm->cols;
  int lanes = dot ? 1 : kernels->lanes, width = cols * lanes, height = m;
  if (m > rows) {
    int pieces = (m + rows - 1) / rows;
    height = (m + pieces - 1) / pieces;
  }
  const fnn_gemm_kernel *table = dot && m == 1 ? gemm->dot_wide
                                 : dot         ? gemm->dot
                                 : wide        ? gemm->wide
                                               : gemm->direct;
  const char *add = call->scalars[0].i ? c->data : fnn_present(bias) ? bias->data : NULL;
  int64_t add_row = call->scalars[0].i ? c->stride[0] : 0;
  fnn_gemm_tile tile = {.k = a->shape[1],
                        .a_row = a->stride[0],
                        .a_step = a->stride[1],
                        .c_row = c->stride[0],
                        .b_step = way >= SMALL_TURNED ? width : b->stride[dot],
                        .add_row = add_row};
  for (int j = 0; j < n; j += width) {
    int count = n - j < width ? n - j : width, vectors = dot ? count : cols;
    while (vectors > 1 && (vectors - 1) * lanes >= count) vectors--;
    tile.last = count - (vectors - 1) * lanes;
    tile.b = (const char *)b->data + j * (way == SMALL_PACKED ? tile.k : b->stride[1]) * size;
    if (way == SMALL_TURNED) {
      gemm->pack(width, count, tile.k, tile.b, b->stride[1], b->stride[0], panel);
      tile.b = panel;
    }
    tile.next = tile.b;
    for (int i = 0; i < m; i += height) {
      int r = m - i < height ? m - i : height;
      tile.a = (const char *)a->data + i * tile.a_row * size;
      tile.c = (char *)c->data + (i * tile.c_row + j) * size;
      if (add) tile.add = add + (i * add_row + j) * size;
      table[(r - 1) * cols + vectors - 1](&tile);
    }
  }
  if (call->scalars[1].i <= 0) return;
  int64_t whole = tile.c_row == n ? (int64_t)m * n : n, step = 1;
  for (int64_t i = 0; i * n < (int64_t)m * n; i += whole / n) {
    char *row = (char *)c->data + i * tile.c_row * size;
    const void *in = row;
    kernels->map[call->scalars[1].i](whole, &in, &step, row, &call->scalars[2]);
  }
}
