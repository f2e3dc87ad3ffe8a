/* gemm.c: the product of two matrices, or of two stacks of matrices.
 *
 * C is cut into tiles, a tile into blocks of k (see kernels/gemm.h). What a tile computes, and in which
 * order it adds, follows from the shapes and strides alone; threads only take tiles, so that the result is
 * the same for any number of them. There are three ways to feed a tile:
 *
 *   dot     both matrices have unit stride along k and one of them is thin: no packing, sums across lanes
 *   direct  b's rows have unit stride and the operands are small or a is thin: read where they lie
 *   packed  a, b or both are first copied into panels, in the order in which tiles read them: for each
 *           block of k, the team packs, meets, and computes. Two sets of panels take turns, so that one
 *           meeting a block is enough. */
#include <string.h>
#include "op.h"

/* Bytes of panels that fit the caches: a tile's share of b stays in L1 while a strip of a streams from L2.
 * The sizes suit L1 >= 32K, L2 >= 512K a core. */
#define BLOCK_K 384
#define STRIP_BYTES (256 << 10)
#define SLAB_BYTES (4 << 20)
#define GROUP_BYTES (1 << 20)
#define L1_BYTES (32 << 10)
#define IN_PLACE_BYTES (256 << 10) /* matrices up to this size are read as they lie */

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
  fnn_map_kernel activation;
  const fnn_scalar *activation_scalars;
  int n_batch; /* dimensions before the last two, outermost first, and their product */
  int64_t batch_shape[FNN_MAX_DIMS], a_batch[FNN_MAX_DIMS], b_batch[FNN_MAX_DIMS], c_batch[FNN_MAX_DIMS];
  int64_t batches;
  int dot, pack_a, pack_b;
  int64_t lanes, cols;                        /* columns of a vector (1 for dot), vectors of a tile */
  int64_t height, width, strip;               /* rows, columns of a tile; tiles of rows in a strip */
  int64_t slab_m, slab_n, block_k, group;     /* what one phase covers */
  int64_t a_panels_bytes, b_panels_bytes;     /* of one matrix */
} gemm;

/* One phase: a block of k of a slab of C, for `items` matrices of the stack from `first`. */
typedef struct {
  int64_t first, items, m0, m, n0, n, k0, k;
  char *a_panels, *b_panels;
} gemm_phase;

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* n cut into as few equal pieces of at most `most` as can be, each a multiple of `unit`. */
static int64_t even(int64_t n, int64_t most, int64_t unit) {
  int64_t pieces = at_least(1, ceil_div(n, most));
  return at_most(most, ceil_div(ceil_div(n, pieces), unit) * unit);
}

static void gemm_swap(int64_t *x, int64_t *y) {
  int64_t t = *x;
  *x = *y;
  *y = t;
}

/* C^T = B^T A^T: where C's columns have unit stride, or C is one column. */
static void gemm_transpose(gemm *g) {
  const char *t = g->a;
  g->a = g->b;
  g->b = t;
  gemm_swap(&g->m, &g->n);
  gemm_swap(&g->a_row, &g->b_col);
  gemm_swap(&g->a_col, &g->b_row);
  gemm_swap(&g->bias_row, &g->bias_col);
  for (int i = 0; i < g->n_batch; i++) gemm_swap(&g->a_batch[i], &g->b_batch[i]);
}

/* A stack of A times one B is one tall product when A's rows and C's rows go on evenly. */
static void gemm_fold(gemm *g) {
  while (g->n_batch) {
    int last = g->n_batch - 1;
    if (g->batch_shape[last] != 1) {
      if (g->b_batch[last] != 0) return;
      if (g->m != 1 && (g->a_batch[last] != g->m * g->a_row || g->c_batch[last] != g->m * g->c_row)) return;
      if (g->m == 1) {
        g->a_row = g->a_batch[last];
        g->c_row = g->c_batch[last];
      }
      g->m *= g->batch_shape[last];
    }
    g->n_batch--;
  }
}

/* Both have unit stride along k: does turning b over for tiles of whole vectors cost more than it brings?
 * It is paid once for all rows of a; with few columns, most of a vector would lie idle. */
static int gemm_dot_pays(const fnn_gemm_kernels *kernels, int64_t lanes, int64_t m, int64_t n, int64_t k) {
  if (k < lanes) return 0;
  if (m <= 2 * kernels->dot_rows || n <= 2 * kernels->dot_cols) return 1;
  return k >= 8 * lanes && (m <= 8 * kernels->dot_rows || n < lanes);
}

static void gemm_read(const fnn_call *call, gemm *g) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2], *c = &call->arrays[3];
  int d = c->ndim;
  const fnn_kernels *kernels = fnn_kernels_of(c->dtype);
  g->kernels = &kernels->gemm;
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
  g->b_row = b->stride[d - 2];
  g->b_col = b->stride[d - 1];
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
  if (!unit_rows || (g->n == 1 && g->m > 1 && g->c_row == 1)) {
    gemm_transpose(g);
    g->c_row = c->stride[d - 1];
  }
  g->batches = 1;
  for (int i = 0; i < g->n_batch; i++) g->batches *= g->batch_shape[i];
  g->bias_in_tile = g->bias && !g->accumulate && g->bias_row == 0 && (g->bias_col == 1 || g->n == 1);
}

/* Which way, and how large the pieces are. */
static void gemm_choose(gemm *g, int vector_lanes) {
  const fnn_gemm_kernels *kernels = g->kernels;
  int64_t a_bytes = g->m * g->k * g->size, b_bytes = g->k * g->n * g->size;
  int unit_b = g->b_col == 1 || g->n == 1;
  g->dot = g->a_col == 1 && g->b_row == 1 && gemm_dot_pays(kernels, vector_lanes, g->m, g->n, g->k);
  if (g->dot) {
    g->pack_a = g->pack_b = 0;
    g->table = g->m == 1 ? kernels->dot_wide : kernels->dot;
    g->lanes = 1;
    g->cols = g->width = g->m == 1 ? kernels->dot_wide_cols : kernels->dot_cols;
    g->height = even(g->m, kernels->dot_rows, 1);
    g->block_k = at_least(1, g->k);
    g->strip = at_least(1, L1_BYTES / 2 / at_least(1, g->height * g->k * g->size));
    g->slab_m = g->m;
    g->slab_n = g->n;
    return;
  }
  /* With few steps of k, what counts is to write C in long runs. */
  int shallow = g->k <= 16;
  int wide = shallow || (unit_b && g->m <= kernels->wide_rows);
  g->pack_b = !unit_b || (!shallow && g->m > 3 * kernels->rows && b_bytes > IN_PLACE_BYTES);
  g->pack_a = !wide && g->n > 4 * vector_lanes && a_bytes > IN_PLACE_BYTES;
  g->table = wide ? kernels->wide : g->pack_a && g->pack_b ? kernels->packed : kernels->direct;
  g->lanes = vector_lanes;
  g->cols = wide ? kernels->wide_cols : kernels->cols;
  g->width = g->lanes * g->cols;
  g->height = even(g->m, wide ? kernels->wide_rows : kernels->rows, 1);
  if (!g->pack_a && !g->pack_b) {
    g->block_k = at_least(1, g->k);
    g->slab_m = g->m;
    g->slab_n = g->n;
  } else {
    g->block_k = at_least(1, even(g->k, BLOCK_K, 8));
    g->slab_m = even(g->m, at_least(1, SLAB_BYTES / (g->block_k * g->size) / g->height) * g->height, g->height);
    g->slab_n = even(g->n, at_least(1, SLAB_BYTES / (g->block_k * g->size) / g->width) * g->width, g->width);
  }
  g->strip = shallow ? 1 : at_least(1, STRIP_BYTES / at_least(1, g->height * g->block_k * g->size));
}

static void gemm_panels(gemm *g) {
  g->a_panels_bytes = g->pack_a ? ceil_div(g->slab_m, g->height) * g->height * g->block_k * g->size : 0;
  g->b_panels_bytes = g->pack_b ? ceil_div(g->slab_n, g->width) * g->width * g->block_k * g->size : 0;
  g->a_panels_bytes = ceil_div(g->a_panels_bytes, 64) * 64;
  int64_t bytes = g->a_panels_bytes + g->b_panels_bytes;
  g->group = g->batches;
  if (bytes) g->group = at_most(g->batches, at_least(1, GROUP_BYTES / bytes));
  if (g->slab_m < g->m || g->slab_n < g->n) g->group = 1;
}

static void gemm_prepare(const fnn_call *call, gemm *g) {
  gemm_read(call, g);
  gemm_choose(g, fnn_kernels_of(call->arrays[3].dtype)->lanes);
  gemm_panels(g);
}

static int64_t gemm_phases(const gemm *g) {
  return ceil_div(g->batches, g->group) * ceil_div(g->m, g->slab_m) * ceil_div(g->n, g->slab_n) *
         at_least(1, ceil_div(g->k, g->block_k));
}

/* Where matrix `item` of the stack begins. */
static void gemm_item(const gemm *g, int64_t item, const char **a, const char **b, char **c) {
  int64_t ia = 0, ib = 0, ic = 0;
  for (int i = g->n_batch - 1; i >= 0; i--) {
    int64_t index = item % g->batch_shape[i];
    item /= g->batch_shape[i];
    ia += index * g->a_batch[i];
    ib += index * g->b_batch[i];
    ic += index * g->c_batch[i];
  }
  *a = g->a + ia * g->size;
  *b = g->b + ib * g->size;
  *c = g->c + ic * g->size;
}

/* The team's share of packing: the panels of a, then those of b, of every item. */
static void gemm_pack(const gemm *g, const gemm_phase *phase, const fnn_team *team) {
  int64_t a_count = g->pack_a ? ceil_div(phase->m, g->height) : 0;
  int64_t b_count = g->pack_b ? ceil_div(phase->n, g->width) : 0;
  const char *a, *b;
  char *c;
  fnn_range share = fnn_share(phase->items * a_count, team);
  for (int64_t i = share.begin, more; i < share.end; i += more) {
    int64_t item = i / a_count, row = i % a_count * g->height;
    more = at_most(share.end - i, a_count - i % a_count);
    gemm_item(g, phase->first + item, &a, &b, &c);
    g->kernels->pack(g->height, at_most(more * g->height, phase->m - row), phase->k,
                     a + ((phase->m0 + row) * g->a_row + phase->k0 * g->a_col) * g->size, g->a_row, g->a_col,
                     phase->a_panels + item * g->a_panels_bytes + row * phase->k * g->size);
  }
  share = fnn_share(phase->items * b_count, team);
  for (int64_t i = share.begin, more; i < share.end; i += more) {
    int64_t item = i / b_count, col = i % b_count * g->width;
    more = at_most(share.end - i, b_count - i % b_count);
    gemm_item(g, phase->first + item, &a, &b, &c);
    g->kernels->pack(g->width, at_most(more * g->width, phase->n - col), phase->k,
                     b + (phase->k0 * g->b_row + (phase->n0 + col) * g->b_col) * g->size, g->b_col, g->b_row,
                     phase->b_panels + item * g->b_panels_bytes + col * phase->k * g->size);
  }
}

/* c += bias where a tile cannot. */
static void gemm_add_bias(const gemm *g, char *c, const char *bias, int64_t m, int64_t n) {
#define ADD_BIAS(REAL)                                                  \
  for (int64_t i = 0; i < m; i++)                                       \
    for (int64_t j = 0; j < n; j++)                                     \
      ((REAL *)c)[i * g->c_row + j] += ((const REAL *)bias)[i * g->bias_row + j * g->bias_col];
  if (g->size == 4) {
    ADD_BIAS(float)
  } else {
    ADD_BIAS(double)
  }
#undef ADD_BIAS
}

/* What follows the last block of k, on m x n elements of C from row i, column j, while they are in cache. */
static void gemm_epilogue(const gemm *g, char *c, int64_t i, int64_t j, int64_t m, int64_t n) {
  c += (i * g->c_row + j) * g->size;
  if (g->bias && !g->bias_in_tile)
    gemm_add_bias(g, c, g->bias + (i * g->bias_row + j * g->bias_col) * g->size, m, n);
  if (!g->activation) return;
  if (g->c_row == n) {
    n *= m;
    m = 1;
  }
  const int64_t step = 1;
  for (int64_t r = 0; r < m; r++) {
    char *row = c + r * g->c_row * g->size;
    const void *in = row;
    g->activation(n, &in, &step, row, g->activation_scalars);
  }
}

/* The tiles of a rectangle of one matrix: row tiles x column tiles of the phase's slab. */
static void gemm_rectangle(const gemm *g, const gemm_phase *phase, int64_t item, fnn_range rows, fnn_range cols) {
  const char *a, *b;
  char *c;
  gemm_item(g, phase->first + item, &a, &b, &c);
  int64_t size = g->size, k = phase->k;
  int first = phase->k0 == 0, last = phase->k0 + k == g->k;
  const char *add = NULL;
  fnn_gemm_tile tile = {.k = k, .c_row = g->c_row};
  if (!first || g->accumulate) {
    add = c;
    tile.add_row = g->c_row;
  } else if (g->bias_in_tile) {
    add = g->bias;
  }
  /* A tile's a and b lie at base + row * per_row and base + column * per_column. */
  const char *a_base = a + (phase->m0 * g->a_row + phase->k0 * g->a_col) * size;
  const char *b_base = b + (phase->k0 * g->b_row + phase->n0 * g->b_col) * size;
  int64_t a_per_row = g->a_row * size, b_per_col = g->b_col * size;
  tile.a_row = g->a_row;
  tile.a_step = g->a_col;
  tile.b_step = g->dot ? g->b_col : g->b_row;
  if (g->pack_a) {
    a_base = phase->a_panels + item * g->a_panels_bytes;
    a_per_row = k * size;
    tile.a_row = 1;
    tile.a_step = g->height;
  }
  if (g->pack_b) {
    b_base = phase->b_panels + item * g->b_panels_bytes;
    b_per_col = k * size;
    tile.b_step = g->width;
  }
  int64_t row_end = at_most(rows.end * g->height, phase->m), col_end = at_most(cols.end * g->width, phase->n);
  int64_t strip = g->strip * g->height;
  for (int64_t i0 = rows.begin * g->height; i0 < row_end; i0 += strip) {
    int64_t i1 = at_most(i0 + strip, row_end);
    int64_t next_step = g->pack_b ? ceil_div(g->width * size, ceil_div(i1 - i0, g->height)) : 0;
    for (int64_t j = cols.begin * g->width; j < col_end; j += g->width) {
      int64_t n = at_most(g->width, col_end - j), vectors = ceil_div(n, g->lanes);
      tile.last = n - (vectors - 1) * g->lanes;
      tile.b = tile.next = b_base + j * b_per_col;
      if (next_step && j + g->width < col_end) {
        tile.next = b_base + (j + g->width) * b_per_col;
        tile.next_step = next_step;
      } else {
        tile.next_step = 0;
      }
      for (int64_t i = i0; i < i1; i += g->height) {
        int64_t m = at_most(g->height, i1 - i);
        int64_t offset = (phase->m0 + i) * g->c_row + phase->n0 + j;
        tile.a = a_base + i * a_per_row;
        tile.c = c + offset * size;
        if (add) tile.add = add + (add == c ? offset : phase->n0 + j) * size;
        g->table[(m - 1) * g->cols + vectors - 1](&tile);
        tile.next = (const char *)tile.next + tile.next_step * k;
      }
    }
    if (last)
      gemm_epilogue(g, c, phase->m0 + i0, phase->n0 + cols.begin * g->width, i1 - i0,
                    col_end - cols.begin * g->width);
  }
}

/* The team as a grid over row tiles x column tiles that leaves the busiest thread the least to do, and
 * among those the one whose threads read the least. */
static void gemm_grid(const gemm *g, int64_t row_tiles, int64_t col_tiles, const fnn_team *team, fnn_range *rows,
                      fnn_range *cols) {
  int64_t best = INT64_MAX, best_reads = INT64_MAX;
  int down = 1;
  for (int d = 1; d <= team->size; d++) {
    if (team->size % d) continue;
    int64_t r = ceil_div(row_tiles, d), c = ceil_div(col_tiles, team->size / d);
    int64_t reads = r * g->height + c * g->width;
    if (r * c < best || (r * c == best && reads < best_reads)) {
      best = r * c;
      best_reads = reads;
      down = d;
    }
  }
  fnn_team by_rows = {.id = team->id / (team->size / down), .size = down};
  fnn_team by_cols = {.id = team->id % (team->size / down), .size = team->size / down};
  *rows = fnn_share(row_tiles, &by_rows);
  *cols = fnn_share(col_tiles, &by_cols);
}

static void gemm_compute(const gemm *g, const gemm_phase *phase, const fnn_team *team) {
  int64_t row_tiles = ceil_div(phase->m, g->height), col_tiles = ceil_div(phase->n, g->width);
  fnn_range rows, cols;
  if (phase->items == 1) {
    gemm_grid(g, row_tiles, col_tiles, team, &rows, &cols);
    if (rows.begin < rows.end && cols.begin < cols.end) gemm_rectangle(g, phase, 0, rows, cols);
    return;
  }
  fnn_range share = fnn_share(phase->items * row_tiles, team);
  cols.begin = 0;
  cols.end = col_tiles;
  for (int64_t i = share.begin; i < share.end; i += rows.end - rows.begin) {
    rows.begin = i % row_tiles;
    rows.end = at_most(row_tiles, rows.begin + share.end - i);
    gemm_rectangle(g, phase, i / row_tiles, rows, cols);
  }
}

/* --- small products: so short that choosing would cost as much as computing --- */

#define SMALL_PRODUCT (64 * 64 * 64)
#define SMALL_RESULT (96 * 96)
#define SMALL_PANEL (16 << 10)

typedef enum { NOT_SMALL, SMALL_DIRECT, SMALL_DOT, SMALL_PACKED } gemm_small_way;

static gemm_small_way gemm_small(const fnn_call *call, const fnn_kernels *kernels) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2], *c = &call->arrays[3];
  int64_t m = c->shape[0], n = c->shape[1], k = a->shape[1];
  if (c->ndim != 2 || m > 4096 || n > 4096 || k > 4096 || m * n * k > SMALL_PRODUCT || m * n > SMALL_RESULT)
    return NOT_SMALL;
  if ((c->stride[1] != 1 && n > 1) || n == 1) return NOT_SMALL;
  if (fnn_present(bias) && (bias->stride[0] != 1 || call->scalars[0].i)) return NOT_SMALL;
  if (b->stride[1] == 1) return SMALL_DIRECT;
  const fnn_gemm_kernels *gemm = &kernels->gemm;
  if (a->stride[1] == 1 && b->stride[0] == 1 && gemm_dot_pays(gemm, kernels->lanes, m, n, k)) return SMALL_DOT;
  return k * gemm->cols * kernels->lanes * fnn_itemsize(c->dtype) <= SMALL_PANEL ? SMALL_PACKED : NOT_SMALL;
}

static void gemm_run_small(const fnn_call *call, const fnn_kernels *kernels, gemm_small_way way) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2], *c = &call->arrays[3];
  const fnn_gemm_kernels *gemm = &kernels->gemm;
  _Alignas(64) char panel[SMALL_PANEL];
  int size = (int)fnn_itemsize(c->dtype), m = (int)c->shape[0], n = (int)c->shape[1];
  int dot = way == SMALL_DOT, wide = way == SMALL_DIRECT && m <= gemm->wide_rows;
  int rows = dot ? gemm->dot_rows : wide ? gemm->wide_rows : gemm->rows;
  int cols = dot && m == 1 ? gemm->dot_wide_cols : dot ? gemm->dot_cols : wide ? gemm->wide_cols : gemm->cols;
  int lanes = dot ? 1 : kernels->lanes, width = cols * lanes, height = m;
  if (m > rows) {
    int pieces = (m + rows - 1) / rows;
    height = (m + pieces - 1) / pieces;
  }
  const fnn_gemm_kernel *table = dot && m == 1 ? gemm->dot_wide : dot ? gemm->dot : wide ? gemm->wide : gemm->direct;
  const char *add = call->scalars[0].i ? c->data : fnn_present(bias) ? bias->data : NULL;
  int64_t add_row = call->scalars[0].i ? c->stride[0] : 0;
  fnn_gemm_tile tile = {.k = a->shape[1], .a_row = a->stride[0], .a_step = a->stride[1], .c_row = c->stride[0],
                        .b_step = b->stride[dot], .add_row = add_row};
  if (way == SMALL_PACKED) {
    tile.b = panel;
    tile.b_step = width;
  }
  for (int j = 0; j < n; j += width) {
    int count = n - j < width ? n - j : width, vectors = dot ? count : cols;
    while (vectors > 1 && (vectors - 1) * lanes >= count) vectors--;
    tile.last = count - (vectors - 1) * lanes;
    const char *from = (const char *)b->data + j * b->stride[1] * size;
    if (way == SMALL_PACKED)
      gemm->pack(width, count, tile.k, from, b->stride[1], b->stride[0], panel);
    else
      tile.b = from;
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

/* matmul: c (..., m, n) = act(a (..., m, k) b (..., k, n) + bias (n)), or c += where accumulate is not 0.
 * a, b and c have equal ranks >= 2 and c's shape in the dimensions before the last two (a stride of 0
 * repeats a matrix); strides of a, b and bias are any; c's last or last but one dimension has unit stride.
 * c shares no memory with the others. activation is the number of a pointwise op of one input, 0 for none
 * (add, the op of number 0, has two); alpha and beta are that op's scalars. k = 0 makes a product of zeros. */
fnn_status fnn_gemm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2], *c = &call->arrays[3];
  int d = c->ndim;
  if (!fnn_is_real(c->dtype) || a->dtype != c->dtype || b->dtype != c->dtype ||
      (fnn_present(bias) && bias->dtype != c->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "matmul: all arrays must be float32, or all float64");
  if (d < 2 || a->ndim != d || b->ndim != d)
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: arrays must have the same rank, 2 or more");
  for (int i = 0; i < d - 2; i++)
    if (a->shape[i] != c->shape[i] || b->shape[i] != c->shape[i])
      return fnn_fail(why, FNN_ERR_SHAPE, "matmul: stacks of matrices must have equal shapes");
  if (a->shape[d - 2] != c->shape[d - 2] || b->shape[d - 1] != c->shape[d - 1] || a->shape[d - 1] != b->shape[d - 2])
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: shapes must be (m, k), (k, n) and (m, n)");
  if (fnn_present(bias) && (bias->ndim != 1 || bias->shape[0] != c->shape[d - 1]))
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: bias must have one element a column");
  if (c->stride[d - 1] != 1 && c->stride[d - 2] != 1 && c->shape[d - 1] > 1 && c->shape[d - 2] > 1)
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: rows or columns of the output must have unit stride");
  int64_t activation = call->scalars[1].i;
  if (activation < 0 || activation >= FNN_OPS || (activation && !fnn_kernels_of(c->dtype)->map[activation]) ||
      (activation && strcmp(fnn_op((int)activation)->arrays, "x -> y")))
    return fnn_fail(why, FNN_ERR_VALUE, "matmul: activation must be a pointwise op of one input");
  if (fnn_size(c) == 0) return FNN_OK;
  if (gemm_small(call, fnn_kernels_of(c->dtype))) {
    int64_t m = c->shape[0], n = c->shape[1], k = a->shape[1];
    plan->flops = 2.0 * (double)(m * n * k);
    plan->bytes = (double)(fnn_itemsize(c->dtype) * (m * n + k * (m + n)));
    return FNN_OK;
  }
  gemm g;
  gemm_prepare(call, &g);
  double mn = (double)g.batches * (double)g.m * (double)g.n, k = (double)g.k;
  plan->flops = 2 * mn * k;
  plan->bytes = (double)g.size * (mn + (double)g.batches * k * (double)(g.m + g.n));
  plan->workspace = g.group * (g.a_panels_bytes + g.b_panels_bytes) * (gemm_phases(&g) > 1 ? 2 : 1);
  /* A thread is worth its start for some microseconds of products, which are this many. */
  int64_t worth = (int64_t)(plan->flops / (64e3 * (double)(fnn_kernels_of(c->dtype)->lanes)));
  plan->tasks = at_most(g.batches * ceil_div(g.m, g.height) * ceil_div(g.n, g.width), at_least(1, worth));
  return FNN_OK;
}

void fnn_gemm_run(const fnn_call *call, fnn_team *team) {
  const fnn_kernels *kernels = fnn_kernels_of(call->arrays[3].dtype);
  if (fnn_size(&call->arrays[3]) == 0) return;
  gemm_small_way way = gemm_small(call, kernels);
  if (way) {
    if (team->id == 0) gemm_run_small(call, kernels, way);
    return;
  }
  gemm g;
  gemm_prepare(call, &g);
  gemm_phase phase;
  int64_t set_bytes = g.group * (g.a_panels_bytes + g.b_panels_bytes), set = 0;
  for (phase.first = 0; phase.first < g.batches; phase.first += g.group) {
    phase.items = at_most(g.group, g.batches - phase.first);
    for (phase.n0 = 0; phase.n0 < g.n; phase.n0 += g.slab_n) {
      phase.n = at_most(g.slab_n, g.n - phase.n0);
      for (phase.m0 = 0; phase.m0 < g.m; phase.m0 += g.slab_m) {
        phase.m = at_most(g.slab_m, g.m - phase.m0);
        phase.k0 = 0;
        do {
          phase.k = at_most(g.block_k, g.k - phase.k0);
          phase.a_panels = team->workspace + set * set_bytes;
          phase.b_panels = phase.a_panels + g.group * g.a_panels_bytes;
          if (set_bytes) {
            gemm_pack(&g, &phase, team);
            fnn_team_barrier(team);
            set = !set;
          }
          gemm_compute(&g, &phase, team);
          phase.k0 += phase.k;
        } while (phase.k0 < g.k);
      }
    }
  }
}
