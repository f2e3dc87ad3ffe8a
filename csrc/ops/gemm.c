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

#include "gemm.h"

/* One phase: a block of k of a slab of C, for `items` matrices of the stack from `first`. */
typedef struct {
  int64_t first, items, m0, m, n0, n, k0, k;
  char *a_panels, *b_panels;
} gemm_phase;

static int64_t gemm_phases(const fnn_gemm *g) {
  return ceil_div(g->batches, g->group) * ceil_div(g->m, g->slab_m) * ceil_div(g->n, g->slab_n) *
         at_least(1, ceil_div(g->k, g->block_k));
}

/* Where matrix `item` of the stack begins. */
static void gemm_item(const fnn_gemm *g, int64_t item, const char **a, const char **b, char **c) {
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
static void gemm_pack(const fnn_gemm *g, const gemm_phase *phase, const fnn_team *team) {
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
                     a + ((phase->m0 + row) * g->a_row + phase->k0 * g->a_col) * g->size, g->a_row,
                     g->a_col,
                     phase->a_panels + item * g->a_panels_bytes + row * phase->k * g->size);
  }
  share = fnn_share(phase->items * b_count, team);
  for (int64_t i = share.begin, more; i < share.end; i += more) {
    int64_t item = i / b_count, col = i % b_count * g->width;
    more = at_most(share.end - i, b_count - i % b_count);
    gemm_item(g, phase->first + item, &a, &b, &c);
    g->kernels->pack(g->width, at_most(more * g->width, phase->n - col), phase->k,
                     b + (phase->k0 * g->b_row + (phase->n0 + col) * g->b_col) * g->size, g->b_col,
                     g->b_row,
                     phase->b_panels + item * g->b_panels_bytes + col * phase->k * g->size);
  }
}

/* c += bias where a tile cannot. */
static void gemm_add_bias(const fnn_gemm *g, char *c, const char *bias, int64_t m, int64_t n) {
#define ADD_BIAS(REAL)              \
  for (int64_t i = 0; i < m; i++)   \
    for (int64_t j = 0; j < n; j++) \
      ((REAL *)c)[i * g->c_row + j] += ((const REAL *)bias)[i * g->bias_row + j * g->bias_col];
  if (g->size == 4) {
    ADD_BIAS(float)
  } else {
    ADD_BIAS(double)
  }
#undef ADD_BIAS
}

/* What follows the last block of k, on m x n elements of C from row i, column j, while they are in cache. */
static void gemm_epilogue(const fnn_gemm *g, char *c, int64_t i, int64_t j, int64_t m, int64_t n) {
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
static void gemm_rectangle(const fnn_gemm *g, const gemm_phase *phase, int64_t item, fnn_range rows,
                           fnn_range cols) {
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
  int64_t row_end = at_most(rows.end * g->height, phase->m),
          col_end = at_most(cols.end * g->width, phase->n);
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

/* Pieces of a phase's slab for each thread: several, so that one that is kept from its core leaves its
 * pieces to the others. */
#define PIECES 6

/* A piece is rows x cols tiles: at most a strip of rows, and as many columns as make enough pieces. */
static void gemm_piece(const fnn_gemm *g, int64_t items, int64_t row_tiles, int64_t col_tiles,
                       int threads, int64_t *rows, int64_t *cols) {
  int64_t wanted = threads > 1 ? ceil_div(threads * PIECES, items) : 1;
  *rows = wanted > 1 ? ceil_div(row_tiles, ceil_div(row_tiles, g->strip)) : row_tiles;
  *cols = at_least(1, col_tiles * ceil_div(row_tiles, *rows) / wanted);
  int64_t across = ceil_div(col_tiles, *cols);
  if (across * ceil_div(row_tiles, *rows) < wanted)
    *rows = at_least(1, ceil_div(row_tiles, ceil_div(wanted, across)));
}

static void gemm_compute(const fnn_gemm *g, const gemm_phase *phase, fnn_team *team) {
  int64_t row_tiles = ceil_div(phase->m, g->height), col_tiles = ceil_div(phase->n, g->width);
  int64_t down, across;
  gemm_piece(g, phase->items, row_tiles, col_tiles, team->size, &down, &across);
  int64_t row_pieces = ceil_div(row_tiles, down), col_pieces = ceil_div(col_tiles, across);
  int64_t pieces = phase->items * row_pieces * col_pieces;
  for (int64_t i; (i = fnn_take(team)) < pieces;) {
    fnn_range rows, cols;
    rows.begin = i / col_pieces % row_pieces * down;
    rows.end = at_most(row_tiles, rows.begin + down);
    cols.begin = i % col_pieces * across;
    cols.end = at_most(col_tiles, cols.begin + across);
    gemm_rectangle(g, phase, i / (row_pieces * col_pieces), rows, cols);
  }
  fnn_taken(team, pieces);
}

/* matmul: c (..., m, n) = act(a (..., m, k) b (..., k, n) + bias (n)), or c += where accumulate is not 0.
 * a, b and c have equal ranks >= 2 and c's shape in the dimensions before the last two (a stride of 0
 * repeats a matrix); strides of a, b and bias are any; c's last or last but one dimension has unit stride.
 * c shares no memory with the others. activation is the number of a pointwise op of one input, 0 for none
 * (add, the op of number 0, has two); alpha and beta are that op's scalars. k = 0 makes a product of zeros. */
fnn_status fnn_gemm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = &call->arrays[0], *b = &call->arrays[1], *bias = &call->arrays[2],
                  *c = &call->arrays[3];
  int d = c->ndim;
  if (!fnn_is_real(c->dtype) || a->dtype != c->dtype || b->dtype != c->dtype ||
      (fnn_present(bias) && bias->dtype != c->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "matmul: all arrays must be float32, or all float64");
  if (d < 2 || a->ndim != d || b->ndim != d)
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: arrays must have the same rank, 2 or more");
  for (int i = 0; i < d - 2; i++)
    if (a->shape[i] != c->shape[i] || b->shape[i] != c->shape[i])
      return fnn_fail(why, FNN_ERR_SHAPE, "matmul: stacks of matrices must have equal shapes");
  if (a->shape[d - 2] != c->shape[d - 2] || b->shape[d - 1] != c->shape[d - 1] ||
      a->shape[d - 1] != b->shape[d - 2])
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: shapes must be (m, k), (k, n) and (m, n)");
  if (fnn_present(bias) && (bias->ndim != 1 || bias->shape[0] != c->shape[d - 1]))
    return fnn_fail(why, FNN_ERR_SHAPE, "matmul: bias must have one element a column");
  if (c->stride[d - 1] != 1 && c->stride[d - 2] != 1 && c->shape[d - 1] > 1 && c->shape[d - 2] > 1)
    return fnn_fail(why, FNN_ERR_SHAPE,
                    "matmul: rows or columns of the output must have unit stride");
  int64_t activation = call->scalars[1].i;
  if (activation < 0 || activation >= FNN_OPS ||
      (activation && !fnn_kernels_of(c->dtype)->map[activation]) ||
      (activation && strcmp(fnn_op((int)activation)->arrays, "x -> y")))
    return fnn_fail(why, FNN_ERR_VALUE, "matmul: activation must be a pointwise op of one input");
  if (fnn_size(c) == 0) return FNN_OK;
  if (fnn_gemm_small_way(call, fnn_kernels_of(c->dtype))) {
    int64_t m = c->shape[0], n = c->shape[1], k = a->shape[1];
    plan->flops = 2.0 * (double)(m * n * k);
    plan->bytes = (double)(fnn_itemsize(c->dtype) * (m * n + k * (m + n)));
    return FNN_OK;
  }
  fnn_gemm g;
  fnn_gemm_prepare(call, &g);
  double mn = (double)g.batches * (double)g.m * (double)g.n, k = (double)g.k;
  plan->flops = 2 * mn * k;
  plan->bytes = (double)g.size * (mn + (double)g.batches * k * (double)(g.m + g.n));
  plan->workspace = g.group * (g.a_panels_bytes + g.b_panels_bytes) * (gemm_phases(&g) > 1 ? 2 : 1);
  /* A thread is worth its start for some microseconds of work: of products, or of memory. */
  double worth = plan->flops / (160e3 * fnn_kernels_of(c->dtype)->lanes);
  if (worth < plan->bytes / 400e3) worth = plan->bytes / 400e3;
  plan->tasks = at_most(g.batches * ceil_div(g.m, g.height) * ceil_div(g.n, g.width),
                        at_least(1, (int64_t)worth));
  return FNN_OK;
}

void fnn_gemm_run(const fnn_call *call, fnn_team *team) {
  const fnn_kernels *kernels = fnn_kernels_of(call->arrays[3].dtype);
  if (fnn_size(&call->arrays[3]) == 0) return;
  fnn_gemm_small way = fnn_gemm_small_way(call, kernels);
  if (way) {
    if (team->id == 0) fnn_gemm_run_small(call, kernels, way);
    return;
  }
  fnn_gemm g;
  fnn_gemm_prepare(call, &g);
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
