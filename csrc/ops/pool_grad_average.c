/* pool_grad_average.c: the gradient of averages; the contract is in pool.c.
 *
 * A row of dx is made in two steps: the rows of windows over it are added up, each with its weight, as one long
 * line of numbers whatever the channels are; and each window of that line gives to the pixels below it, from the
 * left on. Rows below the same windows are copies. */
#include <string.h>

#include "pool.h"

#define TASKS 128 /* most; each has room for a line */
#define FEW 8     /* channels, below which loops go along pixels */

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
  plan->workspace = g.tasks * g.line;
  return FNN_OK;
}

/* Numbers `rows` by `n`, an element of dx each: from one to the next outside and inside, of dx and of the line. */
typedef struct {
  int64_t rows, n, row_dx, step_dx, row_line, step_line;
} walk;

/* `windows` windows side by side give to as many pixels, `step` elements of dx apart. */
static walk walk_of(int64_t windows, int64_t channels, int64_t step) {
  if (step == channels) return (walk){1, windows * channels, 0, 1, 0, 1};
  if (channels < FEW) return (walk){channels, windows, 1, step, 1, channels};
  return (walk){windows, channels, step, 1, channels, 1};
}

#define AVERAGES(real)                                                                        \
  static void weigh_##real(int64_t n, double weight, int first, const real *dy, real *line) { \
    const real w = (real)weight;                                                              \
    if (first)                                                                                \
      for (int64_t i = 0; i < n; i++) line[i] = w * dy[i];                                    \
    else                                                                                      \
      for (int64_t i = 0; i < n; i++) line[i] += w * dy[i];                                   \
  }                                                                                           \
  static void give_##real(const walk *w, const real *restrict line, real *restrict dx) {      \
    for (int64_t r = 0; r < w->rows; r++, line += w->row_line, dx += w->row_dx)               \
      if (w->step_dx != 1)                                                                    \
        for (int64_t i = 0; i < w->n; i++) dx[i * w->step_dx] += line[i * w->step_line];      \
      else if (w->n % 8)                                                                      \
        for (int64_t i = 0; i < w->n; i++) dx[i] += line[i];                                  \
      else /* no remainder to tell apart, which short rows would spend their time on */       \
        for (int64_t i = 0; i < w->n; i += 8)                                                 \
          for (int k = 0; k < 8; k++) dx[i + k] += line[i + k];                               \
  }
AVERAGES(float)
AVERAGES(double)

static char *element(const fnn_array *a, int64_t i) {
  return (char *)a->data + i * fnn_itemsize(a->dtype);
}

/* line = the rows of windows over row ih, each times its weight. */
static void add_lines(const average_grad *g, int64_t n, fnn_pool_range over, int64_t ih,
                      char *line) {
  const fnn_pool *p = &g->p;
  const int64_t c = p->channels, size = fnn_itemsize(g->dx->dtype);
  int first = 1;
  for (int64_t oh = over.begin; oh < over.end; oh++) {
    if (fnn_pool_tap(&p->h, oh, ih) < 0) continue;
    const int64_t high = fnn_pool_extent(p, &p->h, oh), row = (n * p->h.out + oh) * p->w.out;
    for (int64_t ow = 0, run; ow < p->w.out; ow += run) {
      run = fnn_pool_alike(g->even, ow, p->w.out);
      int64_t by = p->divisor ? p->divisor : high * fnn_pool_extent(p, &p->w, ow);
      const void *dy = element(g->dy, (row + ow) * c);
      void *to = line + ow * c * size;
      if (g->dx->dtype == FNN_F32)
        weigh_float(run * c, 1 / (double)by, first, dy, to);
      else
        weigh_double(run * c, 1 / (double)by, first, dy, to);
    }
    first = 0;
  }
  if (first) memset(line, 0, (size_t)(p->w.out * c * size));
}

/* dx = what `windows` windows from ow on give to pixels from iw on, `apart` pixels apart; added. */
static void give(const average_grad *g, int64_t windows, const char *line, int64_t ow, char *dx,
                 int64_t iw, int64_t apart) {
  const int64_t c = g->p.channels, size = fnn_itemsize(g->dx->dtype);
  const walk w = walk_of(windows, c, apart * c);
  const void *from = line + ow * c * size;
  void *to = dx + iw * c * size;
  if (g->dx->dtype == FNN_F32)
    give_float(&w, from, to);
  else
    give_double(&w, from, to);
}

/* The pixels of a row from its line. */
static void give_row(const average_grad *g, const char *line, char *dx) {
  const fnn_pool_axis *w = &g->p.w;
  memset(dx, 0, (size_t)(w->in * g->p.channels * fnn_itemsize(g->dx->dtype)));
  if (w->adaptive) {
    for (int64_t ow = 0; ow < w->out; ow++) {
      fnn_pool_span s = fnn_pool_span_at(w, ow);
      for (int64_t i = 0; i < s.count; i++) give(g, 1, line, ow, dx, s.first + i, 1);
    }
    return;
  }
  for (int64_t q = w->kernel - 1; q >= 0; q--) { /* a pixel's last tap is of its first window */
    int64_t first = q * w->dilation - w->pad;    /* the pixel of window 0 */
    int64_t begin = first < 0 ? (-first + w->stride - 1) / w->stride : 0;
    int64_t end = first < w->in ? smaller(w->out, (w->in - 1 - first) / w->stride + 1) : 0;
    if (begin < end) give(g, end - begin, line, begin, dx, first + begin * w->stride, w->stride);
  }
}

/* The rows of windows over row ih of an image are those over the row before. */
static int same_windows(const fnn_pool *p, int64_t ih) {
  fnn_pool_range over = fnn_pool_over(&p->h, ih), before = fnn_pool_over(&p->h, ih - 1);
  return p->h.dilation == 1 && over.begin == before.begin && over.end == before.end;
}

void fnn_pool_grad_average_run(const fnn_call *call, fnn_team *team) {
  average_grad g = grad_of(call);
  const fnn_pool *p = &g.p;
  const int64_t row = p->w.in * p->channels;
  char *line = team->workspace + team->id * g.line;
  fnn_range mine = fnn_share(g.rows, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    const int64_t n = t / p->h.in, ih = t % p->h.in;
    char *dx = element(g.dx, t * row);
    if (ih && t > mine.begin && same_windows(p, ih)) {
      memcpy(dx, element(g.dx, (t - 1) * row), (size_t)(row * fnn_itemsize(g.dx->dtype)));
      continue;
    }
    add_lines(&g, n, fnn_pool_over(&p->h, ih), ih, line);
    give_row(&g, line, dx);
  }
}
