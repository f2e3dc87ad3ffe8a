/* winograd_grid.c: the tiles of images, read into planes, and whether it pays. */
#include "winograd.h"

#define GATHERED 256 /* bytes of channels that are collected at a time where they lie apart */

/* Where the inputs of a tile begin, in rows or columns of x; those `from` to before `to` are inside. */
typedef struct {
  int64_t first;
  int from, to;
} extent;

static extent inside(const fnn_winograd_grid *g, int axis, int64_t tile) {
  int64_t first = tile * g->way->m - g->pad[axis];
  int from = (int)at_least(0, at_most(-first, g->way->a));
  return (extent){first, from, (int)at_least(from, at_most(g->in[axis] - first, g->way->a))};
}

/* One tile whose channels lie apart. */
static void gather_tile(const fnn_winograd_grid *g, const char *x, int64_t n, fnn_winograd_box box,
                        char *planes, int64_t step) {
  _Alignas(64) char some[36 * GATHERED];
  int64_t size = g->size, cols = box.right - box.left;
  for (int64_t c = 0; c < n; c += GATHERED / size) {
    int64_t count = at_most(GATHERED / size, n - c);
    char *to = some;
    for (int r = 0; r < box.bottom - box.top; r++)
      for (int s = 0; s < cols; s++, to += count * size)
        g->kernels->gemm.pack(1, 1, count,
                              x + (r * g->stride[1] + s * g->stride[2] + c * g->stride[3]) * size,
                              0, g->stride[3], to);
    g->way->input(count, some, cols * count, count, box, planes + c * size, step);
  }
}

void fnn_winograd_inputs(const fnn_winograd_grid *g, int64_t first, int64_t count, int64_t c,
                         int64_t n, char *planes, int64_t step) {
  fnn_winograd_place p = fnn_winograd_place_of(g, first);
  int64_t row = fnn_winograd_pitch(g, n) * g->size;
  for (int64_t i = 0; i < count; i++, fnn_winograd_next(g, &p), planes += row) {
    extent r = inside(g, 0, p.row), s = inside(g, 1, p.col);
    fnn_winograd_box box = {r.from, r.to, s.from, s.to};
    const char *x = g->x;
    if (r.from < r.to && s.from < s.to)
      x += (p.image * g->stride[0] + (r.first + r.from) * g->stride[1] +
            (s.first + s.from) * g->stride[2] + c * g->stride[3]) *
           g->size;
    else
      box = (fnn_winograd_box){0, 0, 0, 0};
    if (g->stride[3] == 1 || n == 1)
      g->way->input(n, x, g->stride[1], g->stride[2], box, planes, step);
    else
      gather_tile(g, x, n, box, planes, step);
  }
}

fnn_winograd_grid fnn_winograd_grid_of(const fnn_conv *conv, int m) {
  const fnn_kernels *kernels = fnn_kernels_of(conv->dtype);
  int grad = conv->op == FNN_OP_conv_grad_x;
  const fnn_array *in = grad ? &conv->y : &conv->x;
  fnn_winograd_grid g = {.kernels = kernels,
                         .way = &kernels->winograd.way[m == 4],
                         .size = fnn_itemsize(conv->dtype),
                         .planes = (m + 2) * (m + 2),
                         .x = in->data,
                         .images = conv->images,
                         .channels = grad ? conv->outputs : conv->channels};
  for (int i = 0; i < 4; i++) g.stride[i] = in->stride[i];
  for (int i = 0; i < 2; i++) {
    g.in[i] = grad ? conv->out[i] : conv->in[i];
    g.out[i] = grad ? conv->in[i] : conv->out[i];
    g.pad[i] = grad ? 2 - conv->pad[i] : conv->pad[i];
  }
  g.down = ceil_div(g.out[0], m);
  g.across = ceil_div(g.out[1], m);
  g.tiles = g.images * g.down * g.across;
  return g;
}

/* --- whether it pays --- */

#define LEAST_CHANNELS 16 /* with 8 it was no faster */
#define MARGIN 1.15
#define LAUNCH \
  0.3e6 /* multiplications: for meeting once more, and reaching the speed of long runs */
#define LIMIT 0x1p38 /* pixels, or weights: more fit no memory */

/* What tiles of m x m cost, in multiplications at the speed of the direct sums. On a Zen 5, convolutions of 16 to
 * 512 channels, images of 4 to 56 pixels and batches of 1 to 64 were measured, with one thread and two: a
 * product is 1.4 times as dear as in the direct sum, the transform of an input or output 8 times for each
 * element of a plane, that of a weight 16 times, or 6 in the gradient of weights, whose direct sum is slower
 * by a tenth. Where this says that it pays it did, 1.9 times in the mean. */
static double winograd_cost(const fnn_conv *conv, double c, double o, int64_t m) {
  const int64_t *out = conv->op == FNN_OP_conv_grad_x ? conv->in : conv->out;
  double tiles = (double)conv->images * (double)ceil_div(out[0], m) * (double)ceil_div(out[1], m);
  double weight = conv->op == FNN_OP_conv_grad_w ? 6 : 16;
  double planes = (double)((m + 2) * (m + 2));
  return planes * (1.4 * tiles * c * o + 8 * tiles * (c + o) + weight * c * o);
}

int fnn_winograd_tile(const fnn_conv *conv) {
  for (int i = 0; i < 2; i++)
    if (conv->kernel[i] != 3 || conv->stride[i] != 1 || conv->dilation[i] != 1) return 0;
  const int64_t *out = conv->op == FNN_OP_conv_grad_x ? conv->in : conv->out;
  double pixels = (double)conv->images * (double)out[0] * (double)out[1];
  double c = (double)(ceil_div(conv->channels, 16) * 16);
  double o = (double)(ceil_div(conv->outputs, 16) * 16);
  if (conv->w.ndim == 5 || conv->groups != 1 || pixels * c * o == 0) return 0;
  if (pixels > LIMIT || c * o > LIMIT) return 0;
  if (conv->ways & FNN_CONV_WINOGRAD_2) return 2;
  if (conv->ways & FNN_CONV_WINOGRAD_4) return 4;
  if (!(conv->ways & FNN_CONV_ALLOW_WINOGRAD) ||
      at_most(conv->channels, conv->outputs) < LEAST_CHANNELS)
    return 0;
  double two = winograd_cost(conv, c, o, 2), four = winograd_cost(conv, c, o, 4);
  double direct = (conv->op == FNN_OP_conv_grad_w ? 1.1 : 1) * 9 * pixels * c * o;
  if (direct < MARGIN * (two < four ? two : four) + LAUNCH) return 0;
  return two < four ? 2 : 4;
}
