/* pool_grad_max.c: the gradient of maxima; the contract is in pool.c. Three ways to the same sums:
 *
 *   apart    windows that do not overlap: a thread goes through windows and writes all of their pixels
 *   cover    windows that overlap: it goes through pixels (pool_cover.c)
 *   places   of few channels: a band of rows of dx is cleared, and each window over it adds dy at its place, one
 *            number read and written for each window, whatever its size
 *
 * In each a pixel of dx belongs to one thread, and its sum runs over windows from the top left on. */
#include <string.h>

#include "pool.h"

/* Of so many channels vectors are faster than single numbers at their places (measured, avx512, float32: 3x3 windows
 * of stride 2, 64 channels 0.64 ns a window against 2 to 3; 1 channel 10 against 3). */
#define MANY 16
/* Of windows of so many taps that overlap, places are faster whatever the channels, 1.3 to 3.8 times (measured, 16 to
 * 256 channels, windows of 5x5 to 9x9), where images are one band each, and enough of them for all threads; windows
 * over two bands cost half of the speed. */
#define LARGE 25
#define IMAGES 16
#define BAND ((int64_t)64 << 10) /* elements of dx in a band, about: it stays in L2 */
#define NOWHERE (INT64_MIN / 2)

typedef struct {
  fnn_pool p;
  const fnn_array *dy, *places, *y, *dx; /* y may be absent */
  enum { APART, COVER, PLACES } way;
  int64_t rows, bands; /* of dx in a band, and bands to an image */
  int64_t tasks;
} max_grad;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int overlaps(const fnn_pool_axis *a) {
  return a->adaptive || (a->dilation > 1 && a->kernel > 1) || a->stride < a->kernel;
}

static max_grad grad_of(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  max_grad g = {.dy = &a[0], .places = &a[1], .y = &a[2], .dx = &a[3]};
  g.p = fnn_pool_of(call, g.dx, g.dy);
  const fnn_pool *p = &g.p;
  /* windows over two bands are read for both: a band is of several times their rows */
  int64_t reach = 2 * ((p->h.kernel - 1) * p->h.dilation + 1), half = (p->h.in + 1) / 2;
  g.rows = larger(BAND / larger(1, p->w.in * p->channels), smaller(reach, half));
  g.rows = smaller(p->h.in, larger(1, g.rows));
  g.bands = (p->h.in + g.rows - 1) / g.rows;
  const int overlap = overlaps(&p->h) || overlaps(&p->w);
  const int large = p->h.kernel * p->w.kernel >= LARGE && g.bands == 1 && p->samples >= IMAGES;
  g.way = p->channels < MANY || (overlap && large) ? PLACES : overlap ? COVER : APART;
  g.tasks = p->samples * (g.way == APART ? p->h.out : g.bands);
  return g;
}

fnn_status fnn_pool_grad_max_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  max_grad g = grad_of(call);
  if (g.way == COVER) return fnn_pool_cover_plan(call, plan, why);
  plan->tasks = larger(1, g.tasks);
  return FNN_OK;
}

static char *element(const fnn_array *a, int64_t i) {
  return fnn_present(a) ? (char *)a->data + i * fnn_itemsize(a->dtype) : NULL;
}

static void clear(const fnn_array *a, int64_t begin, int64_t n) {
  memset(element(a, begin), 0, (size_t)(n * fnn_itemsize(a->dtype)));
}

/* The index in y of window (oh, ow) of image n, and that in dx of pixel (ih, iw). */
static int64_t window_at(const max_grad *g, int64_t n, int64_t oh, int64_t ow) {
  return ((n * g->p.h.out + oh) * g->p.w.out + ow) * g->p.channels;
}
static int64_t pixel_at(const max_grad *g, int64_t n, int64_t ih, int64_t iw) {
  return ((n * g->p.h.in + ih) * g->p.w.in + iw) * g->p.channels;
}

/* The first tap of window o, which may be in the padding. */
static int64_t corner_of(const fnn_pool_axis *a, int64_t o) {
  return a->adaptive ? o * a->in / a->out : fnn_pool_first(a, o);
}

/* --- windows that do not overlap: the rows of dx from those of window row oh to those of the next --- */
static void apart_row(const max_grad *g, int64_t n, int64_t oh) {
  const fnn_pool *p = &g->p;
  const fnn_pool_kernels *k = &fnn_kernels_of(g->dx->dtype)->pool;
  const int64_t first = fnn_pool_first(&p->h, oh), row = p->w.in * p->channels;
  const int64_t begin = oh ? smaller(p->h.in, larger(0, first)) : 0;
  const int64_t end =
      oh + 1 < p->h.out ? larger(0, smaller(p->h.in, first + p->h.stride)) : p->h.in;
  const fnn_pool_span rows = fnn_pool_span_at(&p->h, oh);
  /* what no window reaches: gaps between windows, rows and columns after the last */
  const int64_t reach = larger(0, smaller(p->w.in, fnn_pool_first(&p->w, p->w.out)));
  for (int64_t ih = begin; ih < end; ih++) {
    int64_t from =
        ih < rows.first || ih >= rows.first + rows.count || p->w.stride > p->w.kernel ? 0 : reach;
    clear(g->dx, pixel_at(g, n, ih, from), (p->w.in - from) * p->channels);
  }
  const fnn_pool_range inner = fnn_pool_inner(&p->w);
  for (int64_t ow = 0, alike; ow < p->w.out; ow += alike) {
    alike = fnn_pool_alike(inner, ow, p->w.out);
    fnn_pool_windows w = fnn_pool_windows_at(p, oh, ow, alike, row, p->channels);
    if (w.rows <= 0 || w.cols <= 0) continue;
    int64_t at = window_at(g, n, oh, ow);
    int64_t to = pixel_at(g, n, rows.first, fnn_pool_span_at(&p->w, ow).first);
    k->max_apart(&w, element(g->dy, at), element(g->places, at), g->places->dtype == FNN_I32,
                 element(g->y, at), element(g->dx, to));
  }
}

/* --- places --- */

/* Windows of a row over a band. */
typedef struct {
  const max_grad *g;
  uint64_t first, size;            /* the band: its first element of dx, and how many */
  int64_t offset[FNN_POOL_PLACES]; /* from a window's corner to a place */
} taps;

/* How far a place is from its window's corner; far outside for those that somebody made up. */
static int64_t offset_of(const fnn_pool *p, int64_t place) {
  int64_t r = place / p->w.kernel, q = place % p->w.kernel;
  if (place < 0 || r >= p->h.kernel) return NOWHERE;
  return (r * p->h.dilation * p->w.in + q * p->w.dilation) * p->channels;
}

/* Elements are gone through in two loops, the longer one inside, of pixels or of channels. */
typedef struct {
  int64_t outer, inner, outer_dy, inner_dy, outer_dx, inner_dx;
} walk;

static walk walk_of(const fnn_pool *p, int64_t windows) {
  const int64_t c = p->channels, step = p->w.stride * c;
  return c < windows ? (walk){c, windows, 1, c, 1, step} : (walk){windows, c, c, 1, step, 1};
}

/* dx += dy at the places that are in the band; and the same of int32 places, and only where y is above 0. */
#define ADD(real)                                                                           \
  static void add_##real(const taps *t, const walk *w, int64_t corner, const real *dy,      \
                         const uint8_t *place, real *dx) {                                  \
    for (int64_t a = 0; a < w->outer; a++)                                                  \
      for (int64_t b = 0; b < w->inner; b++) {                                              \
        int64_t i = a * w->outer_dy + b * w->inner_dy;                                      \
        int64_t at = corner + a * w->outer_dx + b * w->inner_dx + t->offset[place[i]];      \
        if ((uint64_t)at - t->first < t->size) dx[at] += dy[i];                             \
      }                                                                                     \
  }                                                                                         \
  static void add_some_##real(const taps *t, const walk *w, int64_t corner, const real *dy, \
                              const void *places, const real *y, real *dx) {                \
    const int wide = t->g->places->dtype == FNN_I32;                                        \
    for (int64_t a = 0; a < w->outer; a++)                                                  \
      for (int64_t b = 0; b < w->inner; b++) {                                              \
        int64_t i = a * w->outer_dy + b * w->inner_dy;                                      \
        int64_t at = corner + a * w->outer_dx + b * w->inner_dx;                            \
        at += wide ? offset_of(&t->g->p, ((const int32_t *)places)[i])                      \
                   : t->offset[((const uint8_t *)places)[i]];                               \
        if ((uint64_t)at - t->first < t->size) dx[at] += y && y[i] <= 0 ? 0 : dy[i];        \
      }                                                                                     \
  }
ADD(float)
ADD(double)

/* What windows from (oh, ow) on give to the band. */
static void add_windows(const taps *t, int64_t n, int64_t oh, int64_t ow, int64_t windows) {
  const max_grad *g = t->g;
  const fnn_pool *p = &g->p;
  const walk w = walk_of(p, windows);
  const int64_t i = window_at(g, n, oh, ow);
  const int64_t corner = pixel_at(g, n, corner_of(&p->h, oh), corner_of(&p->w, ow));
  const int simple = g->places->dtype == FNN_U8 && !fnn_present(g->y);
  void *dy = element(g->dy, i), *y = element(g->y, i), *places = element(g->places, i);
  if (simple && g->dx->dtype == FNN_F32)
    add_float(t, &w, corner, dy, places, g->dx->data);
  else if (simple)
    add_double(t, &w, corner, dy, places, g->dx->data);
  else if (g->dx->dtype == FNN_F32)
    add_some_float(t, &w, corner, dy, places, y, g->dx->data);
  else
    add_some_double(t, &w, corner, dy, places, y, g->dx->data);
}

static void band(taps *t, int64_t n, int64_t begin, int64_t end) {
  const fnn_pool *p = &t->g->p;
  const int64_t row = p->w.in * p->channels, at = pixel_at(t->g, n, begin, 0);
  t->first = (uint64_t)at, t->size = (uint64_t)((end - begin) * row);
  clear(t->g->dx, at, (end - begin) * row);
  int64_t oh = fnn_pool_over(&p->h, begin).begin, last = fnn_pool_over(&p->h, end - 1).end;
  for (; oh < last; oh++) {
    int64_t windows = p->w.adaptive ? 1 : p->w.out;
    for (int64_t ow = 0; ow < p->w.out; ow += windows) add_windows(t, n, oh, ow, windows);
  }
}

void fnn_pool_grad_max_run(const fnn_call *call, fnn_team *team) {
  max_grad g = grad_of(call);
  if (g.way == COVER) {
    fnn_pool_cover_run(call, team);
    return;
  }
  taps list = {.g = &g};
  fnn_range mine = fnn_share(g.tasks, team);
  for (int64_t i = 0; i < FNN_POOL_PLACES; i++) list.offset[i] = offset_of(&g.p, i);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    if (g.way == APART) {
      apart_row(&g, t / g.p.h.out, t % g.p.h.out);
    } else {
      int64_t begin = t % g.bands * g.rows;
      band(&list, t / g.bands, begin, smaller(g.p.h.in, begin + g.rows));
    }
  }
}
