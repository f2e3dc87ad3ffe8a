/* conv_grad_w_shape.c: the gradient of a convolution's weights, read from its call and cut. */
#include "conv_grad_w.h"

/* Channels of a pixel that are read where they lie, in bytes: the pixels of a strip then share the sets of L1
 * well enough. */
#define IN_PLACE_BYTES 256
/* A strip and its copies stay in L2 beside the sums, but it has as many pixels as make it worth while to fetch
 * and store these. On a Zen 5, 128 channels came to 79 % of the peak with 128 pixels, to 86 % with 392. */
#define STRIP_BYTES (128 << 10)
#define STRIP_PIXELS 256
/* Work of a task, at least, by arithmetic or by what is read, and tasks, at most; so many even where pixels do
 * not suffice for parts. */
#define TASK_FLOPS 4e6
#define TASK_BYTES 3e5
#define TASKS FNN_GRAD_W_PARTS
#define WIDE_TASKS 8
/* Pixels of a part, at least, so that to add up the parts costs a few percent; bytes of all parts. */
#define PART_PIXELS 1024
#define PARTS_BYTES (4 << 20)
/* Outputs or channels of a task where there are as many, at least and at most, times the elements of the kernel,
 * which share the cost of copying x and dy; but these are at least and at most the widths themselves. */
#define LEAST_WIDTH 64
#define LEAST_KERNEL_WIDTH 128
#define MOST_WIDTH 128
#define MOST_KERNEL_WIDTH 512

/* n cut into as few equal pieces of at most `limit` as can be, each then rounded up to a multiple of `unit`. */
static int64_t even(int64_t n, int64_t limit, int64_t unit) {
  int64_t pieces = ceil_div(n, at_least(limit, 1));
  return ceil_div(ceil_div(n, pieces), unit) * unit;
}

static void grad_w_read(const fnn_conv *conv, fnn_grad_w *g) {
  g->kernels = fnn_kernels_of(conv->dtype);
  g->size = fnn_itemsize(conv->dtype);
  g->lanes = g->kernels->lanes;
  g->x = conv->x.data;
  g->dy = conv->y.data;
  g->dw = conv->w.data;
  g->images = conv->images;
  g->groups = conv->groups;
  g->channels = conv->channels / conv->groups;
  g->outputs = conv->outputs / conv->groups;
  for (int i = 0; i < 4; i++) g->x_step[i] = conv->x.stride[i];
  for (int i = 0; i < 3; i++) g->dy_step[i] = conv->y.stride[i];
  for (int i = 0; i < 2; i++) {
    g->in[i] = conv->in[i];
    g->out[i] = conv->out[i];
    g->kernel[i] = conv->kernel[i];
    g->stride[i] = conv->stride[i];
    g->pad[i] = conv->pad[i];
    g->dilation[i] = conv->dilation[i];
    /* Pixels that nothing reads are left out. */
    if (g->kernel[i] == 1 && g->pad[i] == 0 && (g->out[i] - 1) * g->stride[i] < g->in[i]) {
      g->x_step[1 + i] *= g->stride[i];
      g->in[i] = g->out[i];
      g->stride[i] = 1;
    }
  }
}

static int grad_w_padded(const fnn_grad_w *g) {
  for (int i = 0; i < 2; i++)
    if (g->pad[i] > 0 || fnn_grad_w_reach(g, i, g->out[i]) > g->in[i]) return 1;
  return 0;
}

/* Which elements lie side by side, in the copy of x and in a part. */
static void grad_w_form(fnn_grad_w *g) {
  int64_t lanes = g->lanes;
  g->run = g->dilation[1] == 1 ? g->kernel[1] : 1;
  g->runs = g->kernel[1] / g->run;
  int64_t run = g->run * g->channels;
  g->turned =
      g->channels <= lanes && run * ceil_div(g->outputs, lanes) < g->outputs * ceil_div(run, lanes);
  g->in_place = !grad_w_padded(g) && g->x_step[3] == 1 && g->channels * g->size <= IN_PLACE_BYTES &&
                (g->run == 1 || g->x_step[2] == g->channels);
  if (g->in_place || g->channels <= lanes)
    g->block = g->channels;
  else
    g->block = g->run > 1 ? lanes : even(g->channels, 4 * lanes, lanes);
  g->direct = !g->turned && (g->block >= g->channels || g->run == 1);
}

static int64_t grad_w_most_rows(const fnn_gemm_kernels *k, int64_t cols) {
  return cols <= k->cols ? k->direct_rows : cols == 3 ? k->triple_rows : k->wide_rows;
}

/* Of a step of a tile, in half cycles: a multiply-add or a load takes one, and a sum is ready again after eight.
 * One load is for what is fetched ahead. */
static int64_t grad_w_time(int64_t rows, int64_t cols) {
  return at_least(8, at_least(rows * cols, rows + cols + 1));
}

/* The tile that takes least time. */
static void grad_w_tile(fnn_grad_w *g) {
  const fnn_gemm_kernels *k = &g->kernels->gemm;
  int64_t run = g->run * g->block, m = g->turned ? run : g->outputs;
  int64_t n = ceil_div(g->turned ? g->outputs : run, g->lanes), best = INT64_MAX;
  for (int64_t cols = 1; cols <= at_most(n, k->wide_cols); cols++) {
    for (int64_t rows = at_most(m, grad_w_most_rows(k, cols)); rows > 0; rows--) {
      int64_t time = 0;
      for (int64_t left = n; left > 0; left -= cols) {
        int64_t v = at_most(cols, left);
        time += m / rows * grad_w_time(rows, v);
        if (m % rows) time += grad_w_time(m % rows, v);
      }
      if (time >= best) continue;
      best = time;
      g->rows = rows;
      g->cols = cols;
    }
  }
  g->pack_dy = !g->turned && g->outputs * g->groups * g->size > IN_PLACE_BYTES;
}

/* Parts first, as they copy nothing twice, a power of two of them, which most numbers of threads share evenly;
 * then outputs, then channels. */
static void grad_w_tasks(fnn_grad_w *g, double flops, double read) {
  double wanted = flops / TASK_FLOPS > read / TASK_BYTES ? flops / TASK_FLOPS : read / TASK_BYTES;
  int64_t tasks = wanted < 1 ? 1 : wanted > TASKS ? TASKS : (int64_t)wanted;
  int64_t pixels = g->images * g->out[0] * g->out[1];
  int64_t bytes = g->groups * g->outputs * g->channels * g->kernel[0] * g->kernel[1] * g->size;
  int64_t parts = at_most(at_most(tasks, pixels / PART_PIXELS), PARTS_BYTES / bytes);
  for (g->parts = 1; 2 * g->parts <= parts;) g->parts *= 2;
  int64_t left = ceil_div(at_most(tasks, WIDE_TASKS), g->parts * g->groups);
  int64_t kernel = g->kernel[0] * g->kernel[1];
  int64_t narrow = at_least(LEAST_WIDTH, LEAST_KERNEL_WIDTH / kernel);
  if (kernel > 1 && left > 1) /* few pixels: an image, say */
    while (narrow > g->lanes && ceil_div(g->outputs, narrow) * ceil_div(g->channels, narrow) < 4)
      narrow /= 2;
  int64_t wide = at_least(MOST_WIDTH, MOST_KERNEL_WIDTH / kernel);
  int64_t unit = g->turned ? g->cols * g->lanes : g->rows;
  g->o_each = even(g->outputs, at_most(wide, at_least(narrow, ceil_div(g->outputs, left))), unit);
  g->o_tasks = ceil_div(g->outputs, g->o_each);
  left = ceil_div(left, g->o_tasks);
  g->c_each =
      even(g->channels, at_most(wide, at_least(narrow, ceil_div(g->channels, left))), g->block);
  g->c_tasks = ceil_div(g->channels, g->c_each);
}

static void grad_w_strips(fnn_grad_w *g) {
  int64_t width = (g->c_each + g->o_each) * g->size;
  int64_t pixels = at_least(STRIP_PIXELS, STRIP_BYTES / width), in_row = g->out[1];
  g->strip[2] = even(g->out[1], at_least(pixels, fnn_grad_w_reach(g, 1, 1)), 1);
  g->strip[1] = even(g->out[0], at_most(FNN_GRAD_W_TAPS, ceil_div(pixels, in_row)), 1);
  g->strip[0] = 1;
  if (g->strip[1] == g->out[0])
    g->strip[0] =
        even(g->images,
             at_most(FNN_GRAD_W_TAPS / g->strip[1], ceil_div(pixels, g->strip[1] * in_row)), 1);
  g->strips[0] = ceil_div(g->images, g->strip[0]);
  for (int i = 0; i < 2; i++) g->strips[1 + i] = ceil_div(g->out[i], g->strip[1 + i]);
  g->parts = at_most(g->parts, g->strips[0] * g->strips[1] * g->strips[2]);
  g->tasks = g->parts * g->groups * g->o_tasks * g->c_tasks;
}

/* a * b, or more than any memory. */
static int64_t times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int fnn_grad_w_prepare(const fnn_conv *conv, fnn_grad_w *g) {
  grad_w_read(conv, g);
  grad_w_form(g);
  grad_w_tile(g);
  grad_w_tasks(g, fnn_conv_flops(conv), fnn_bytes(&conv->x) + fnn_bytes(&conv->y));
  grad_w_strips(g);
  int alone = g->groups * g->o_tasks * g->c_tasks * g->strips[2] == 1;
  g->ahead[0] = alone && g->x_step[1] == g->in[1] * g->channels;
  g->ahead[1] = alone && g->dy_step[1] == g->out[1] * g->outputs;
  int64_t pixels = g->strip[0] * g->strip[1] * g->strip[2];
  int64_t meets = times(
      g->strip[0], times(fnn_grad_w_reach(g, 0, g->strip[1]), fnn_grad_w_reach(g, 1, g->strip[2])));
  int64_t copy = times(meets, g->c_each * g->size);
  if (copy > INT64_MAX / 4096) return 0;
  g->x_bytes = g->in_place ? 0 : ceil_div(copy, 64) * 64;
  g->dy_bytes = g->pack_dy ? pixels * ceil_div(g->o_each, g->rows) * g->rows * g->size : 0;
  g->dy_bytes = ceil_div(g->dy_bytes, 64) * 64;
  int64_t bytes = g->groups * g->outputs * g->channels * g->kernel[0] * g->kernel[1] * g->size;
  g->part_bytes = g->parts == 1 && g->direct ? 0 : ceil_div(bytes, 64) * 64;
  return 1;
}
