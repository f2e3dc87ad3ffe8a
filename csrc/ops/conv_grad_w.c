/* conv_grad_w.c: the gradient of a convolution's weights; how it is cut is in conv_grad_w.h. */
#include <string.h>

#include "conv_grad_w.h"
#include "depthwise.h"

/* Memory that the next strip will read, which tiles fetch meanwhile. */
typedef struct {
  const char *at;
  int64_t lines;
} ahead;

/* What a task computes. */
typedef struct {
  int64_t part, group;
  int64_t o, outputs, c, channels; /* of the group */
  ahead next[2];                   /* of x and of dy */
} grad_w_task;

/* The numbers that steps and taps of a tile multiply, of the strip's pixels: as few taps of as many steps as
 * can be. */
typedef struct {
  int64_t steps, x_step, dy_step, taps;
  fnn_gemm_tap tap[FNN_GRAD_W_TAPS]; /* a in dy, b in x, or the other way in a turned tile */
} grad_w_pixels;

static void find_pixels(const fnn_grad_w *g, const int64_t *count, const int64_t *x,
                        const int64_t *dy, grad_w_pixels *p) {
  int64_t n[3] = {count[2], count[1], count[0]};
  int64_t xs[3] = {x[2], x[1], x[0]}, ds[3] = {dy[2], dy[1], dy[0]};
  for (int joins = 0; joins < 2; joins++) {
    int even = n[0] == 1 || n[1] == 1 || (xs[1] == n[0] * xs[0] && ds[1] == n[0] * ds[0]);
    if (!even) break;
    if (n[0] == 1) xs[0] = xs[1], ds[0] = ds[1];
    n[0] *= n[1];
    n[1] = n[2], xs[1] = xs[2], ds[1] = ds[2];
    n[2] = 1;
  }
  p->steps = n[0];
  p->x_step = xs[0];
  p->dy_step = ds[0];
  p->taps = 0;
  for (int64_t i = 0; i < n[2]; i++)
    for (int64_t j = 0; j < n[1]; j++) {
      int64_t in_x = i * xs[2] + j * xs[1], in_dy = i * ds[2] + j * ds[1];
      p->tap[p->taps++] = g->turned ? (fnn_gemm_tap){in_x, in_dy} : (fnn_gemm_tap){in_dy, in_x};
    }
}

/* Which of a strip's rows meet rows of x, and not padding, under a row of the kernel. */
static fnn_range rows_inside(const fnn_grad_w *g, const fnn_grad_w_strip *s, int64_t kernel_row) {
  int64_t above = g->pad[0] - kernel_row * g->dilation[0] - s->first[1] * g->stride[0];
  int64_t below = g->in[0] + above; /* the first row of x lies `above` under the strip's first */
  fnn_range r = {above > 0 ? ceil_div(above, g->stride[0]) : 0,
                 below > 0 ? ceil_div(below, g->stride[0]) : 0};
  r.end = at_most(r.end, s->count[1]);
  return r;
}

/* The lines that a tile fetches, one in each step. */
static void take_ahead(grad_w_task *t, fnn_gemm_tile *tile) {
  ahead *next = &t->next[t->next[0].lines <= 0];
  tile->next = next->at;
  tile->next_step = next->lines > 0 ? 64 : 0;
  next->at += 64 * tile->k * tile->taps;
  next->lines -= tile->k * tile->taps;
}

/* The tiles of m rows and n columns; those of the same columns of b one after another, as these stay in L1. */
static void compute_tiles(const fnn_grad_w *g, grad_w_task *t, fnn_gemm_tile *tile, int64_t m,
                          int64_t n, int64_t panel, int add) {
  const fnn_gemm_kernels *k = &g->kernels->gemm;
  const char *a = tile->a, *b = tile->b;
  char *c = tile->c;
  int64_t width = g->cols * g->lanes, size = g->size;
  for (int64_t j = 0; j < n; j += width) {
    int64_t count = at_most(width, n - j), cols = ceil_div(count, g->lanes);
    const fnn_gemm_kernel *table = cols <= k->cols ? k->direct + cols - 1
                                   : cols == 3     ? k->triple
                                                   : k->wide + cols - 1;
    int64_t table_row = cols <= k->cols ? k->cols : cols == 3 ? 1 : k->wide_cols;
    tile->last = count - (cols - 1) * g->lanes;
    tile->b = b + j * size;
    for (int64_t i = 0; i < m; i += g->rows) {
      int64_t rows = at_most(g->rows, m - i);
      tile->a = a + i / g->rows * panel * size;
      tile->c = c + (i * tile->c_row + j) * size;
      tile->add = add ? tile->c : NULL;
      take_ahead(t, tile);
      table[(rows - 1) * table_row](tile);
    }
  }
}

/* All elements of the kernel for the channels of one block, of which x has the strip's pixels with these steps. */
static void compute_block(const fnn_grad_w *g, grad_w_task *t, const fnn_grad_w_strip *s,
                          const fnn_grad_w_dy *dy, const char *x, const int64_t *x_step, int64_t c,
                          char *part, int add) {
  int64_t width = at_most(g->block, g->channels - c), run = g->run * width;
  int64_t steps[3] = {x_step[0], x_step[1] * g->stride[0], x_step[2] * g->stride[1]};
  fnn_gemm_tile tile = {.a_row = 1};
  tile.add_row = tile.c_row = g->turned   ? g->outputs
                              : g->direct ? g->kernel[0] * g->kernel[1] * g->channels
                                          : run;
  for (int64_t row = 0; row < g->kernel[0]; row++) {
    fnn_range rows = rows_inside(g, s, row);
    if (rows.begin >= rows.end && add) continue;
    int64_t count[3] = {s->count[0], at_least(0, rows.end - rows.begin), s->count[2]};
    grad_w_pixels p;
    find_pixels(g, count, steps, dy->step, &p);
    tile.k = p.taps ? p.steps : 0;
    tile.taps = p.taps;
    tile.tap = p.tap;
    tile.a_step = g->turned ? p.x_step : p.dy_step;
    tile.b_step = g->turned ? p.dy_step : p.x_step;
    const char *first = dy->data + rows.begin * dy->step[1] * g->size;
    const char *x_row = x + (rows.begin * steps[1] + row * g->dilation[0] * x_step[1]) * g->size;
    for (int64_t col = 0; col < g->runs; col++) {
      const char *at = x_row + col * g->dilation[1] * x_step[2] * g->size;
      tile.a = g->turned ? at : first;
      tile.b = g->turned ? first : at;
      tile.c = part + fnn_grad_w_place(g, t->group, t->o, c, row, col) * g->size;
      if (g->turned)
        compute_tiles(g, t, &tile, run, t->outputs, g->rows, add);
      else
        compute_tiles(g, t, &tile, t->outputs, run, dy->panel, add);
    }
  }
}

static fnn_grad_w_strip strip_at(const fnn_grad_w *g, int64_t number) {
  const int64_t all[3] = {g->images, g->out[0], g->out[1]};
  fnn_grad_w_strip s;
  for (int i = 2; i >= 0; i--) {
    s.first[i] = number % g->strips[i] * g->strip[i];
    s.count[i] = at_most(g->strip[i], all[i] - s.first[i]);
    number /= g->strips[i];
  }
  return s;
}

static void compute_strip(const fnn_grad_w *g, grad_w_task *t, const fnn_grad_w_strip *s,
                          char *scratch, char *part, int add) {
  int64_t c = t->group * g->channels + t->c;
  fnn_grad_w_dy dy =
      fnn_grad_w_read_dy(g, s, t->group * g->outputs + t->o, t->outputs, scratch + g->x_bytes);
  if (g->in_place) {
    int64_t at = s->first[0] * g->x_step[0] + s->first[1] * g->stride[0] * g->x_step[1] +
                 s->first[2] * g->stride[1] * g->x_step[2] + c;
    compute_block(g, t, s, &dy, g->x + at * g->size, g->x_step, t->c, part, add);
    return;
  }
  /* Strips of whole images have their padding where the one before had it. */
  int clean = add && g->strips[1] * g->strips[2] == 1 && s->count[0] == g->strip[0];
  fnn_grad_w_pack_x(g, s, c, t->channels, clean, scratch);
  int64_t rows = fnn_grad_w_reach(g, 0, s->count[1]), cols = fnn_grad_w_reach(g, 1, s->count[2]);
  for (int64_t done = 0; done < t->channels; done += g->block) {
    int64_t width = at_most(g->block, t->channels - done);
    int64_t step[3] = {rows * cols * width, cols * width, width};
    compute_block(g, t, s, &dy, scratch + done * s->count[0] * rows * cols * g->size, step,
                  t->c + done, part, add);
  }
}

/* What strip `number` will read for the first time, where that lies in one piece. */
static void look_ahead(const fnn_grad_w *g, grad_w_task *t, int64_t number) {
  fnn_grad_w_strip s = strip_at(g, number);
  int64_t rows = s.count[0] * s.count[1], last = fnn_grad_w_reach(g, 0, s.count[1]) - g->pad[0];
  int64_t below = at_most(g->in[0], s.first[1] * g->stride[0] + last);
  int64_t above = at_least(0, below - s.count[1] * g->stride[0]);
  if (s.count[1] == g->out[0]) above = 0, below = s.count[0] * g->in[0];
  if (g->ahead[0])
    t->next[0] = (ahead){g->x + (s.first[0] * g->x_step[0] + above * g->x_step[1]) * g->size,
                         (below - above) * g->x_step[1] * g->size / 64};
  if (g->ahead[1])
    t->next[1] =
        (ahead){g->dy + (s.first[0] * g->dy_step[0] + s.first[1] * g->dy_step[1]) * g->size,
                rows * g->dy_step[1] * g->size / 64};
}

static void run_task(const fnn_grad_w *g, int64_t number, char *scratch, char *parts) {
  grad_w_task t;
  t.c = number % g->c_tasks * g->c_each;
  number /= g->c_tasks;
  t.o = number % g->o_tasks * g->o_each;
  number /= g->o_tasks;
  t.group = number % g->groups;
  t.part = number / g->groups;
  t.channels = at_most(g->c_each, g->channels - t.c);
  t.outputs = at_most(g->o_each, g->outputs - t.o);
  int64_t strips = g->strips[0] * g->strips[1] * g->strips[2];
  int64_t begin = t.part * strips / g->parts, end = (t.part + 1) * strips / g->parts;
  char *part = g->part_bytes ? parts + t.part * g->part_bytes : g->dw;
  for (int64_t i = begin; i < end; i++) {
    fnn_grad_w_strip s = strip_at(g, i);
    t.next[0] = t.next[1] = (ahead){g->x, 0};
    if (i + 1 < end) look_ahead(g, &t, i + 1);
    compute_strip(g, &t, &s, scratch, part, i > begin);
  }
}

static int is_empty(const fnn_conv *conv) {
  return conv->images * conv->out[0] * conv->out[1] == 0;
}

/* conv_grad_w: dw (O, KH, KW, C / groups) = the gradient of conv's w, from x (N, H, W, C) of any strides and dy
 * (N, OH, OW, O) of unit stride along O. dw is contiguous and shares no memory with them. */
fnn_status fnn_conv_grad_w_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_conv conv;
  fnn_grad_w g;
  fnn_status status = fnn_conv_read(call, &conv, why);
  if (status != FNN_OK || is_empty(&conv) || fnn_size(&conv.w) == 0) return status;
  if (conv.whole) {
    fnn_call product = fnn_conv_product(&conv);
    return fnn_gemm_plan(&product, plan, why);
  }
  if (fnn_depthwise_pays(&conv)) {
    fnn_depthwise_grad_w_plan(&conv, plan);
    return FNN_OK;
  }
  if (fnn_winograd_tile(&conv)) {
    fnn_winograd_grad_w_plan(&conv, plan);
    return FNN_OK;
  }
  if (!fnn_grad_w_prepare(&conv, &g))
    return fnn_fail(why, FNN_ERR_MEMORY, "conv_grad_w: the padded input is larger than any memory");
  plan->flops = fnn_conv_flops(&conv);
  plan->bytes = fnn_bytes(&conv.x) + fnn_bytes(&conv.y) + fnn_bytes(&conv.w);
  plan->tasks = g.tasks < fnn_conv_threads() ? g.tasks : fnn_conv_threads();
  plan->workspace = g.parts * g.part_bytes + plan->tasks * (g.x_bytes + g.dy_bytes);
  return FNN_OK;
}

void fnn_conv_grad_w_run(const fnn_call *call, fnn_team *team) {
  fnn_conv conv;
  fnn_grad_w g;
  fnn_failure why;
  fnn_conv_read(call, &conv, &why);
  if (fnn_size(&conv.w) == 0) return;
  if (is_empty(&conv)) {
    if (team->id == 0)
      memset(conv.w.data, 0, (size_t)(fnn_size(&conv.w) * fnn_itemsize(conv.dtype)));
    return;
  }
  if (conv.whole) {
    fnn_call product = fnn_conv_product(&conv);
    fnn_gemm_run(&product, team);
    return;
  }
  if (fnn_depthwise_pays(&conv)) {
    fnn_depthwise_grad_w_run(&conv, team);
    return;
  }
  if (fnn_winograd_tile(&conv)) {
    fnn_winograd_grad_w_run(&conv, team);
    return;
  }
  fnn_grad_w_prepare(&conv, &g);
  char *parts = team->workspace;
  char *scratch = parts + g.parts * g.part_bytes + team->id * (g.x_bytes + g.dy_bytes);
  for (int64_t i; (i = fnn_take(team)) < g.tasks;) run_task(&g, i, scratch, parts);
  fnn_taken(team, g.tasks);
  if (!g.part_bytes) return;
  fnn_team_barrier(team);
  fnn_grad_w_sum(&g, parts, team);
}
