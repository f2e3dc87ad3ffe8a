/* pool_cover.c: the gradient of maxima whose windows overlap, of channels that fill vectors: a thread goes through
 * the pixels of dx and adds up what the windows that cover each give to it, from the top left on. */
#include "pool.h"

#define BLOCK ((int64_t)8192) /* elements of a row of dx in a task, about */
#define TERMS 64              /* windows over a pixel that are added up at a time */

typedef struct {
  fnn_pool p;
  const fnn_array *dy, *places, *y, *dx; /* y may be absent */
  int64_t most;                          /* windows over a pixel along the row */
  int64_t columns, blocks;               /* the pixels of a task, and tasks to a row */
  int64_t tasks;
} cover;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static char *element(const fnn_array *a, int64_t i) {
  return fnn_present(a) ? (char *)a->data + i * fnn_itemsize(a->dtype) : NULL;
}

static cover cover_of(const fnn_call *call) {
  const fnn_array *a = call->arrays;
  cover g = {.dy = &a[0], .places = &a[1], .y = &a[2], .dx = &a[3]};
  g.p = fnn_pool_of(call, g.dx, g.dy);
  const fnn_pool_axis *w = &g.p.w;
  g.columns = smaller(w->in, larger(1, BLOCK / larger(1, g.p.channels)));
  g.blocks = (w->in + g.columns - 1) / g.columns;
  g.tasks = g.p.samples * g.p.h.in * g.blocks;
  g.most = smaller(
      w->out, w->adaptive ? w->out / w->in + 2 : (w->kernel - 1) * w->dilation / w->stride + 1);
  return g;
}

/* Tables of the windows over each column: how many, and which. */
static int64_t counts_bytes(const cover *g) { return (g->p.w.in * 8 + 63) / 64 * 64; }

fnn_status fnn_pool_cover_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  cover g = cover_of(call);
  double covers = (double)g.p.w.in * (double)g.most * sizeof(fnn_pool_term);
  if (covers > 1e12) return fnn_fail(why, FNN_ERR_SHAPE, "pooling: windows are too large");
  plan->tasks = larger(1, g.tasks);
  plan->workspace = counts_bytes(&g) + (int64_t)covers;
  return FNN_OK;
}

/* The windows over each column of dx, by the whole team: where they are in a row of dy, the column of taps that
 * lies there. */
static void list_covers(const cover *g, int64_t *count, fnn_pool_term *covers,
                        const fnn_team *team) {
  const fnn_pool_axis *w = &g->p.w;
  fnn_range mine = fnn_share(w->in, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    fnn_pool_range over = fnn_pool_over(w, i);
    count[i] = 0;
    for (int64_t o = over.begin; o < over.end; o++) {
      int64_t tap = fnn_pool_tap(w, o, i);
      if (tap < 0) continue;
      covers[i * g->most + count[i]++] = (fnn_pool_term){o * g->p.channels, tap};
    }
  }
}

/* A row of dx: its windows as rows of dy, and the tables of its columns. */
typedef struct {
  const cover *g;
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
    l->row[l->rows++] = (fnn_pool_term){oh * p->w.out * p->channels, tap * p->w.kernel};
  }
  return oh;
}

/* What the terms of `list` give to pixels of dx. */
static void spread(const line *l, const fnn_pool_pixels *list, int64_t iw, int add) {
  const cover *g = l->g;
  int64_t from = l->n * g->p.h.out * g->p.w.out * g->p.channels;
  int64_t to = ((l->n * g->p.h.in + l->ih) * g->p.w.in + iw) * g->p.channels;
  fnn_kernels_of(g->dx->dtype)
      ->pool.spread(list, element(g->dy, from), element(g->places, from),
                    g->places->dtype == FNN_I32, element(g->y, from), add, element(g->dx, to));
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
          (fnn_pool_term){l->row[r].at + column[q].at, l->row[r].place + column[q].place};
      if (list.terms < TERMS) continue;
      spread(l, &list, iw, add);
      list.terms = 0, add = 1;
    }
  if (list.terms || !add) spread(l, &list, iw, add);
}

static void covered_one_by_one(const line *l, int64_t iw, int64_t end, int add) {
  for (; iw < end; iw++) covered_pixels(l, iw, 1, 1, 0, add);
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

void fnn_pool_cover_run(const fnn_call *call, fnn_team *team) {
  const cover whole = cover_of(call), *g = &whole;
  int64_t *count = (int64_t *)(void *)team->workspace;
  fnn_pool_term *covers = (fnn_pool_term *)(void *)(team->workspace + counts_bytes(g));
  const fnn_pool_range even = fnn_pool_even(&g->p.w);
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
