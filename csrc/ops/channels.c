/* channels.c: how an array of channels is cut; see channels.h. */
#include "channels.h"

#include <math.h>
#include <string.h>

#define WIDE FNN_CHANNELS_WIDE
/* Elements of a chunk: enough that what is done once for each (replicated coefficients, sums across columns)
 * costs some percent of it, few enough that an image or two in L2 keep two threads busy. */
#define CHUNK 32768
#define CHUNKS 64     /* chunks of a slab, where they are not too large for it */
#define LEAST_ROWS 64 /* of a chunk: its sums take as much room as one or two rows */
#define MOST_ROWS \
  8192            /* of kernels' rows in a chunk: its sums are of so many numbers in a column */
#define VECTORS 4 /* vectors of a kernel's row, at least: as many sums are independent */

static int64_t greatest(int64_t a, int64_t b, int64_t c) {
  return a > b ? (a > c ? a : c) : (b > c ? b : c);
}

/* Rows of `width` numbers that touch, taken as one so that it is of whole vectors, VECTORS of them or more. */
static int64_t fold_of(int64_t width, int64_t lanes) {
  int64_t fold = 1;
  while ((fold * width < VECTORS * lanes || fold * width % lanes) && 2 * fold * width <= WIDE)
    fold *= 2;
  return fold;
}

fnn_channels fnn_channels_of(const fnn_array *x, int columns, int64_t groups, int each_sample) {
  int64_t lanes = fnn_kernels_of(x->dtype)->lanes, length = 1;
  int last = columns && x->ndim == 3;
  if (x->ndim == 3) length = x->shape[last ? 1 : 2];
  fnn_channels c = {.x = x,
                    .samples = x->shape[0],
                    .channels = x->shape[last ? 2 : 1],
                    .length = length,
                    .columns = columns || length == 1,
                    .slabs = each_sample ? x->shape[0] : 1};
  c.groups = groups ? groups : c.channels;
  c.count = each_sample ? length : c.samples * length;
  if (fnn_size(x) == 0) return c;
  if (c.columns) {
    c.width = fnn_smaller(c.channels, WIDE);
    c.strips = fnn_ceil_div(c.channels, WIDE);
    c.fold = c.strips == 1 ? fold_of(c.width, lanes) : 1;
    int64_t rows = greatest(fnn_ceil_div(c.count, CHUNKS), CHUNK / c.width, LEAST_ROWS);
    /* Chunks alike, none of a few rows; more of them where no other slab keeps a second thread busy. */
    int64_t chunks = c.slabs > 1 && c.count > rows ? c.count / rows : fnn_ceil_div(c.count, rows);
    rows = fnn_ceil_div(c.count, chunks);
    rows = fnn_smaller(rows, MOST_ROWS * c.fold);
    c.chunk_rows = fnn_ceil_div(rows, c.fold) * c.fold;
    c.chunk_length = 1;
    c.chunks = fnn_ceil_div(c.count, c.chunk_rows);
  } else {
    c.width = 1;
    c.strips = c.channels;
    c.fold = fold_of(1, lanes);
    c.chunk_length = fnn_smaller(length, CHUNK);
    c.chunk_rows = each_sample ? 1 : fnn_ceil_div(CHUNK, c.chunk_length);
    c.chunks = fnn_ceil_div(c.count / length, c.chunk_rows) * fnn_ceil_div(length, c.chunk_length);
  }
  c.tasks = c.slabs * c.chunks * c.strips;
  return c;
}

/* Which lines of its slab a chunk has, and what of each; with columns, rows and their one element. */
typedef struct {
  int64_t line, lines, begin, length;
} extent;

static extent extent_of(const fnn_channels *c, int64_t chunk) {
  int64_t along = c->columns ? 1 : c->length, parts = fnn_ceil_div(along, c->chunk_length);
  extent e = {.line = chunk / parts * c->chunk_rows, .begin = chunk % parts * c->chunk_length};
  e.lines = fnn_smaller(c->chunk_rows, c->count / along - e.line);
  e.length = fnn_smaller(c->chunk_length, along - e.begin);
  return e;
}

int64_t fnn_channels_counted(const fnn_channels *c, int64_t chunk) {
  extent e = extent_of(c, chunk);
  return e.lines * e.length;
}

fnn_channels_piece fnn_channels_piece_of(const fnn_channels *c, int64_t task) {
  int64_t strip = task % c->strips;
  task /= c->strips;
  fnn_channels_piece p = {.slab = task / c->chunks, .chunk = task % c->chunks};
  extent e = extent_of(c, p.chunk);
  int64_t start = p.slab * c->count * c->channels, run;
  p.channel = strip * c->width;
  p.width = fnn_smaller(c->width, c->channels - p.channel);
  p.lines = 1;
  p.n = p.step = c->fold * p.width;
  if (c->columns) {
    p.first = start + e.line * c->channels + p.channel;
    run = e.lines * p.width;
    if (c->strips > 1) p.step = c->channels;
  } else {
    p.apart = c->channels * c->length;
    p.first = start + e.line * p.apart + p.channel * c->length + e.begin;
    p.lines = e.lines;
    run = e.length;
  }
  p.m = run / p.n;
  p.tail = run % p.n;
  return p;
}

void fnn_channels_start(fnn_channels_table *t, double low, double high) {
  t->forward = (fnn_channels_forward){.center = t->center,
                                      .scale = t->scale,
                                      .offset = t->offset,
                                      .low = isinf(low) ? NAN : low,
                                      .high = isinf(high) ? NAN : high};
  t->backward = (fnn_channels_backward){t->gain, t->slope, t->flat};
  t->slab = t->channel = -1;
}

/* The end of the last vector that holds some of n elements; whole lines are of whole vectors. */
static int64_t padded(int64_t n) { return fnn_smaller(WIDE, n + 16); }

void fnn_channels_zero(const fnn_channels_piece *p, double *line) {
  memset(line, 0, (size_t)padded(p->n) * sizeof(double));
}

void fnn_line_get(int dtype, int64_t n, const void *line, double *restrict values) {
  const float *restrict from = line;
  if (dtype == FNN_F32)
    for (int64_t i = 0; i < n; i++) values[i] = (double)from[i];
  else
    memcpy(values, line, (size_t)n * sizeof(double));
}

void fnn_line_put(int dtype, int64_t n, const double *restrict values, void *line) {
  float *restrict to = line;
  if (dtype == FNN_F32)
    for (int64_t i = 0; i < n; i++) to[i] = (float)values[i];
  else
    memcpy(line, values, (size_t)n * sizeof(double));
}

void fnn_channels_totals(int dtype, const fnn_channels_piece *p, const void *line, double *totals) {
  double values[WIDE];
  int64_t width = p->width;
  if (p->n == width) {
    fnn_line_get(dtype, width, line, totals);
    return;
  }
  fnn_line_get(dtype, p->n, line, values);
  for (int64_t i = 0; i < width; i++) {
    totals[i] = values[i];
    for (int64_t k = i + width; k < p->n; k += width) totals[i] += values[k];
  }
}

void fnn_channels_spread(const fnn_channels *c, const fnn_array *statistic, int64_t slab,
                         int64_t channel, int64_t width, double *line) {
  int64_t size = c->channels / c->groups, at = slab * c->groups + channel / size;
  if (size == 1) {
    fnn_line_get(statistic->dtype, width, fnn_at(statistic, at), line);
    return;
  }
  int64_t end = size - channel % size; /* of the group */
  for (int64_t i = 0; i < width; at++, end += size) {
    double value = fnn_real_at(statistic, at);
    for (int64_t stop = fnn_smaller(end, width); i < stop; i++) line[i] = value;
  }
}

void fnn_channels_values(const fnn_array *a, int64_t channel, int64_t width, double otherwise,
                         double *line) {
  if (fnn_present(a)) {
    fnn_line_get(a->dtype, width, fnn_at(a, channel), line);
    return;
  }
  for (int64_t i = 0; i < width; i++) line[i] = otherwise;
}

void fnn_channels_repeat(const fnn_channels *c, const fnn_channels_piece *p, void *line) {
  int64_t size = fnn_itemsize(c->x->dtype);
  char *at = line;
  for (int64_t have = p->width; have < p->n; have *= 2)
    memcpy(at + have * size, at, (size_t)(fnn_smaller(have, p->n - have) * size));
  memset(at + p->n * size, 0, (size_t)((padded(p->n) - p->n) * size));
}
