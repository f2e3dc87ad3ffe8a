/* depthwise_grad_w.c: the weight gradient of convolutions of groups of few channels: see depthwise.h.
 *
 * The rows of dy, of all images, are cut into chunks, whose number depends on the shape alone. Each chunk sums
 * its own gradient, (KH, planes, KW, channels); then they are added up in their order and turned to dw's. */
#include <string.h>

#include "depthwise.h"
#include "map.h"

#define CHUNK 65536 /* elements of dy of a chunk, at least */
#define CHUNKS 32   /* at most; what they sum over is then long beside what adding them up takes */
#define SUM 2048    /* elements that are added up at a time */

typedef struct {
  fnn_depthwise d;
  int64_t chunks, elements, part_bytes; /* of one gradient */
} grad;

static grad grad_of(const fnn_conv *conv) {
  grad g = {.d = fnn_depthwise_of(conv, 0), .chunks = 1};
  double size =
      (double)conv->images * (double)conv->out[0] * (double)conv->out[1] * (double)conv->outputs;
  int64_t rows = conv->images * conv->out[0];
  while (g.chunks < CHUNKS && 2 * g.chunks <= rows && (double)g.chunks * CHUNK < size)
    g.chunks *= 2;
  g.elements = g.d.kernel[0] * g.d.kernel[1] * g.d.planes * g.d.channels;
  g.part_bytes = (g.elements * g.d.size + 63) / 64 * 64;
  return g;
}

void fnn_depthwise_grad_w_plan(const fnn_conv *conv, fnn_plan *plan) {
  grad g = grad_of(conv);
  plan->tasks = at_least(1, at_most(g.chunks, fnn_conv_threads()));
  plan->workspace = g.chunks * g.part_bytes + g.d.index_bytes + plan->tasks * g.d.spread_bytes;
  plan->flops = fnn_conv_flops(conv);
  plan->bytes = fnn_bytes(&conv->x) + fnn_bytes(&conv->y) + fnn_bytes(&conv->w);
}

/* The rows from `row` of dy's rows of one image, n channels from c, into the gradient `to`. */
static void add_rows(const grad *g, int64_t image, int64_t row, int64_t rows, int64_t c, int64_t n,
                     const int64_t *index, char *room, char *to) {
  const fnn_depthwise *d = &g->d;
  const int64_t *stride = d->out.stride;
  fnn_depthwise_source from = fnn_depthwise_read(d, image, row, rows, c, n, index, room);
  fnn_depthwise_phase columns = fnn_depthwise_phase_of(d, 1, 0);
  for (int64_t i = row; i < row + rows; i++) {
    fnn_depthwise_line line = fnn_depthwise_line_of(d, &from, i, &columns, to + c * d->size);
    line.channels = n;
    line.y = (char *)d->out.data + (image * stride[0] + i * stride[1] + c) * d->size;
    line.y_col = stride[2];
    fnn_depthwise_look_ahead(d, &from, i, &line);
    d->kernels->depthwise.grad(&line);
  }
}

/* Chunk i. */
static void sum_chunk(const grad *g, int64_t i, const int64_t *index, char *room, char *to) {
  const fnn_depthwise *d = &g->d;
  int64_t height = d->out_size[0], all = d->images * height, each = all / g->chunks;
  int64_t more = all % g->chunks, begin = i * each + at_most(i, more);
  int64_t end = begin + each + (i < more);
  memset(to, 0, (size_t)(g->elements * d->size));
  for (int64_t c = 0; c < d->channels; c += d->block)
    for (int64_t at = begin, rows; at < end; at += rows) {
      rows = at_most(d->strip, height - at % height);
      rows = at_most(rows, end - at);
      add_rows(g, at / height, at % height, rows, c, at_most(d->block, d->channels - c), index,
               room, to);
    }
}

/* The chunks' gradients added up into the first one's place, in their order. */
static void add_up(const grad *g, char *parts, const fnn_team *team) {
  fnn_range mine = fnn_share((g->elements + SUM - 1) / SUM, team);
  const void *rows[CHUNKS];
  for (int64_t s = mine.begin; s < mine.end; s++) {
    int64_t at = s * SUM * g->d.size;
    for (int64_t i = 0; i < g->chunks; i++) rows[i] = parts + i * g->part_bytes + at;
    g->d.kernels->reduce.cols[FNN_REDUCE_SUM](g->chunks, at_most(SUM, g->elements - s * SUM), rows,
                                              parts + at, NULL);
  }
}

/* (KH, planes, KW, O) to dw's (O, KH, KW, planes). */
static void put(const fnn_depthwise *d, const char *from, const fnn_team *team) {
  int64_t kw = d->kernel[1], taps = d->kernel[0] * kw, all = d->channels, size = d->size;
  const fnn_array *dw = &d->w;
  fnn_range mine = fnn_share((all + 63) / 64, team);
  int64_t first = mine.begin * 64, n = at_most(all, mine.end * 64) - first;
  if (n <= 0) return;
  char *to = (char *)dw->data + first * taps * d->planes * size;
  from += first * size;
  if (d->planes == 1) {
    d->kernels->move.transpose(taps, n, from, all, to, taps);
    return;
  }
  for (int64_t row = 0; row < d->kernel[0]; row++)
    for (int64_t j = 0; j < d->planes; j++)
      fnn_copy_block(size, n, kw, from + (row * d->planes + j) * kw * all * size, 1, all,
                     to + (row * kw * d->planes + j) * size, taps * d->planes, d->planes);
}

void fnn_depthwise_grad_w_run(const fnn_conv *conv, fnn_team *team) {
  grad g = grad_of(conv);
  char *parts = team->workspace;
  int64_t *index = (int64_t *)(parts + g.chunks * g.part_bytes);
  char *room = (char *)index + g.d.index_bytes + team->id * g.d.spread_bytes;
  if (g.d.spread) {
    if (team->id == 0) fnn_depthwise_make_index(&g.d, index);
    fnn_team_barrier(team);
  }
  fnn_range mine = fnn_share(g.chunks, team);
  for (int64_t i = mine.begin; i < mine.end; i++)
    sum_chunk(&g, i, index, room, parts + i * g.part_bytes);
  fnn_team_barrier(team);
  add_up(&g, parts, team);
  fnn_team_barrier(team);
  put(&g.d, parts, team);
}
