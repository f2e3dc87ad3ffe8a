/* winograd_grad_w.c: the gradient of the weights, as short convolutions of images with gradients.
 *
 * Tiles of a x a inputs and of the m x m gradients over them are transformed into planes; the product of two
 * planes, summed over tiles, is a plane of sums (o, c), and planes of sums are transformed into 3 x 3 taps.
 * A task takes a block of outputs, a block of channels and a chunk of the tiles, so that its sums stay in
 * L2 while the chunk's tiles pass, some at a time. Where there is more than one chunk, each leaves its taps in
 * the workspace, and they are added in order. */
#include <string.h>

#include "winograd.h"

#define BLOCK_BYTES 256        /* of channels or outputs in a block */
#define TASKS 32               /* are enough */
#define CHUNK 48               /* tiles, at least */
#define PASS_BYTES (320 << 10) /* of planes of inputs and gradients */
#define PASS 24                /* tiles, at least */

typedef struct {
  fnn_winograd_grid grid;
  const char *dy;
  int64_t dy_stride[3], outputs;
  char *dw;
  int64_t c_block, o_block, c_blocks, o_blocks; /* channels and outputs of a block, blocks */
  int64_t chunk, chunks, pass;                  /* tiles of a chunk, chunks, tiles of a pass */
  int64_t x_step, dy_step, sum_step;            /* elements between planes */
  int64_t own_bytes, dw_bytes;
} winograd_sums;

/* n cut into pieces of at most `most`, each a multiple of `unit`. */
static int64_t piece(int64_t n, int64_t most, int64_t unit) {
  return ceil_div(ceil_div(n, ceil_div(n, most)), unit) * unit;
}

static void sums_prepare(const fnn_conv *conv, winograd_sums *g) {
  g->grid = fnn_winograd_grid_of(conv, fnn_winograd_tile(conv));
  int64_t size = g->grid.size;
  g->dy = conv->y.data;
  for (int i = 0; i < 3; i++) g->dy_stride[i] = conv->y.stride[i];
  g->outputs = conv->outputs;
  g->dw = conv->w.data;
  g->dw_bytes = 9 * conv->channels * conv->outputs * size;

  g->c_block = piece(conv->channels, BLOCK_BYTES / size, g->grid.kernels->lanes);
  g->c_blocks = ceil_div(conv->channels, g->c_block);
  g->o_block = piece(conv->outputs, BLOCK_BYTES / size, 1);
  g->o_blocks = ceil_div(conv->outputs, g->o_block);
  int64_t chunks =
      at_least(1, at_most(ceil_div(TASKS, g->c_blocks * g->o_blocks), g->grid.tiles / CHUNK));
  g->chunk = ceil_div(g->grid.tiles, chunks);
  g->chunks = ceil_div(g->grid.tiles, g->chunk);
  int64_t most = at_least(PASS, PASS_BYTES / (g->grid.planes * (g->c_block + g->o_block) * size));
  g->pass = ceil_div(g->chunk, ceil_div(g->chunk, most));
  g->x_step = fnn_winograd_step(g->pass * fnn_winograd_pitch(&g->grid, g->c_block), size);
  g->dy_step = fnn_winograd_step(g->pass * fnn_winograd_pitch(&g->grid, g->o_block), size);
  g->sum_step = fnn_winograd_step(g->o_block * fnn_winograd_pitch(&g->grid, g->c_block), size);
  g->own_bytes = g->grid.planes * (g->x_step + g->dy_step + g->sum_step) * size;
}

/* A task: outputs and channels from .. so many, and tiles. */
typedef struct {
  int64_t o, outputs, c, channels;
  fnn_range tiles;
} sums_part;

static void sums_gradients(const winograd_sums *g, const sums_part *b, int64_t first, int64_t count,
                           char *planes) {
  int64_t m = g->grid.way->m, size = g->grid.size;
  int64_t pitch = fnn_winograd_pitch(&g->grid, b->outputs);
  fnn_winograd_place p = fnn_winograd_place_of(&g->grid, first);
  for (int64_t i = 0; i < count; i++, fnn_winograd_next(&g->grid, &p)) {
    int64_t row = p.row * m, col = p.col * m;
    const char *dy =
        g->dy +
        (p.image * g->dy_stride[0] + row * g->dy_stride[1] + col * g->dy_stride[2] + b->o) * size;
    g->grid.way->gradient(
        b->outputs, dy, g->dy_stride[1], g->dy_stride[2], (int)at_most(m, g->grid.out[0] - row),
        (int)at_most(m, g->grid.out[1] - col), planes + i * pitch * size, g->dy_step);
  }
}

/* sums = or += the products of `count` tiles. */
static void sums_multiply(const winograd_sums *g, const sums_part *b, int64_t count, int first,
                          const char *x, const char *dy, char *sums) {
  const fnn_gemm_kernels *gemm = &g->grid.kernels->gemm;
  int64_t size = g->grid.size, lanes = g->grid.kernels->lanes, width = lanes * gemm->cols;
  int64_t height = ceil_div(b->outputs, ceil_div(b->outputs, gemm->direct_rows));
  fnn_gemm_tile tile = {.k = count, .a_row = 1, .a_step = fnn_winograd_pitch(&g->grid, b->outputs)};
  tile.b_step = tile.c_row = tile.add_row = fnn_winograd_pitch(&g->grid, b->channels);
  for (int64_t t = 0; t < g->grid.planes; t++)
    for (int64_t j = 0; j < b->channels; j += width) {
      int64_t n = at_most(width, b->channels - j), vectors = ceil_div(n, lanes);
      tile.last = n - (vectors - 1) * lanes;
      tile.b = tile.next = x + (t * g->x_step + j) * size;
      for (int64_t i = 0; i < b->outputs; i += height) {
        tile.a = dy + (t * g->dy_step + i) * size;
        tile.c = sums + (t * g->sum_step + i * tile.c_row + j) * size;
        tile.add = first ? NULL : tile.c;
        gemm->direct[(at_most(height, b->outputs - i) - 1) * gemm->cols + vectors - 1](&tile);
      }
    }
}

static void sums_run_part(const winograd_sums *g, const sums_part *b, char *own, char *dw) {
  int64_t size = g->grid.size, all = g->grid.channels;
  int64_t pitch = fnn_winograd_pitch(&g->grid, b->channels);
  char *x = own, *dy = x + g->grid.planes * g->x_step * size;
  char *sums = dy + g->grid.planes * g->dy_step * size;
  for (int64_t i = b->tiles.begin; i < b->tiles.end; i += g->pass) {
    int64_t count = at_most(g->pass, b->tiles.end - i);
    fnn_winograd_inputs(&g->grid, i, count, b->c, b->channels, x, g->x_step);
    sums_gradients(g, b, i, count, dy);
    sums_multiply(g, b, count, i == b->tiles.begin, x, dy, sums);
  }
  for (int64_t o = 0; o < b->outputs; o++)
    g->grid.way->taps(b->channels, sums + o * pitch * size, g->sum_step,
                      dw + ((b->o + o) * 9 * all + b->c) * size, all);
}

/* dw = the chunks' taps, added in order. */
static void sums_add(const winograd_sums *g, const char *parts, fnn_team *team) {
  int64_t lines = ceil_div(g->dw_bytes, 4096);
  fnn_range mine = fnn_share(lines, team);
  int64_t begin = mine.begin * 4096, bytes = at_most(mine.end * 4096, g->dw_bytes) - begin;
  if (bytes <= 0) return;
  memcpy(g->dw + begin, parts + begin, (size_t)bytes);
  for (int64_t i = 1; i < g->chunks; i++)
    g->grid.kernels->move.add_row(bytes / g->grid.size, parts + i * g->dw_bytes + begin,
                                  g->dw + begin);
}

void fnn_winograd_grad_w_plan(const fnn_conv *conv, fnn_plan *plan) {
  winograd_sums g;
  sums_prepare(conv, &g);
  plan->flops =
      2.0 * (double)(g.grid.tiles * g.grid.planes) * (double)(g.grid.channels * g.outputs);
  plan->bytes = fnn_bytes(&conv->x) + fnn_bytes(&conv->w) + fnn_bytes(&conv->y);
  plan->tasks = at_most(g.c_blocks * g.o_blocks * g.chunks, fnn_conv_threads());
  plan->workspace = plan->tasks * g.own_bytes + (g.chunks > 1 ? g.chunks * g.dw_bytes : 0);
}

void fnn_winograd_grad_w_run(const fnn_conv *conv, fnn_team *team) {
  winograd_sums g;
  sums_prepare(conv, &g);
  int apart = g.chunks > 1;
  char *parts = team->workspace, *own = parts + team->id * g.own_bytes;
  if (apart) own += g.chunks * g.dw_bytes;
  int64_t total = g.c_blocks * g.o_blocks * g.chunks;
  for (int64_t i; (i = fnn_take(team)) < total;) {
    int64_t chunk = i % g.chunks, block = i / g.chunks;
    sums_part b = {.o = block / g.c_blocks * g.o_block, .c = block % g.c_blocks * g.c_block};
    b.outputs = at_most(g.o_block, g.outputs - b.o);
    b.channels = at_most(g.c_block, g.grid.channels - b.c);
    b.tiles = (fnn_range){chunk * g.chunk, at_most(g.grid.tiles, (chunk + 1) * g.chunk)};
    sums_run_part(&g, &b, own, apart ? parts + chunk * g.dw_bytes : g.dw);
  }
  fnn_taken(team, total);
  if (!apart) return;
  fnn_team_barrier(team);
  sums_add(&g, parts, team);
}
