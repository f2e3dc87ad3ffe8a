/* winograd.c: the convolution, and the gradient of its data, which is one too: with turned kernels.
 *
 * The weights are transformed once, into panels as gemm's tiles read them. Then threads draw blocks of tiles,
 * each with a slab of the outputs: a thread transforms the block's inputs into planes (tiles, channels),
 * multiplies plane by plane and transforms the products back, in memory of its own that stays in its cache.
 * With many channels it goes another way: see winograd_deep.c. What a block computes follows from the shapes
 * alone. */
#include <string.h>

#include "winograd.h"

#define TAPS_BYTES (18 << 10) /* of weights, collected for their transform: in L1 */

/* In float32 on a Zen 5 with 1 MB of L2 nothing here made a difference above 5 % with 16 to 128 channels: blocks of
 * 40 to 480 KB, 12 or more tiles. Slabs of 64 or 256 outputs, or 96 tiles, were 10 % slower with 256 channels. */
#define BLOCK_BYTES (320 << 10) /* of a block's planes */
#define LEAST_TILES 12
#define BLOCKS 8 /* at least, where there are tiles enough: something for every thread */
#define SLAB 128
/* With 512 channels, blocks of 128 tiles and chunks of 128 channels did better by 5 % than 96 or 64. */
#define DEEP_TILES 128
#define DEEP_CHUNK 128

/* --- how it is cut --- */

void fnn_winograd_read(const fnn_conv *conv, int m, fnn_winograd *g) {
  int grad = conv->op == FNN_OP_conv_grad_x;
  const fnn_array *w = &conv->w;
  g->grid = fnn_winograd_grid_of(conv, m);
  g->outputs = grad ? conv->channels : conv->outputs;
  g->y = grad ? conv->x.data : conv->y.data;
  g->bias = fnn_present(&conv->bias) ? conv->bias.data : NULL;
  g->packed = conv->packed;
  g->width = fnn_conv_width(conv->dtype, g->outputs);
  g->panels = ceil_div(g->outputs, g->width);
  g->weights_step = fnn_winograd_step(g->width * g->grid.channels, g->grid.size);
  g->weights = w->data;
  if (g->packed) return;
  g->weights_stride[0] = w->stride[grad ? 3 : 0];
  g->weights_stride[3] = w->stride[grad ? 0 : 3];
  for (int i = 1; i < 3; i++) {
    g->weights_stride[i] = grad ? -w->stride[i] : w->stride[i];
    if (grad) g->weights += 2 * w->stride[i] * g->grid.size;
  }
}

/* Tiles in equal blocks of at most `most`. */
static void winograd_cut_tiles(fnn_winograd *g, int64_t most, int64_t outputs) {
  int64_t size = g->grid.size;
  g->blocks = ceil_div(g->grid.tiles, most);
  g->block = ceil_div(g->grid.tiles, g->blocks);
  g->in_step = fnn_winograd_step(g->block * fnn_winograd_pitch(&g->grid, g->grid.channels), size);
  g->out_step = fnn_winograd_step(g->block * fnn_winograd_pitch(&g->grid, outputs), size);
  g->out_bytes = g->grid.planes * g->out_step * size;
}

static void winograd_prepare(const fnn_conv *conv, fnn_winograd *g) {
  fnn_winograd_read(conv, fnn_winograd_tile(conv), g);
  int64_t size = g->grid.size, c = g->grid.channels, planes = g->grid.planes;
  int64_t panels_bytes = g->panels * planes * g->weights_step * size;
  g->deep = fnn_winograd_is_deep(g);
  if (g->deep) {
    winograd_cut_tiles(g, DEEP_TILES, g->width);
    g->chunk = DEEP_CHUNK;
    g->weights_step = fnn_winograd_step(g->width * at_most(c, g->chunk), size);
    g->shared_bytes = planes * g->in_step * size;
    g->own_bytes = planes * g->weights_step * size + g->out_bytes;
    return;
  }
  int64_t slabs = ceil_div(g->outputs, at_least(SLAB, g->width));
  g->slab = ceil_div(g->panels, slabs) * g->width;
  g->slabs = ceil_div(g->outputs, g->slab);
  int64_t channels = at_most(g->outputs, g->slab), rows = g->grid.kernels->gemm.direct_rows;
  int64_t most = BLOCK_BYTES / (planes * (c + channels) * size) / rows * rows;
  most = at_least(LEAST_TILES, at_most(most, g->grid.tiles / BLOCKS));
  winograd_cut_tiles(g, most, channels);
  g->shared_bytes = g->packed ? 0 : panels_bytes;
  g->own_bytes = planes * g->in_step * size + g->out_bytes;
}

/* --- weights --- */

void fnn_winograd_weights(const fnn_winograd *g, int64_t panel, fnn_range c, char *planes,
                          int64_t step) {
  _Alignas(64) char taps[TAPS_BYTES];
  int64_t size = g->grid.size, o = panel * g->width, count = at_most(g->width, g->outputs - o);
  int64_t most = TAPS_BYTES / (9 * g->width * size);
  const int64_t *stride = g->weights_stride;
  if (count < g->width) memset(taps, 0, sizeof taps);
  for (int64_t begin = c.begin; begin < c.end; begin += most) {
    int64_t channels = at_most(most, c.end - begin), elements = channels * g->width;
    const char *from = g->weights + (o * stride[0] + begin * stride[3]) * size;
    for (int tap = 0; tap < 9; tap++)
      g->grid.kernels->gemm.pack(g->width, count, channels,
                                 from + (tap / 3 * stride[1] + tap % 3 * stride[2]) * size,
                                 stride[0], stride[3], taps + tap * elements * size);
    g->grid.way->weights(elements, taps, elements, planes + (begin - c.begin) * g->width * size,
                         step);
  }
}

void fnn_winograd_pack(const fnn_winograd *g, fnn_team *team, char *panels) {
  const int64_t each = 64; /* channels */
  int64_t parts = ceil_div(g->grid.channels, each);
  fnn_range mine = fnn_share(g->panels * parts, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t c = i % parts * each, panel = i / parts * g->grid.planes * g->weights_step;
    fnn_range channels = {c, at_most(g->grid.channels, c + each)};
    fnn_winograd_weights(g, i / parts, channels, panels + (panel + c * g->width) * g->grid.size,
                         g->weights_step);
  }
}

/* --- a block --- */

/* Plane after plane, the products of a block's inputs with a slab's weights. */
static void winograd_multiply(const fnn_winograd *g, const fnn_winograd_part *b, const char *panels,
                              const char *in, char *out) {
  const fnn_gemm_kernels *gemm = &g->grid.kernels->gemm;
  int64_t size = g->grid.size, lanes = g->grid.kernels->lanes, c = g->grid.channels;
  int64_t height = ceil_div(b->count, ceil_div(b->count, gemm->direct_rows));
  int64_t panel = g->grid.planes * g->weights_step, first = b->o / g->width * panel;
  fnn_gemm_tile tile = {.k = c, .a_step = 1, .b_step = g->width};
  tile.a_row = fnn_winograd_pitch(&g->grid, c);
  tile.c_row = fnn_winograd_pitch(&g->grid, b->outputs);
  for (int64_t t = 0; t < g->grid.planes; t++)
    for (int64_t j = 0; j < b->outputs; j += g->width) {
      int64_t n = at_most(g->width, b->outputs - j), vectors = ceil_div(n, lanes);
      tile.last = n - (vectors - 1) * lanes;
      tile.b = panels + (first + j / g->width * panel + t * g->weights_step) * size;
      /* The next one comes into L2 meanwhile. */
      int last = j + g->width >= b->outputs;
      tile.next = last ? panels + (first + (t + 1) * g->weights_step) * size
                       : (const char *)tile.b + panel * size;
      tile.next_step = last && t + 1 == g->grid.planes ? 0 : 64;
      for (int64_t i = 0; i < b->count; i += height) {
        tile.a = in + (t * g->in_step + i * tile.a_row) * size;
        tile.c = out + (t * g->out_step + i * tile.c_row + j) * size;
        gemm->direct[(at_most(height, b->count - i) - 1) * gemm->cols + vectors - 1](&tile);
        tile.next = (const char *)tile.next + c * tile.next_step;
      }
    }
}

/* The chain, on the outputs of tiles from column `col` to that of p, of one row of tiles. */
static void winograd_finish(const fnn_winograd *g, const fnn_winograd_part *b,
                            const fnn_chain *chain, fnn_winograd_place p, int64_t col) {
  const int64_t *out = g->grid.out;
  int64_t m = g->grid.way->m, row = p.row * m, rows = at_most(m, out[0] - row);
  int64_t pixels = at_most(out[1], (p.col + 1) * m) - col * m;
  int64_t first = (p.image * out[0] + row) * out[1] + col * m;
  if (pixels == out[1]) {
    pixels *= rows;
    rows = 1;
  }
  for (int64_t r = 0; r < rows; r++)
    fnn_chain_block(chain, first + r * out[1], pixels, b->o, b->outputs);
}

void fnn_winograd_outputs(const fnn_winograd *g, const fnn_winograd_part *b, const char *planes,
                          const fnn_chain *chain) {
  const int64_t *out = g->grid.out;
  int64_t m = g->grid.way->m, size = g->grid.size;
  fnn_winograd_place p = fnn_winograd_place_of(&g->grid, b->first);
  int64_t begun = p.col;
  const char *bias = g->bias ? g->bias + b->o * size : NULL;
  int64_t pitch = fnn_winograd_pitch(&g->grid, b->outputs);
  for (int64_t i = 0; i < b->count; i++, fnn_winograd_next(&g->grid, &p)) {
    int64_t row = p.row * m, col = p.col * m;
    char *y = g->y + (((p.image * out[0] + row) * out[1] + col) * g->outputs + b->o) * size;
    g->grid.way->output(b->outputs, planes + i * pitch * size, g->out_step, bias,
                        (int)at_most(m, out[0] - row), (int)at_most(m, out[1] - col), y,
                        out[1] * g->outputs, g->outputs);
    if (!chain || (p.col + 1 < g->grid.across && i + 1 < b->count)) continue;
    winograd_finish(g, b, chain, p, begun);
    begun = 0;
  }
}

void fnn_winograd_plan(const fnn_conv *conv, fnn_plan *plan) {
  fnn_winograd g;
  winograd_prepare(conv, &g);
  plan->flops =
      2.0 * (double)(g.grid.tiles * g.grid.planes) * (double)(g.grid.channels * g.outputs);
  plan->bytes = fnn_bytes(&conv->x) + fnn_bytes(&conv->w) + fnn_bytes(&conv->y);
  plan->tasks = at_most(g.deep ? g.panels : g.blocks * g.slabs, fnn_conv_threads());
  plan->workspace = g.shared_bytes + plan->tasks * g.own_bytes;
}

static void winograd_run_blocks(const fnn_winograd *g, const char *panels, const fnn_chain *chain,
                                char *own, fnn_team *team) {
  char *out = own + g->own_bytes - g->out_bytes;
  int64_t total = g->blocks * g->slabs;
  for (int64_t i; (i = fnn_take(team)) < total;) {
    fnn_winograd_part b = {.first = i % g->blocks * g->block, .o = i / g->blocks * g->slab};
    b.count = at_most(g->block, g->grid.tiles - b.first);
    b.outputs = at_most(g->slab, g->outputs - b.o);
    if (b.count <= 0) continue;
    fnn_winograd_inputs(&g->grid, b.first, b.count, 0, g->grid.channels, own, g->in_step);
    winograd_multiply(g, &b, panels, own, out);
    fnn_winograd_outputs(g, &b, out, chain);
  }
  fnn_taken(team, total);
}

void fnn_winograd_run(const fnn_conv *conv, const fnn_chain *chain, fnn_team *team) {
  fnn_winograd g;
  winograd_prepare(conv, &g);
  if (g.deep) {
    fnn_winograd_run_deep(&g, chain, team);
    return;
  }
  const char *panels = g.weights;
  if (!g.packed) {
    fnn_winograd_pack(&g, team, team->workspace);
    fnn_team_barrier(team);
    panels = team->workspace;
  }
  winograd_run_blocks(&g, panels, chain, team->workspace + g.shared_bytes + team->id * g.own_bytes,
                      team);
}
