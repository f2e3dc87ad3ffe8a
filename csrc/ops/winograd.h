/* winograd.h: convolutions with kernels of 3 x 3, stride 1 and dilation 1 by Winograd's short convolutions (see
 * kernels/winograd.h). They multiply 4 times less than sums over taps with tiles of 4 x 4 outputs, 2.25 times
 * less with tiles of 2 x 2, and round otherwise. */
#ifndef FNN_OPS_WINOGRAD_H
#define FNN_OPS_WINOGRAD_H

#include "conv.h"

/* Images x (images, in[0], in[1], channels), zero around them, and the tiles of outputs made from them. Output
 * (i, j) reads x from (i - pad[0], j - pad[1]); pads may be negative. Strides count elements. */
typedef struct {
  const fnn_kernels *kernels;
  const fnn_winograd_way *way;
  int64_t size, planes; /* bytes of an element, a * a */
  const char *x;
  int64_t stride[4];
  int64_t images, in[2], channels, out[2], pad[2];
  int64_t down, across, tiles; /* of an image, each way, and of all */
} fnn_winograd_grid;

/* A tile of the grid. */
typedef struct {
  int64_t image, row, col;
} fnn_winograd_place;

static inline fnn_winograd_place fnn_winograd_place_of(const fnn_winograd_grid *g, int64_t tile) {
  int64_t row = tile / g->across;
  return (fnn_winograd_place){row / g->down, row % g->down, tile % g->across};
}

static inline void fnn_winograd_next(const fnn_winograd_grid *g, fnn_winograd_place *p) {
  if (++p->col < g->across) return;
  p->col = 0;
  if (++p->row < g->down) return;
  p->row = 0;
  p->image++;
}

/* Elements from plane to plane of so many: a line more, as with channels a power of two the lines of a tile
 * would else all fall into one set of the cache. */
static inline int64_t fnn_winograd_step(int64_t elements, int64_t size) {
  return (ceil_div(elements * size, 64) + 1) * (64 / size);
}

/* Elements from row to row of a plane of n columns: whole vectors. */
static inline int64_t fnn_winograd_pitch(const fnn_winograd_grid *g, int64_t n) {
  return ceil_div(n, g->kernels->lanes) * g->kernels->lanes;
}

/* The tiles of m x m of what a convolution makes, from what it reads. */
fnn_winograd_grid fnn_winograd_grid_of(const fnn_conv *conv, int m);

/* Tiles `first` to before first + count, channels c to before c + n -> planes (count, n), `step` apart. */
void fnn_winograd_inputs(const fnn_winograd_grid *g, int64_t first, int64_t count, int64_t c,
                         int64_t n, char *planes, int64_t step);

/* --- the convolution, and the gradient of its data (winograd.c) ---
 *
 * Weights are transformed into panels of `width` outputs, in which plane after plane is a matrix (channels,
 * width): see fnn_conv_width. */
typedef struct {
  fnn_winograd_grid grid;
  int64_t outputs, weights_stride[4]; /* of the weights: output, row, column, channel */
  const char *weights, *bias;
  int packed; /* weights are what conv_pack made */
  char *y;
  int deep;                     /* too many channels for shared panels: see winograd_deep.c */
  int64_t width, panels;        /* outputs of a panel, panels */
  int64_t slab, slabs;          /* outputs of a slab, whole panels; slabs */
  int64_t block, blocks;        /* tiles of a block, blocks */
  int64_t weights_step;         /* elements between planes: of a panel, */
  int64_t in_step, out_step;    /* of a block's inputs and outputs */
  int64_t chunk;                /* channels at a time, if deep */
  int64_t shared_bytes;         /* of what all threads share */
  int64_t own_bytes, out_bytes; /* of what a thread has; its outputs are last */
} fnn_winograd;

/* Tiles first to before first + count of the grid, outputs o to before o + outputs, whole panels. */
typedef struct {
  int64_t first, count, o, outputs;
} fnn_winograd_part;

/* Its weights, for tiles of m x m: all but how the tiles are cut. */
void fnn_winograd_read(const fnn_conv *conv, int m, fnn_winograd *g);

/* This thread's share of all panels. */
void fnn_winograd_pack(const fnn_winograd *g, fnn_team *team, char *panels);

/* Channels c.begin to before c.end of a panel -> planes (c.end - c.begin, width), `step` apart. */
void fnn_winograd_weights(const fnn_winograd *g, int64_t panel, fnn_range c, char *planes,
                          int64_t step);

/* Planes (count, outputs) -> a part's outputs, then the chain on them. */
void fnn_winograd_outputs(const fnn_winograd *g, const fnn_winograd_part *b, const char *planes,
                          const fnn_chain *chain);

/* --- with many channels (winograd_deep.c) --- */
int fnn_winograd_is_deep(const fnn_winograd *g);
void fnn_winograd_run_deep(const fnn_winograd *g, const fnn_chain *chain, fnn_team *team);

#endif
