/* pool_grad_average.c: the gradient of averages; the contract is in pool.c.
 *
 * A row of dx is made in two steps: the rows of windows over it are added up, each with its weight, as one long
 * line of numbers whatever the channels are; and each pixel adds up the windows of that line over it, from the
 * left on. Rows below the same windows are copies. */
#include <string.h>

#include "pool.h"

#define TASKS 128 /* most; each has room for two lines */
#define FEW 8     /* channels, below which vectors are of pixels that are not neighbours */
#define TERMS 64  /* windows that are added up at a time */

typedef struct {
  fnn_pool p;
  const fnn_array *dy, *dx;
  int64_t rows, tasks, line; /* of dx; a line's bytes */
  fnn_pool_range even;       /* windows along a row that weigh the same */
} average_grad;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* The windows along a row whose averages have one divisor; of others each is taken by itself. */
static fnn_pool_range evenly_weighted(const fnn_pool *p) {
  fnn_pool_range all = {0, p->w.out};
  if (p->divisor) return all;
  if (!p->count_pad || p->w.adaptive) return fnn_pool_inner(&p->w);
  while (all.end > 0 && fnn_pool_extent(p, &p->w, all.end - 1) < p->w.kernel) all.end--;
  return all;
}

static average_grad grad_of(const fnn_call *call) {
  average_grad g = {.dy = &call->arrays[0], .dx = &call->arrays[1]};
  g.p = fnn_pool_of(call, g.dx, g.dy);
  g.rows = g.p.samples * g.p.h.in;
  g.even = evenly_weighted(&g.p);
  g.tasks = smaller(TASKS, g.rows);
  g.line = (g.p.w.out * g.p.channels * fnn_itemsize(g.dx->dtype) + 63) / 64 * 64;
  return g;
}

fnn_status fnn_pool_grad_average_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  (void)why;
  average_grad g = grad_of(call);
  plan->tasks = larger(1, g.tasks);
  plan->workspace = g.tasks * 2 * g.line;
  return FNN_OK;
}

static char *element(const fnn_array *a, int64_t i) {
  return (char *)a->data + i * fnn_itemsize(a->dtype);
}

/* Sums that terms are added to one by one, TERMS or all of one weight at a time. */
typedef struct {
  const average_grad *g;
  const void *from;
  void *to;
  fnn_pool_pixels pixels;
  double weight;
  int add;
  fnn_pool_term *term;
} sums;

static void put(sums *s) {
  s->pixels.term = s->term;
  fnn_kernels_of(s->g->dx->dtype)->pool.blend(&s->pixels, s->weight, s->from, s->add, s->to);
  s->pixels.terms = 0, s->add = 1;
}

static void add_term(sums *s, int64_t at, double weight) {
  if (s->pixels.terms == TERMS || (s->pixels.terms && weight != s->weight)) put(s);
  s->weight = weight;
  s->term[s->pixels.terms++].at = at;
}

static void finish(sums *s) {
  const fnn_pool_pixels *p = &s->pixels;
  const int64_t size = fnn_itemsize(s->g->dx->dtype);
  if (p->terms) put(s);
  if (s->add) return;
  for (int64_t i = 0; i < p->pixels; i++)
    memset((char *)s->to + i * p->pixel_step * size, 0, (size_t)(p->channels * size));
}

/* line = the rows of windows over row ih, each times its weight. */
static void add_lines(const average_grad *g, int64_t n, fnn_pool_range over, int64_t ih,
                      char *line) {
  const fnn_pool *p = &g->p;
  const int64_t c = p->channels, size = fnn_itemsize(g->dx->dtype);
  for (int64_t ow = 0, run; ow < p->w.out; ow += run) {
    run = fnn_pool_alike(g->even, ow, p->w.out);
    const int64_t wide = p->divisor ? 1 : fnn_pool_extent(p, &p->w, ow);
    fnn_pool_term term[TERMS];
    sums s = {.g = g,
              .term = term,
              .from = element(g->dy, (n * p->h.out * p->w.out + ow) * c),
              .to = line + ow * c * size,
              .pixels = {.pixels = 1, .channels = run * c}};
    for (int64_t oh = over.begin; oh < over.end; oh++) {
      if (fnn_pool_tap(&p->h, oh, ih) < 0) continue;
      int64_t by = p->divisor ? p->divisor : wide * fnn_pool_extent(p, &p->h, oh);
      add_term(&s, oh * p->w.out * c, 1 / (double)by);
    }
    finish(&s);
  }
}

/* Pixels of few channels that lie side by side go where they belong. */
#define SCATTER(real)                                                             \
  static void scatter_##real(const fnn_pool_pixels *p, const real *restrict from, \
                             real *restrict to) {                                 \
    for (int64_t c = 0; c < p->channels; c++)                                     \
      for (int64_t i = 0; i < p->pixels; i++)                                     \
        to[i * p->pixel_step + c] = from[i * p->channels + c];                    \
  }
SCATTER(float)
SCATTER(double)

/* Pixels of dx from iw on, so many pixels and windows apart, from a line. Those of few channels that lie apart are
 * made side by side, as one long vector, behind the line; there are no more of them than windows. */
static void gather(const average_grad *g, char *line, char *dx, int64_t iw, int64_t pixels,
                   int64_t apart, int64_t windows_apart) {
  const fnn_pool_axis *w = &g->p.w;
  const int64_t c = g->p.channels;
  const int few = c < FEW && apart > 1 && pixels > 1;
  void *to = dx + iw * c * fnn_itemsize(g->dx->dtype);
  fnn_pool_pixels list = {
      .pixels = pixels, .pixel_step = apart * c, .window_step = windows_apart * c, .channels = c};
  fnn_pool_term term[TERMS];
  sums s = {.g = g, .from = line, .to = few ? line + g->line : to, .pixels = list, .term = term};
  if (few) s.pixels.pixel_step = c;
  const fnn_pool_range over = fnn_pool_over(w, iw);
  for (int64_t ow = over.begin; ow < over.end; ow++)
    if (fnn_pool_tap(w, ow, iw) >= 0) add_term(&s, ow * c, 1);
  finish(&s);
  if (few && g->dx->dtype == FNN_F32)
    scatter_float(&list, s.to, to);
  else if (few)
    scatter_double(&list, s.to, to);
}

/* Where the windows over column iw are no longer those over the columns from there on. */
static int64_t alike_until(const fnn_pool_axis *w, int64_t iw) {
  const fnn_pool_range over = fnn_pool_over(w, iw);
  if (w->dilation > 1 || over.begin >= over.end) return iw + 1;
  const fnn_pool_span first = fnn_pool_span_at(w, over.begin);
  int64_t until = first.first + first.count;
  if (over.end < w->out) until = smaller(until, fnn_pool_span_at(w, over.end).first);
  return larger(iw + 1, until);
}

/* Columns [iw, end) of a row, those below the same windows at a time. */
static void gather_each(const average_grad *g, char *line, char *dx, int64_t iw, int64_t end) {
  for (int64_t until; iw < end; iw = until) {
    until = smaller(end, alike_until(&g->p.w, iw));
    gather(g, line, dx, iw, until - iw, 1, 0);
  }
}

static void gather_row(const average_grad *g, char *line, char *dx) {
  const int64_t step = g->p.w.stride;
  const fnn_pool_range even = fnn_pool_even(&g->p.w);
  gather_each(g, line, dx, 0, even.begin);
  for (int64_t iw = even.begin; iw < smaller(even.end, even.begin + step); iw++)
    gather(g, line, dx, iw, (even.end - iw + step - 1) / step, step, 1);
  gather_each(g, line, dx, even.end, g->p.w.in);
}

/* The rows of windows over row ih of an image are those over the row before. */
static int same_windows(const fnn_pool_axis *h, int64_t ih) {
  fnn_pool_range over = fnn_pool_over(h, ih), before = fnn_pool_over(h, ih - 1);
  return h->dilation == 1 && over.begin == before.begin && over.end == before.end;
}

void fnn_pool_grad_average_run(const fnn_call *call, fnn_team *team) {
  average_grad g = grad_of(call);
  const fnn_pool *p = &g.p;
  const int64_t row = p->w.in * p->channels;
  char *line = team->workspace + team->id * 2 * g.line;
  fnn_range mine = fnn_share(g.rows, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    const int64_t n = t / p->h.in, ih = t % p->h.in;
    char *dx = element(g.dx, t * row);
    if (ih && t > mine.begin && same_windows(&p->h, ih)) {
      memcpy(dx, element(g.dx, (t - 1) * row), (size_t)(row * fnn_itemsize(g.dx->dtype)));
      continue;
    }
    add_lines(&g, n, fnn_pool_over(&p->h, ih), ih, line);
    gather_row(&g, line, dx);
  }
}
