/* conv_direct.c: convolution by tiles whose sums stay in registers over all elements of the kernel.
 *
 * The rows of a tile (kernels/gemm.h) are pixels of a row of the output, its columns output channels. A tap
 * is a row of the kernel: under it, KW pixels of C channels lie one after another in x, as the weights do in
 * their panel, and from one pixel to the next x moves on by stride * C. No matrix of patches is made
 * (Georganas et al., Harnessing Deep Learning via a Single Building Block, 2019). A task takes a strip of the
 * output; the input under it is read in place, or is first copied with its padding into scratch that stays
 * in the thread's cache. Rows of padding above and below are no taps, so that they cost nothing.
 *
 * Sums run over the taps in order, whatever the cut: threads only take tasks. */
#include <string.h>

#include "conv_direct.h"

/* Tasks for each thread where they can be had, as one that is kept from its core leaves them to the others; of
 * more than MANY_TASKS some go together. */
#define TASKS 3
#define MANY_TASKS 24
/* Elements that a chain is run on at once, where they touch: for each time it is readied anew. */
#define CHAINED 4096
/* Where a block of panels of so many bytes meets few pixels, the next one is fetched meanwhile (512 to 512 channels on
 * 4 x 4 pixels, with weights that are in no cache, on 2 threads: 449 us to 304). */
#define AHEAD_BYTES (64 << 10)
#define LINE 64

/* --- strips --- */

typedef struct {
  int64_t group, block, image, phase[2];
  int64_t begin[2], end[2]; /* pixels of the phase */
  const char *ahead;        /* what will be read next, of which tiles fetch a line in each step, */
  int64_t lines;            /* and how much of it is left */
} conv_task;

/* What the tiles of a task read: pixel (row, col) of the phase finds tap 0 at
 * base + (row * advance * row_step + col * advance * col_step) * size. */
typedef struct {
  const char *base;
  int64_t row_step, col_step; /* elements between pixels of the input */
} conv_source;

/* Pixels of a row of the input, into scratch where they lie one after another. */
static void conv_copy_row(const fnn_conv_direct *d, const char *from, int64_t pixels, char *to) {
  int64_t size = d->size, pixel = d->channels * size;
  if (d->in_channel == 1 || d->channels == 1) {
    if (d->in_step[1] == d->channels)
      memcpy(to, from, (size_t)(pixels * pixel));
    else
      for (int64_t i = 0; i < pixels; i++)
        memcpy(to + i * pixel, from + i * d->in_step[1] * size, (size_t)pixel);
  } else if (d->in_step[1] == 1) {
    d->kernels->move.transpose(d->channels, pixels, from, d->in_channel, to, d->channels);
  } else {
#define COPY(REAL)                            \
  for (int64_t i = 0; i < pixels; i++)        \
    for (int64_t c = 0; c < d->channels; c++) \
      ((REAL *)to)[i * d->channels + c] =     \
          ((const REAL *)from)[i * d->in_step[1] + c * d->in_channel];
    if (size == 4) {
      COPY(float)
    } else {
      COPY(double)
    }
#undef COPY
  }
}

/* The rows and columns of the input that a task's taps meet, padding among them. */
static void conv_reach(const fnn_conv_direct *d, const conv_task *t, const fnn_conv_axis *axis,
                       int64_t from[2], int64_t to[2]) {
  for (int i = 0; i < 2; i++) {
    from[i] = t->begin[i] * d->advance[i] + axis[i].offset;
    to[i] = (t->end[i] - 1) * d->advance[i] + axis[i].offset +
            (axis[i].count - 1) * axis[i].offset_step + 1;
  }
}

/* The input under a task, in place or copied with zeros where it ends. */
static conv_source conv_strip(const fnn_conv_direct *d, const conv_task *t,
                              const fnn_conv_axis *axis, char *scratch) {
  const char *image =
      d->in + (t->image * d->in_image + t->group * d->channels * d->in_channel) * d->size;
  int64_t from[2], to[2];
  conv_reach(d, t, axis, from, to);
  int lies = d->in_channel == 1 || d->channels == 1;
  int together = axis[1].count == 1 || axis[1].offset_step != 1 || d->in_step[1] == d->channels;
  if (lies && together && from[1] >= 0 && to[1] <= d->in_size[1]) {
    conv_source in_place = {image, d->in_step[0], d->in_step[1]};
    in_place.base += (axis[0].offset * d->in_step[0] + axis[1].offset * d->in_step[1]) * d->size;
    return in_place;
  }
  int64_t top = at_least(from[0], 0), bottom = at_most(to[0], d->in_size[0]);
  int64_t left = at_most(at_least(-from[1], 0), to[1] - from[1]);
  int64_t right = at_least(at_most(to[1], d->in_size[1]) - from[1], left);
  int64_t pixel = d->channels * d->size, row = (to[1] - from[1]) * pixel;
  for (int64_t i = top; i < bottom; i++) {
    char *line = scratch + (i - top) * row;
    memset(line, 0, (size_t)(left * pixel));
    conv_copy_row(d, image + (i * d->in_step[0] + (from[1] + left) * d->in_step[1]) * d->size,
                  right - left, line + left * pixel);
    memset(line + right * pixel, 0, (size_t)(row - right * pixel));
  }
  conv_source copied = {scratch, (to[1] - from[1]) * d->channels, d->channels};
  copied.base +=
      ((axis[0].offset - top) * copied.row_step - t->begin[1] * d->advance[1] * copied.col_step) *
      d->size;
  return copied;
}

/* --- tiles --- */

/* The taps of a phase, from the top left: of a row those that touch are one. Returns how many a row has. */
static int64_t conv_list_taps(const fnn_conv_direct *d, const fnn_conv_axis *axis, conv_source in,
                              fnn_gemm_tap *list) {
  int joined = axis[1].offset_step == 1 && axis[1].step == (d->grad ? -1 : 1);
  int64_t cols = joined ? at_most(axis[1].count, 1) : axis[1].count;
  for (int64_t i = 0; i < axis[0].count; i++)
    for (int64_t j = 0; j < cols; j++) {
      int64_t row = axis[0].first + i * axis[0].step, col = axis[1].first + j * axis[1].step;
      if (d->grad) col = d->kernel[1] - 1 - col;
      list[i * cols + j] = (fnn_gemm_tap){
          .a = i * axis[0].offset_step * in.row_step + j * axis[1].offset_step * in.col_step,
          .b = (row * d->kernel[1] + col) * d->channels * d->width};
      fnn_gemm_tap *tap = &list[i * cols + j];
      if (d->dots == CONV_DOTS_ALONG) *tap = (fnn_gemm_tap){.a = tap->b, .b = tap->a};
    }
  return cols;
}

static void conv_take_ahead(conv_task *t, fnn_gemm_tile *tile) {
  int64_t steps = tile->k * at_least(1, tile->taps);
  tile->next = t->ahead;
  tile->next_step = t->lines > 0 ? LINE : 0;
  t->ahead += tile->next_step * steps;
  t->lines -= steps;
}

/* A piece of a row of a task's pixels: each tile of them meets all panels of the block. */
static void conv_row(const fnn_conv_direct *d, conv_task *t, const fnn_conv_axis *axis,
                     const char *panels, int64_t row, fnn_range piece, int64_t depth,
                     fnn_gemm_tile *tile, const char *from) {
  const fnn_gemm_kernels *gemm = &d->kernels->gemm;
  const fnn_conv_kernels *conv = &d->kernels->conv;
  int64_t size = d->size, lanes = d->kernels->lanes, all = d->groups * d->outputs;
  int64_t y = axis[0].start + row * d->spread[0], group = t->group * d->outputs;
  int64_t begin = t->block * d->block, end = at_most(begin + d->block, d->panels);
  char *line = d->out + ((t->image * d->out_size[0] + y) * d->out_size[1] * all + group) * size;
  for (int64_t col = piece.begin; col < piece.end; col += d->height) {
    int64_t pixels = at_most(d->height, piece.end - col);
    char *to = line + (axis[1].start + col * d->spread[1]) * all * size;
    int slide = d->slide && pixels >= conv->slide_least;
    const fnn_gemm_kernel *table =
        slide ? conv->slide + pixels - conv->slide_least : gemm->direct + (pixels - 1) * gemm->cols;
    tile->a = from + col * tile->a_row * size;
    tile->k = slide ? d->channels : depth;
    if (d->dots) {
      tile->c = to;
      fnn_conv_dots_tile(d, panels, (fnn_range){begin, end}, pixels,
                         d->bias ? d->bias + group * size : NULL, tile);
      continue;
    }
    if (d->flat && tile->a_row == d->channels && col + pixels < t->end[1]) {
      t->lines = ceil_div(pixels * tile->a_row * size, LINE);
      t->ahead = (const char *)tile->a + pixels * tile->a_row * size;
    }
    for (int64_t panel = begin; panel < end; panel++) {
      int64_t j = panel * d->width, n = at_most(d->width, d->outputs - j);
      int64_t vectors = 1;
      while (vectors * lanes < n) vectors++;
      tile->last = n - (vectors - 1) * lanes;
      tile->b = panels + panel * d->panel_elements * size;
      tile->c = to + j * size;
      tile->add = d->bias ? d->bias + (group + j) * size : NULL;
      conv_take_ahead(t, tile);
      table[vectors - 1](tile);
    }
  }
}

/* A part of the output: of one group, block of panels, image and phase. */
static void conv_run_task(const fnn_conv_direct *d, conv_task *t, const char *packed,
                          const fnn_chain *chain, char *scratch) {
  const fnn_conv_axis axis[2] = {fnn_conv_phase(d, 0, t->phase[0]),
                                 fnn_conv_phase(d, 1, t->phase[1])};
  fnn_gemm_tap *list = (fnn_gemm_tap *)(void *)(scratch + d->strip_bytes);
  fnn_gemm_tile tile = {
      .a_step = 1, .b_step = d->width, .c_row = d->groups * d->outputs * d->spread[1]};
  conv_source in = {d->in, 0, 0};
  int64_t cols = 0, depth = 0;
  if (axis[0].count && axis[1].count) {
    in = conv_strip(d, t, axis, scratch);
    cols = conv_list_taps(d, axis, in, list);
    depth = axis[1].count / cols * d->channels;
    tile.a_row = d->advance[1] * in.col_step;
  }
  if (d->dots) tile.b_step = d->dots == CONV_DOTS_ALONG ? tile.a_row : d->panel_elements;
  const char *panels = packed + t->group * d->panels * d->panel_elements * d->size;
  int64_t first = t->block * d->block * d->width;
  int64_t n = at_most(d->block * d->width, d->outputs - first);
  int64_t wide = t->end[1] - t->begin[1], chained = t->begin[0];
  int whole = wide == d->out_size[1]; /* rows of the output touch */
  int64_t piece = chain && !whole ? ceil_div(CHAINED, n * d->height) * d->height : wide;
  for (int64_t row = t->begin[0]; row < t->end[0]; row++) {
    int64_t top = row * d->advance[0] + axis[0].offset, step = axis[0].offset_step;
    int64_t from = top < 0 ? ceil_div(-top, step) : 0;
    int64_t to = top < d->in_size[0] ? ceil_div(d->in_size[0] - top, step) : 0;
    to = at_most(to, axis[0].count);
    tile.taps = to > from ? (to - from) * cols : 0;
    tile.tap = list + from * cols;
    int64_t line = (t->image * d->out_size[0] + row) * d->out_size[1];
    for (int64_t col = t->begin[1]; col < t->end[1]; col += piece) {
      fnn_range part = {col, at_most(col + piece, t->end[1])};
      if (chain)
        fnn_chain_touch(chain, line + col, part.end - col, t->group * d->outputs + first, n);
      conv_row(d, t, axis, panels, row, part, tile.taps ? depth : 0, &tile,
               in.base + row * d->advance[0] * in.row_step * d->size);
      if (chain && !whole)
        fnn_chain_block(chain, line + col, part.end - col, t->group * d->outputs + first, n);
    }
    int64_t rows = row + 1 - chained;
    if (!chain || !whole || (row + 1 < t->end[0] && rows * wide * n < CHAINED)) continue;
    fnn_chain_block(chain, (t->image * d->out_size[0] + chained) * wide, rows * wide,
                    t->group * d->outputs + first, n);
    chained = row + 1;
  }
}

/* --- tasks --- */

typedef struct {
  int64_t strip[2], strips[2], blocks, count, each;
  int ahead; /* whether threads draw a task before they begin the one before it, to fetch its panels */
} conv_list;

/* Rows of a strip, at most d->strip[0], of `rows` in each of so many others: what takes the threads least time
 * where each task costs half a row besides its rows. */
static int64_t conv_strip_rows(const fnn_conv_direct *d, int64_t rows, int64_t others,
                               int threads) {
  int64_t most = at_most(d->strip[0], rows), best = 1;
  if (threads == 1 || others >= MANY_TASKS * threads) return most;
  double least = 0;
  for (int64_t n = 1; n <= most; n++) {
    int64_t tasks = others * ceil_div(rows, n);
    if (n > 1 && tasks < TASKS * threads) break;
    double time = (double)ceil_div(tasks, threads) * ((double)n + 0.5);
    if (n > 1 && time > least) continue;
    best = n;
    least = time;
  }
  return best;
}

static conv_list conv_cut(const fnn_conv_direct *d, int threads) {
  conv_list list = {.strip = {d->strip[0], d->strip[1]}, .blocks = ceil_div(d->panels, d->block)};
  int64_t rows = ceil_div(d->out_size[0], d->spread[0]);
  list.strips[1] = ceil_div(ceil_div(d->out_size[1], d->spread[1]), d->strip[1]);
  int64_t others =
      d->groups * list.blocks * d->images * d->phases[0] * d->phases[1] * list.strips[1];
  list.strip[0] = conv_strip_rows(d, rows, others, threads);
  list.strips[0] = ceil_div(rows, list.strip[0]);
  list.count = others * list.strips[0];
  list.each = at_least(1, list.count / (threads * MANY_TASKS));
  list.ahead = d->block * d->panel_elements * d->size >= AHEAD_BYTES &&
               list.count <= d->groups * list.blocks * TASKS * threads;
  return list;
}

static conv_task conv_task_at(const fnn_conv_direct *d, const conv_list *list, int64_t i) {
  conv_task t = {.ahead = d->in};
  for (int axis = 1; axis >= 0; axis--) {
    t.begin[axis] = i % list->strips[axis] * list->strip[axis];
    i /= list->strips[axis];
  }
  for (int axis = 1; axis >= 0; axis--) {
    t.phase[axis] = i % d->phases[axis];
    i /= d->phases[axis];
    int64_t pixels = ceil_div(d->out_size[axis] - t.phase[axis], d->spread[axis]);
    t.end[axis] = at_most(t.begin[axis] + list->strip[axis], pixels);
  }
  t.image = i % d->images;
  t.block = i / d->images % list->blocks;
  t.group = i / d->images / list->blocks;
  return t;
}

/* --- what the next task reads, fetched meanwhile --- */

static void conv_panels_ahead(const fnn_conv_direct *d, const char *packed, const conv_task *next,
                              conv_task *t) {
  int64_t first = next->block * d->block, panel = d->panel_elements * d->size;
  t->ahead = packed + (next->group * d->panels + first) * panel;
  t->lines = at_most(d->block, d->panels - first) * panel / LINE;
}

/* Where it lies in one piece. */
static void conv_input_ahead(const fnn_conv_direct *d, const conv_task *next, conv_task *t) {
  const fnn_conv_axis axis[2] = {fnn_conv_phase(d, 0, next->phase[0]),
                                 fnn_conv_phase(d, 1, next->phase[1])};
  int64_t from[2], to[2];
  if (d->flat || d->in_channel != 1 || !axis[0].count || !axis[1].count) return;
  conv_reach(d, next, axis, from, to);
  for (int i = 0; i < 2; i++) {
    from[i] = at_least(from[i], 0);
    to[i] = at_most(to[i], d->in_size[i]);
  }
  int64_t rows = to[0] - from[0], cols = to[1] - from[1];
  if (rows > 1 && d->in_step[0] != cols * d->in_step[1]) return;
  int64_t at = next->image * d->in_image + from[0] * d->in_step[0] + from[1] * d->in_step[1];
  t->ahead = d->in + at * d->size;
  t->lines = rows * cols * d->in_step[1] * d->size / LINE;
}

/* Threads draw tasks; what the next one of a thread will be is known where it draws ahead or has some at once, and
 * else a guess. */
static void conv_run_tasks(const fnn_conv_direct *d, const char *packed, const fnn_chain *chain,
                           char *scratch, fnn_team *team) {
  conv_list list = conv_cut(d, team->size);
  int64_t draws = ceil_div(list.count, list.each), next;
  for (int64_t i = fnn_take(team); i < draws; i = next) {
    next = list.ahead ? fnn_take(team) : i + team->size;
    int64_t end = at_most(list.count, (i + 1) * list.each);
    for (int64_t j = i * list.each; j < end; j++) {
      conv_task task = conv_task_at(d, &list, j);
      int64_t after = j + 1 < end ? j + 1 : next * list.each;
      if (after < list.count) {
        conv_task then = conv_task_at(d, &list, after);
        if (then.block == task.block && then.group == task.group)
          conv_input_ahead(d, &then, &task);
        else if (list.ahead)
          conv_panels_ahead(d, packed, &then, &task);
      }
      if (task.begin[0] < task.end[0] && task.begin[1] < task.end[1])
        conv_run_task(d, &task, packed, chain, scratch);
    }
    if (!list.ahead) next = fnn_take(team);
  }
  fnn_taken(team, draws);
}

fnn_status fnn_conv_direct_plan(const fnn_conv *conv, fnn_plan *plan, fnn_failure *why) {
  fnn_conv_direct d;
  if (!fnn_conv_direct_prepare(conv, &d))
    return fnn_fail(why, FNN_ERR_MEMORY, "convolution: its workspace is beyond any memory");
  plan->flops = fnn_conv_flops(conv);
  plan->bytes = fnn_bytes(&conv->x) + fnn_bytes(&conv->w) + fnn_bytes(&conv->y);
  int64_t most = ceil_div(d.out_size[0], d.spread[0]) * d.groups * d.images * d.phases[0] *
                 d.phases[1] * ceil_div(d.panels, d.block);
  if (d.out_size[0] == 1) most *= ceil_div(ceil_div(d.out_size[1], d.spread[1]), d.strip[1]);
  most = at_most(most, (int64_t)(plan->flops / FNN_GEMM_FLOPS_WORTH(d.kernels->lanes)));
  plan->tasks = at_least(1, at_most(most, fnn_conv_threads()));
  plan->workspace = d.packed_bytes + plan->tasks * (d.strip_bytes + d.list_bytes);
  return FNN_OK;
}

void fnn_conv_direct_run(const fnn_conv *conv, const fnn_chain *chain, fnn_team *team) {
  fnn_conv_direct d;
  if (!fnn_conv_direct_prepare(conv, &d)) return; /* not after plan */
  const char *packed = d.weights.data;
  if (!conv->packed) {
    packed = team->workspace;
    fnn_range share = fnn_share(d.groups * d.panels, team);
    for (int64_t i = share.begin; i < share.end; i++)
      fnn_conv_pack_panel(&d.weights, i, team->workspace + i * d.panel_elements * d.size);
    fnn_team_barrier(team);
  }
  char *scratch = team->workspace + d.packed_bytes + team->id * (d.strip_bytes + d.list_bytes);
  conv_run_tasks(&d, packed, chain, scratch, team);
}
