/* winograd_deep.c: with many channels. Transformed weights are up to four times as large as the weights, and to
 * write and read them all would take longer than to multiply them. So it is the inputs that are transformed
 * first, a block of tiles for all threads; then each thread draws panels of outputs, and transforms the weights
 * of a panel as it needs them: some channels at a time, which stay in its L2. */
#include "winograd.h"

/* Bytes of all panels from which they are not shared: with 256 channels (9 MB) and 256 tiles sharing was 1.15
 * times as fast, with 16 tiles 0.9 times, with 512 channels (38 MB) and 128 tiles 0.9 times, with 16 tiles 0.6
 * times. */
#define SHARED_BYTES (12 << 20)
#define SHARED_BYTES_OF_FEW (3 << 20)
#define FEW 64 /* tiles */

#define TILES 4 /* whose inputs are a task */

int fnn_winograd_is_deep(const fnn_winograd *g) {
  int64_t most = g->grid.tiles > FEW ? SHARED_BYTES : SHARED_BYTES_OF_FEW;
  return g->panels * g->grid.planes * g->weights_step * g->grid.size > most;
}

/* out = or += the products of a block's inputs, channels `c`, with a panel's weights. */
static void deep_multiply(const fnn_winograd *g, const fnn_winograd_part *b, fnn_range c,
                          const char *weights, const char *in, char *out) {
  const fnn_gemm_kernels *gemm = &g->grid.kernels->gemm;
  int64_t size = g->grid.size, lanes = g->grid.kernels->lanes,
          vectors = ceil_div(b->outputs, lanes);
  int64_t height = ceil_div(b->count, ceil_div(b->count, gemm->direct_rows));
  fnn_gemm_tile tile = {.k = c.end - c.begin,
                        .a_row = fnn_winograd_pitch(&g->grid, g->grid.channels),
                        .a_step = 1,
                        .b_step = g->width,
                        .c_row = fnn_winograd_pitch(&g->grid, b->outputs),
                        .last = b->outputs - (vectors - 1) * lanes};
  tile.add_row = tile.c_row;
  for (int64_t t = 0; t < g->grid.planes; t++) {
    tile.b = tile.next = weights + t * g->weights_step * size;
    for (int64_t i = 0; i < b->count; i += height) {
      tile.a = in + (t * g->in_step + i * tile.a_row + c.begin) * size;
      tile.c = out + (t * g->out_step + i * tile.c_row) * size;
      tile.add = c.begin ? tile.c : NULL;
      gemm->direct[(at_most(height, b->count - i) - 1) * gemm->cols + vectors - 1](&tile);
    }
  }
}

static void deep_inputs(const fnn_winograd *g, int64_t first, int64_t count, char *in,
                        fnn_team *team) {
  int64_t tasks = ceil_div(count, TILES);
  int64_t task = TILES * fnn_winograd_pitch(&g->grid, g->grid.channels) * g->grid.size;
  for (int64_t i; (i = fnn_take(team)) < tasks;)
    fnn_winograd_inputs(&g->grid, first + i * TILES, at_most(TILES, count - i * TILES), 0,
                        g->grid.channels, in + i * task, g->in_step);
  fnn_taken(team, tasks);
  fnn_team_barrier(team);
}

void fnn_winograd_run_deep(const fnn_winograd *g, const fnn_chain *chain, fnn_team *team) {
  char *in = team->workspace, *own = in + g->shared_bytes + team->id * g->own_bytes;
  char *out = own + g->own_bytes - g->out_bytes;
  for (int64_t first = 0; first < g->grid.tiles; first += g->block) {
    int64_t count = at_most(g->block, g->grid.tiles - first);
    deep_inputs(g, first, count, in, team);
    for (int64_t i; (i = fnn_take(team)) < g->panels;) {
      fnn_winograd_part b = {first, count, i * g->width,
                             at_most(g->width, g->outputs - i * g->width)};
      for (int64_t c = 0; c < g->grid.channels; c += g->chunk) {
        fnn_range channels = {c, at_most(g->grid.channels, c + g->chunk)};
        fnn_winograd_weights(g, i, channels, own, g->weights_step);
        deep_multiply(g, &b, channels, own, in, out);
      }
      fnn_winograd_outputs(g, &b, out, chain);
    }
    fnn_taken(team, g->panels);
    fnn_team_barrier(team);
  }
}
