/* gemm.c: the product of two matrices, or of two stacks of matrices.
 *
 * C is cut into tiles, a tile into blocks of k (see kernels/gemm.h). What a tile computes, and in which
 * order it adds, follows from the shapes and strides alone; threads only take tiles, so that the result is
 * the same for any number of them. There are three ways to feed a tile:
 *
 *   dot     both matrices have unit stride along k and one of them is thin: no packing, sums across lanes
 *   direct  b's rows have unit stride and the operands are small or a is thin: read where they lie
 *   packed  a, b or both are first copied into panels, in the order in which tiles read them
 *
 * In each of them what is computed may be C^T instead: see fnn_gemm.turned and gemm_aside.c.
 *
 * The work is one list of tasks that threads draw in order. It goes phase by phase, each a slab of C and a
 * block of k: half of a phase's tiles, the packing for the next phase, the other half of the tiles. So what
 * a task has to wait for was drawn long before it, and nobody waits at the end of a phase; a thread that is
 * kept from its core holds up the others only a whole phase later. */
#include "gemm.h"

/* One phase: a block of k of a slab of C, for `items` matrices of the stack from `first`. */
typedef struct {
  int64_t first, items, m0, m, n0, n, k0, k;
  char *a_panels, *b_panels;
  char *aside; /* the whole of C^T, n columns wide */
} gemm_phase;

/* The list of tasks. All phases have as many; those past the edge of a smaller phase are empty. */
typedef struct {
  int64_t m_slabs, k_blocks, n_slabs, phases;
  int64_t down, across;         /* a task's tiles */
  int64_t row_tasks, col_tasks; /* of one matrix's slab */
  int64_t a_each, b_each;       /* panels that a task packs */
  int64_t a_tasks, b_tasks;     /* of one matrix's slab */
  int64_t computes, packs;      /* of a phase */
} gemm_list;

/* Progress that threads wait for, one counter for each parity of the phase: see fnn_progress. */
enum { PACKED, COMPUTED = 2 };

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
  if (g->chain) fnn_chain_block(g->chain, i, m, j, n);
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

/* How a tile of one matrix's slab finds its operands: at base + row * per_row and base + column * per_col. */
typedef struct {
  const char *a, *b;
  int64_t a_per_row, b_per_col;
} gemm_bases;

static gemm_bases gemm_base(const fnn_gemm *g, const gemm_phase *phase, int64_t item, const char *a,
                            const char *b, fnn_gemm_tile *tile) {
  gemm_bases base;
  if (g->pack_a) {
    base.a = phase->a_panels + item * g->a_panels_bytes;
    base.a_per_row = phase->k * g->size;
    tile->a_row = 1;
    tile->a_step = g->height;
  } else {
    base.a = a + (phase->m0 * g->a_row + phase->k0 * g->a_col) * g->size;
    base.a_per_row = g->a_row * g->size;
    tile->a_row = g->a_row;
    tile->a_step = g->a_col;
  }
  if (g->pack_b || g->packed_b) {
    base.b = g->pack_b
                 ? phase->b_panels + item * g->b_panels_bytes
                 : b + (phase->k0 * ceil_div(g->n, g->width) * g->width + phase->n0 * phase->k) *
                           g->size;
    base.b_per_col = phase->k * g->size;
    tile->b_step = g->width;
  } else {
    base.b = b + (phase->k0 * g->b_row + phase->n0 * g->b_col) * g->size;
    base.b_per_col = g->b_col * g->size;
    tile->b_step = g->dot ? g->b_col : g->b_row;
  }
  return base;
}

/* Rows i and columns j of C^T, computed aside, to C, some rows of C after another. */
static void gemm_turn_over(const fnn_gemm *g, const gemm_phase *phase, char *c, int64_t i,
                           int64_t m, int64_t j, int64_t n) {
  for (int64_t end = j + n; j < end; j += g->width) {
    int64_t rows = at_most(g->width, end - j);
    if (g->chain) fnn_chain_touch(g->chain, j, rows, i, m);
    g->transpose(m, rows, phase->aside + (i * g->n + j) * g->size, g->n,
                 c + (j * g->c_row + i) * g->size, g->c_row);
    gemm_epilogue(g, c, j, i, rows, m);
  }
}

/* The tiles of a rectangle of one matrix, in a block of k. A few rows of a stay in L1 while they meet the
 * columns of b, which stay in L2 while all rows pass. */
static void gemm_rectangle(const fnn_gemm *g, const gemm_phase *phase, int64_t item, fnn_range rows,
                           fnn_range cols) {
  const char *a, *b;
  char *c;
  gemm_item(g, phase->first + item, &a, &b, &c);
  int64_t size = g->size, k = phase->k;
  int first = phase->k0 == 0, last = phase->k0 + k == g->k;
  char *to = g->aside ? phase->aside : c;
  const char *add = NULL;
  fnn_gemm_tile tile = {.k = k, .c_row = g->aside ? g->n : g->c_row};
  _Alignas(64) char spread[FNN_GEMM_SPREAD_BYTES]; /* the bias of C^T's rows */
  if (!first || g->accumulate) {
    add = to;
    tile.add_row = tile.c_row;
  } else if (g->bias_in_tile && g->aside) {
    tile.add = spread;
    tile.add_row = g->width;
  } else if (g->bias_in_tile) {
    add = g->bias;
  }
  gemm_bases base = gemm_base(g, phase, item, a, b, &tile);
  for (int64_t i = rows.begin; i < rows.end; i += g->height) {
    int64_t m = at_most(g->height, rows.end - i);
    tile.a = base.a + i * base.a_per_row;
    /* The next rows of a come into L2 meanwhile. */
    tile.next = (const char *)tile.a + (g->pack_a ? g->height * base.a_per_row : 0);
    tile.next_step = g->pack_a && i + g->height < rows.end ? 64 : 0;
    if (tile.add == spread) fnn_gemm_spread_bias(g, phase->m0 + i, m, spread);
    for (int64_t j = cols.begin; j < cols.end; j += g->width) {
      int64_t n = at_most(g->width, cols.end - j), vectors = ceil_div(n, g->lanes);
      int64_t offset = (phase->m0 + i) * tile.c_row + phase->n0 + j;
      tile.last = n - (vectors - 1) * g->lanes;
      tile.b = base.b + j * base.b_per_col;
      tile.c = to + offset * size;
      if (last && g->chain && !g->aside)
        fnn_chain_touch(g->chain, phase->m0 + i, m, phase->n0 + j, n);
      if (add) tile.add = add + (add == to ? offset : phase->n0 + j) * size;
      /* The next columns of packed weights come meanwhile, which are cold in a network: 20 MB of layers
       * took 1.1 to 1.9 times as long without, of 36 to 144 rows; one that is in L2 takes as long. */
      if (g->packed_b && !g->pack_a && i == rows.begin) {
        tile.next = (const char *)tile.b + g->width * base.b_per_col;
        tile.next_step = 64;
      }
      g->table[(m - 1) * g->cols + vectors - 1](&tile);
      tile.next_step = 0;
    }
    if (last && !g->aside)
      gemm_epilogue(g, c, phase->m0 + i, phase->n0 + cols.begin, m, cols.end - cols.begin);
  }
  if (last && g->aside)
    gemm_turn_over(g, phase, c, phase->m0 + rows.begin, rows.end - rows.begin,
                   phase->n0 + cols.begin, cols.end - cols.begin);
}

/* Task i of a phase: some tiles. Those that follow each other share the columns of b. */
static void gemm_compute(const fnn_gemm *g, const gemm_list *list, const gemm_phase *phase,
                         int64_t i) {
  int64_t item = i / (list->row_tasks * list->col_tasks);
  int64_t row = i % list->row_tasks * list->down * g->height;
  int64_t col = i / list->row_tasks % list->col_tasks * list->across * g->width;
  fnn_range rows = {row, at_most(phase->m, row + list->down * g->height)};
  fnn_range cols = {col, at_most(phase->n, col + list->across * g->width)};
  if (item >= phase->items || rows.begin >= rows.end || cols.begin >= cols.end) return;
  if (g->pack_a || g->pack_b) {
    gemm_rectangle(g, phase, item, rows, cols);
    return;
  }
  gemm_phase block = *phase; /* of what lies in place, all of k at once */
  for (block.k0 = 0; block.k0 == 0 || block.k0 < g->k; block.k0 += block.k) {
    block.k = at_most(g->block_k, g->k - block.k0);
    gemm_rectangle(g, &block, item, rows, cols);
    if (g->k == 0) break;
  }
}

/* Task i of the packing for a phase: panels of a, or of b, which the slabs below the first find packed. */
static void gemm_pack(const fnn_gemm *g, const gemm_list *list, const gemm_phase *phase,
                      int64_t i) {
  int64_t item = i / (list->a_tasks + list->b_tasks);
  int64_t task = i % (list->a_tasks + list->b_tasks);
  if (item >= phase->items) return;
  const char *a, *b;
  char *c;
  gemm_item(g, phase->first + item, &a, &b, &c);
  if (task < list->a_tasks) {
    int64_t begin = task * list->a_each * g->height;
    int64_t count = at_most(list->a_each * g->height, phase->m - begin);
    if (count > 0)
      g->kernels->pack(g->height, count, phase->k,
                       a + ((phase->m0 + begin) * g->a_row + phase->k0 * g->a_col) * g->size,
                       g->a_row, g->a_col,
                       phase->a_panels + item * g->a_panels_bytes + begin * phase->k * g->size);
  } else if (phase->m0 == 0) {
    int64_t begin = (task - list->a_tasks) * list->b_each * g->width;
    int64_t count = at_most(list->b_each * g->width, phase->n - begin);
    if (count > 0)
      g->kernels->pack(g->width, count, phase->k,
                       b + (phase->k0 * g->b_row + (phase->n0 + begin) * g->b_col) * g->size,
                       g->b_col, g->b_row,
                       phase->b_panels + item * g->b_panels_bytes + begin * phase->k * g->size);
  }
}

/* --- the list of tasks --- */

static void gemm_phases(const fnn_gemm *g, gemm_list *list) {
  list->m_slabs = ceil_div(g->m, g->slab_m);
  list->n_slabs = ceil_div(g->n, g->slab_n);
  list->k_blocks = g->pack_a || g->pack_b ? at_least(1, ceil_div(g->k, g->block_k)) : 1;
  list->phases = ceil_div(g->batches, g->group) * list->n_slabs * list->k_blocks * list->m_slabs;
}

/* Sets of panels: while one is read the next is written. */
static int64_t gemm_a_sets(const gemm_list *list) { return list->phases > 1 ? 2 : 1; }
static int64_t gemm_b_sets(const gemm_list *list) { return list->phases > list->m_slabs ? 2 : 1; }

int64_t fnn_gemm_workspace(const fnn_gemm *g) {
  gemm_list list;
  gemm_phases(g, &list);
  int64_t panels =
      g->group * (g->a_panels_bytes * gemm_a_sets(&list) + g->b_panels_bytes * gemm_b_sets(&list));
  return panels + (g->aside ? g->m * g->n * g->size : 0);
}

/* Tasks for each thread in a phase: several, so that one which is kept from its core leaves them to the
 * others. The columns of b come into L2 once for all rows of a task, so rows are cut first only where many
 * are left, then columns, then rows. */
#define TASKS 6
#define MANY_ROWS 16
#define FEW_COLS 2
#define ASIDE_ROWS 4   /* of C^T: whole lines of C */
#define CHAIN_COLS 512 /* elements: a chain runs slower on short pieces of rows */

static void gemm_cut_slab(const fnn_gemm *g, gemm_list *list, int64_t row_tiles, int64_t col_tiles,
                          int64_t wanted) {
  list->across = ceil_div(col_tiles, ceil_div(col_tiles, g->block));
  list->down = wanted > 1 ? ceil_div(row_tiles, ceil_div(row_tiles, MANY_ROWS)) : row_tiles;
  int64_t row_tasks = ceil_div(row_tiles, list->down);
  int64_t tasks = row_tasks * ceil_div(col_tiles, list->across);
  int64_t few = g->chain && !g->aside ? at_least(FEW_COLS, CHAIN_COLS / g->width) : FEW_COLS;
  if (tasks < wanted && list->across > few) {
    list->across = at_least(few, list->across * tasks / wanted);
    tasks = row_tasks * ceil_div(col_tiles, list->across);
  }
  if (tasks < wanted) list->down = at_least(1, list->down * tasks / wanted);
  if (g->aside) list->down = at_most(row_tiles, ceil_div(list->down, ASIDE_ROWS) * ASIDE_ROWS);
}

static void gemm_list_tasks(const fnn_gemm *g, gemm_list *list, int threads) {
  int64_t items = at_most(g->group, g->batches);
  int64_t row_tiles = ceil_div(g->slab_m, g->height), col_tiles = ceil_div(g->slab_n, g->width);
  gemm_cut_slab(g, list, row_tiles, col_tiles, threads > 1 ? ceil_div(threads * TASKS, items) : 1);
  list->row_tasks = ceil_div(row_tiles, list->down);
  list->col_tasks = ceil_div(col_tiles, list->across);
  list->computes = items * list->row_tasks * list->col_tasks;
  /* Eight panels are what a packer reads best. */
  list->a_each = at_most(8, at_least(1, row_tiles / (2 * threads)));
  list->b_each = at_most(8, at_least(1, col_tiles / (2 * threads)));
  list->a_tasks = g->pack_a ? ceil_div(row_tiles, list->a_each) : 0;
  list->b_tasks = g->pack_b ? ceil_div(col_tiles, list->b_each) : 0;
  list->packs = items * (list->a_tasks + list->b_tasks);
}

static gemm_phase gemm_phase_at(const fnn_gemm *g, const gemm_list *list, int64_t number,
                                char *workspace) {
  gemm_phase phase;
  int64_t slab = number / list->m_slabs, rest = slab / list->k_blocks;
  phase.m0 = number % list->m_slabs * g->slab_m;
  phase.k0 = slab % list->k_blocks * g->block_k;
  phase.n0 = rest % list->n_slabs * g->slab_n;
  phase.first = rest / list->n_slabs * g->group;
  phase.m = at_most(g->slab_m, g->m - phase.m0);
  phase.k = at_most(g->block_k, g->k - phase.k0);
  phase.n = at_most(g->slab_n, g->n - phase.n0);
  phase.items = at_most(g->group, g->batches - phase.first);
  phase.a_panels = workspace + (number & 1) * g->group * g->a_panels_bytes;
  phase.b_panels = workspace + g->group * (gemm_a_sets(list) * g->a_panels_bytes +
                                           (slab & 1) * g->b_panels_bytes);
  phase.aside = workspace + g->group * (gemm_a_sets(list) * g->a_panels_bytes +
                                        gemm_b_sets(list) * g->b_panels_bytes);
  return phase;
}

/* Wait until all computing up to this phase is done. */
static void gemm_await_computed(const gemm_list *list, fnn_team *team, int64_t number) {
  for (int64_t i = number; i >= 0 && i > number - 2; i--)
    fnn_progress_wait(team, COMPUTED + (i & 1), (i / 2 + 1) * list->computes);
}

/* Panels of a set are packed when the phase before the last is over, and read when they are packed. Then
 * everything before the last phase is done; where that was on the same slab of C, it has to be done too. */
static void gemm_run_task(const fnn_gemm *g, const gemm_list *list, fnn_team *team, int64_t number,
                          int packing, int64_t i) {
  if (number == list->phases) return;
  gemm_phase phase = gemm_phase_at(g, list, number, team->workspace);
  if (packing) {
    gemm_await_computed(list, team, number - 2);
    gemm_pack(g, list, &phase, i);
    fnn_progress(team, PACKED + (number & 1));
    return;
  }
  if (list->packs) fnn_progress_wait(team, PACKED + (number & 1), (number / 2 + 1) * list->packs);
  if (list->m_slabs == 1 && phase.k0 > 0) gemm_await_computed(list, team, number - 1);
  gemm_compute(g, list, &phase, i);
  if (list->packs) fnn_progress(team, COMPUTED + (number & 1));
}

static void gemm_run_list(const fnn_gemm *g, fnn_team *team) {
  gemm_list list;
  gemm_phases(g, &list);
  gemm_list_tasks(g, &list, team->size);
  int64_t before = list.computes / 2, each = list.computes + list.packs;
  int64_t total = list.packs + list.phases * each;
  for (int64_t i; (i = fnn_take(team)) < total;) {
    if (i < list.packs) {
      gemm_run_task(g, &list, team, 0, 1, i);
      continue;
    }
    int64_t number = (i - list.packs) / each, task = (i - list.packs) % each;
    if (task < before)
      gemm_run_task(g, &list, team, number, 0, task);
    else if (task < before + list.packs)
      gemm_run_task(g, &list, team, number + 1, 1, task - before);
    else
      gemm_run_task(g, &list, team, number, 0, task - list.packs);
  }
  fnn_taken(team, total);
  if (list.packs) fnn_progress_end(team);
}

void fnn_gemm_run_with(const fnn_call *call, fnn_chain *chain, fnn_team *team) {
  const fnn_kernels *kernels = fnn_kernels_of(call->arrays[3].dtype);
  fnn_gemm_small way = fnn_gemm_small_way(call, kernels);
  if (way) {
    if (team->id != 0) return;
    fnn_gemm_run_small(call, kernels, way);
    if (chain) fnn_chain_block(chain, 0, chain->rows, 0, chain->cols);
    return;
  }
  fnn_gemm g;
  fnn_gemm_prepare(call, &g);
  if (chain && g.turned) fnn_gemm_chain_turn(chain);
  g.chain = chain;
  gemm_run_list(&g, team);
}

void fnn_gemm_run(const fnn_call *call, fnn_team *team) {
  if (call->op == FNN_OP_gemm_pack)
    fnn_gemm_pack_run(call, team);
  else if (call->op == FNN_OP_matmul_chain)
    fnn_gemm_chain_run(call, team);
  else if (fnn_size(&call->arrays[3]) > 0)
    fnn_gemm_run_with(call, NULL, team);
}
