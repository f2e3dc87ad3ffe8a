/* pool_grad.c: the gradients of pooling; the contract is in pool.c. Two ways to the same sums:
 *
 *   apart    maxima whose windows do not overlap: a thread goes through windows and writes all of their pixels
 *   covered  it goes through the pixels of dx and adds up what the windows that cover them give
 *
 * In both a pixel of dx belongs to one thread, and its sum runs over windows from the top left on. */
#include "pool.h"

#include <string.h>

/* Pixels of fewer channels are worked on side by side, as those of one long vector, and then put in their
 * places. Measured (avx512, float32, 3x3 windows of stride 2): 3 channels take 1.6 ns a pixel in this way and 3.7
 * otherwise; from 5 on it gains nothing. */
#define FEW 5
#define BUFFER 1024           /* numbers of such pixels at a time */
#define BLOCK ((int64_t)8192) /* elements of a row of dx in a task, about */
#define TERMS 64              /* windows over a pixel that are added up at a time */

typedef struct {
  fnn_pool p;
  const fnn_array *dy, *places, *y, *dx; /* places and y may be absent */
  int apart, wide;
  int64_t most;            /* windows over a pixel along the row */
  int64_t columns, blocks; /* covered: the pixels of a task, and tasks to a row */
  int64_t tasks;
} pool_grad;

static const fnn_array absent = {.ndim = -1};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int overlaps(const fnn_pool_axis *a) {
  return a->adaptive || (a->dilation > 1 && a->kernel > 1) || a->stride < a->kernel;
}

/* max_pool_grad: dy places y? -> dx          avg_pool_grad: dy -> dx */
static pool_grad grad_of(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  int max = call->op == FNN_OP_max_pool_grad;
  pool_grad g = {.dy = &a[0],
                 .places = max ? &a[1] : &absent,
                 .y = max ? &a[2] : &absent,
                 .dx = &a[max ? 3 : 1]};
  g.p = fnn_pool_of(call, g.dx, g.dy);
  g.wide = max && g.places->dtype == FNN_I32;
  g.apart = max && !overlaps(&g.p.h) && !overlaps(&g.p.w);
  int64_t wide = larger(1, g.p.channels);
  g.columns = smaller(g.p.w.in, larger(1, BLOCK / wide));
  g.blocks = (g.p.w.in + g.columns - 1) / g.columns;
  g.tasks = g.p.samples * (g.apart ? g.p.h.out : g.p.h.in * g.blocks);
  const fnn_pool_axis *w = &g.p.w;
  g.most = smaller(
      w->out, w->adaptive ? w->out / w->in + 2 : (w->kernel - 1) * w->dilation / w->stride + 1);
  return g;
}

/* Tables of the windows over each column: how many, and which. */
static int64_t counts_bytes(const pool_grad *g) { return (g->p.w.in * 8 + 63) / 64 * 64; }

fnn_status fnn_pool_grad_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  pool_grad g = grad_of(call);
  plan->tasks = larger(1, g.tasks);
  if (g.apart) return FNN_OK;
  double covers = (double)g.p.w.in * (double)g.most * sizeof(fnn_pool_term);
  if (covers > 1e12) return fnn_fail(why, FNN_ERR_SHAPE, "pooling: windows are too large");
  plan->workspace = counts_bytes(&g) + (int64_t)covers;
  return FNN_OK;
}

static char *element(const fnn_array *a, int64_t i) {
  return fnn_present(a) ? (char *)a->data + i * fnn_itemsize(a->dtype) : NULL;
}

static void clear(const fnn_array *a, int64_t begin, int64_t n) {
  memset(element(a, begin), 0, (size_t)(n * fnn_itemsize(a->dtype)));
}

/* The index in y of window (oh, ow) of image n, and that in dx of pixel (ih, iw). */
static int64_t window_at(const pool_grad *g, int64_t n, int64_t oh, int64_t ow) {
  return ((n * g->p.h.out + oh) * g->p.w.out + ow) * g->p.channels;
}
static int64_t pixel_at(const pool_grad *g, int64_t n, int64_t ih, int64_t iw) {
  return ((n * g->p.h.in + ih) * g->p.w.in + iw) * g->p.channels;
}

/* --- windows that do not overlap: the rows of dx from those of window row oh to those of the next --- */
static void apart_row(const pool_grad *g, int64_t n, int64_t oh) {
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
    k->max_apart(&w, element(g->dy, at), element(g->places, at), g->wide, element(g->y, at),
                 element(g->dx, to));
  }
}

/* --- pixels, and the windows that cover them --- */

/* The windows along a row whose averages have one divisor; all of them where there are no averages. */
static fnn_pool_range evenly_weighted(const pool_grad *g) {
  const fnn_pool_axis *a = &g->p.w;
  fnn_pool_range all = {0, a->out};
  if (fnn_present(g->places) || g->p.divisor) return all;
  if (!g->p.count_pad) return fnn_pool_inner(a);
  while (all.end > 0 && fnn_pool_extent(&g->p, a, all.end - 1) < a->kernel) all.end--;
  return all;
}

/* The pixels of a row of dx that windows cover in the same way as those `stride` further on. */
static fnn_pool_range evenly_covered(const pool_grad *g) {
  const fnn_pool_axis *a = &g->p.w;
  fnn_pool_range even = evenly_weighted(g);
  if (a->adaptive || even.begin >= even.end) return (fnn_pool_range){0, 0};
  fnn_pool_range r = {(even.begin - 1) * a->stride + 1 - a->pad + (a->kernel - 1) * a->dilation,
                      smaller(a->in, even.end * a->stride - a->pad)};
  r.begin = larger(0, r.begin);
  return r.begin < r.end ? r : (fnn_pool_range){0, 0};
}

/* The windows over each column of dx, by the whole team: where they are in a row of dy, the column of taps that
 * lies there, and what they weigh in an average along the row. */
static void list_covers(const pool_grad *g, int64_t *count, fnn_pool_term *covers,
                        const fnn_team *team) {
  const fnn_pool_axis *w = &g->p.w;
  fnn_range mine = fnn_share(w->in, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    fnn_pool_range over = fnn_pool_over(w, i);
    count[i] = 0;
    for (int64_t o = over.begin; o < over.end; o++) {
      int64_t tap = fnn_pool_tap(w, o, i);
      if (tap < 0) continue;
      double weight = g->p.divisor ? 1 : 1 / (double)fnn_pool_extent(&g->p, w, o);
      covers[i * g->most + count[i]++] = (fnn_pool_term){o * g->p.channels, tap, weight};
    }
  }
}

/* A row of dx: its windows as rows of dy, and the tables of its columns. */
typedef struct {
  const pool_grad *g;
  const int64_t *count;
  const fnn_pool_term *covers;
  int64_t n, ih;
  int64_t rows;
  fnn_pool_term row[TERMS];
} line;

/* The windows over row ih from `oh` on, as many as there is room for; returns where to go on. */
static int64_t list_rows(line *l, int64_t oh, int64_t end) {
  const fnn_pool *p = &l->g->p;
  for (l->rows = 0; oh < end && l->rows < TERMS; oh++) {
    int64_t tap = fnn_pool_tap(&p->h, oh, l->ih);
    if (tap < 0) continue;
    double weight = 1 / (double)(p->divisor ? p->divisor : fnn_pool_extent(p, &p->h, oh));
    l->row[l->rows++] = (fnn_pool_term){oh * p->w.out * p->channels, tap * p->w.kernel, weight};
  }
  return oh;
}

/* What the terms of `list` give to pixels of dx, of few channels by way of a buffer. */
static void spread(const line *l, fnn_pool_pixels list, int64_t iw, int add) {
  const pool_grad *g = l->g;
  const fnn_pool_kernels *k = &fnn_kernels_of(g->dx->dtype)->pool;
  const int64_t channels = g->p.channels, step = list.pixel_step;
  int64_t from = window_at(g, l->n, 0, 0), to = pixel_at(g, l->n, l->ih, iw);
  if (channels >= FEW || step != g->p.w.stride * channels || step == channels || list.pixels == 1 ||
      add) {
    k->spread(&list, element(g->dy, from), element(g->places, from), g->wide, element(g->y, from),
              add, element(g->dx, to));
    return;
  }
  double buffer[BUFFER];
  int64_t left = list.pixels, room = BUFFER / channels;
  for (list.pixel_step = channels; left > 0;
       left -= room, from += room * channels, to += room * step) {
    list.pixels = smaller(left, room);
    k->spread(&list, element(g->dy, from), element(g->places, from), g->wide, element(g->y, from),
              0, buffer);
    k->scatter(list.pixels, channels, step, buffer, element(g->dx, to));
  }
}

/* `pixels` of dx from column iw on, so many columns apart, as their windows are: their sum, or what the row's
 * windows add to it. */
static void covered_pixels(const line *l, int64_t iw, int64_t pixels, int64_t apart,
                           int64_t windows_apart, int add) {
  const fnn_pool *p = &l->g->p;
  const fnn_pool_term *column = l->covers + iw * l->g->most;
  fnn_pool_term term[TERMS];
  fnn_pool_pixels list = {.pixels = pixels,
                          .pixel_step = apart * p->channels,
                          .window_step = windows_apart * p->channels,
                          .channels = p->channels,
                          .term = term};
  for (int64_t r = 0; r < l->rows; r++)
    for (int64_t q = 0; q < l->count[iw]; q++) {
      term[list.terms++] =
          (fnn_pool_term){l->row[r].at + column[q].at, l->row[r].place + column[q].place,
                          l->row[r].weight * column[q].weight};
      if (list.terms < TERMS) continue;
      spread(l, list, iw, add);
      list.terms = 0, add = 1;
    }
  if (list.terms || !add) spread(l, list, iw, add);
}

/* How many pixels from column iw on, before `end`, get the same from the same windows: of averages only. */
static int64_t same_covers(const line *l, int64_t iw, int64_t end) {
  const int64_t most = l->g->most, count = l->count[iw];
  const fnn_pool_term *first = l->covers + iw * most;
  int64_t n = 1;
  if (fnn_present(l->g->places)) return 1;
  for (; iw + n < end && l->count[iw + n] == count; n++)
    for (int64_t k = 0; k < count; k++)
      if (first[n * most + k].at != first[k].at) return n;
  return n;
}

static void covered_one_by_one(const line *l, int64_t iw, int64_t end, int add) {
  for (int64_t n; iw < end; iw += n) {
    n = same_covers(l, iw, end);
    covered_pixels(l, iw, n, 1, 0, add);
  }
}

static void covered_block(line *l, fnn_pool_range even, int64_t begin, int64_t end) {
  const fnn_pool_axis *h = &l->g->p.h;
  const int64_t step = l->g->p.w.stride;
  even.begin = smaller(end, larger(begin, even.begin));
  even.end = larger(even.begin, smaller(end, even.end));
  fnn_pool_range over = fnn_pool_over(h, l->ih);
  int add = 0;
  do {
    over.begin = list_rows(l, over.begin, over.end);
    covered_one_by_one(l, begin, even.begin, add);
    for (int64_t iw = even.begin; iw < smaller(even.end, even.begin + step); iw++)
      covered_pixels(l, iw, (even.end - iw + step - 1) / step, step, 1, add);
    covered_one_by_one(l, even.end, end, add);
    add = 1;
  } while (over.begin < over.end);
}

static void covered_run(const pool_grad *g, fnn_team *team) {
  int64_t *count = (int64_t *)(void *)team->workspace;
  fnn_pool_term *covers = (fnn_pool_term *)(void *)(team->workspace + counts_bytes(g));
  const fnn_pool_range even = evenly_covered(g);
  list_covers(g, count, covers, team);
  fnn_team_barrier(team);
  fnn_range mine = fnn_share(g->tasks, team);
  line l = {.g = g, .count = count, .covers = covers};
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t row = t / g->blocks, begin = t % g->blocks * g->columns;
    l.n = row / g->p.h.in, l.ih = row % g->p.h.in;
    covered_block(&l, even, begin, smaller(g->p.w.in, begin + g->columns));
  }
}

void fnn_pool_grad_run(const fnn_call *call, fnn_team *team) {
  pool_grad g = grad_of(call);
  if (!g.apart) {
    covered_run(&g, team);
    return;
  }
  fnn_range mine = fnn_share(g.tasks, team);
  for (int64_t t = mine.begin; t < mine.end; t++) apart_row(&g, t / g.p.h.out, t % g.p.h.out);
}
