/* conv.c: convolutions and their gradients against plain loops: any strides of memory, groups, paddings. */
#include "harness.h"

typedef struct {
  int64_t images, groups, channels, outputs; /* of a group */
  int64_t in[2], out[2], kernel[2], stride[2], pad[2], dilation[2];
} shapes;

static shapes any_shapes(void) {
  shapes s = {.images = 1 + below(3), .groups = 1 + below(4) / 2};
  s.channels = 1 + below(below(2) ? 40 : 5);
  s.outputs = 1 + below(below(2) ? 70 : 5);
  for (int i = 0; i < 2; i++) {
    s.in[i] = 1 + below(20);
    s.kernel[i] = 1 + below(4);
    s.stride[i] = 1 + below(3);
    s.pad[i] = below(3);
    s.dilation[i] = 1 + below(5) / 3;
    int64_t reach = s.in[i] + 2 * s.pad[i] - (s.kernel[i] - 1) * s.dilation[i] - 1;
    s.out[i] = reach < 0 ? 1 : reach / s.stride[i] + 1;
  }
  return s;
}

static void scalars(launch *l, const shapes *s) {
  for (int i = 0; i < 2; i++) integer(l, s->stride[i]);
  for (int i = 0; i < 2; i++) integer(l, s->pad[i]);
  for (int i = 0; i < 2; i++) integer(l, s->dilation[i]);
  integer(l, s->groups);
  integer(l, 0); /* sums in order */
}

static double at(const block *b, int64_t i, int64_t j, int64_t k, int64_t l) {
  const int64_t *n = b->a.shape;
  return get(&b->a, ((i * n[1] + j) * n[2] + k) * n[3] + l);
}

/* Calls visit with every product of the convolution: x at (n, p, q, c), w at (o, u, v, c'), y at (n, i, j, o). */
typedef void (*visitor)(int64_t n, const int64_t y[3], const int64_t x[3], const int64_t w[4]);

static void every_product(const shapes *s, visitor visit) {
  int64_t outputs = s->groups * s->outputs;
  for (int64_t n = 0; n < s->images; n++)
    for (int64_t i = 0; i < s->out[0] * s->out[1] * outputs; i++) {
      int64_t o = i % outputs, y[3] = {i / outputs / s->out[1], i / outputs % s->out[1], o};
      for (int64_t e = 0; e < s->kernel[0] * s->kernel[1] * s->channels; e++) {
        int64_t c = e % s->channels, u = e / s->channels / s->kernel[1],
                v = e / s->channels % s->kernel[1];
        int64_t x[3] = {y[0] * s->stride[0] + u * s->dilation[0] - s->pad[0],
                        y[1] * s->stride[1] + v * s->dilation[1] - s->pad[1],
                        o / s->outputs * s->channels + c};
        const int64_t w[4] = {o, u, v, c};
        if (x[0] >= 0 && x[0] < s->in[0] && x[1] >= 0 && x[1] < s->in[1]) visit(n, y, x, w);
      }
    }
}

/* The arrays of the run, and the sums that are expected in one of them. */
static block x_, w_, y_;
static double *sums;

static double *place(const block *b, int64_t i, int64_t j, int64_t k, int64_t l) {
  const int64_t *n = b->a.shape;
  return &sums[((i * n[1] + j) * n[2] + k) * n[3] + l];
}
static void to_y(int64_t n, const int64_t y[3], const int64_t x[3], const int64_t w[4]) {
  *place(&y_, n, y[0], y[1], y[2]) +=
      at(&x_, n, x[0], x[1], x[2]) * at(&w_, w[0], w[1], w[2], w[3]);
}
static void to_x(int64_t n, const int64_t y[3], const int64_t x[3], const int64_t w[4]) {
  *place(&x_, n, x[0], x[1], x[2]) +=
      at(&y_, n, y[0], y[1], y[2]) * at(&w_, w[0], w[1], w[2], w[3]);
}
static void to_w(int64_t n, const int64_t y[3], const int64_t x[3], const int64_t w[4]) {
  *place(&w_, w[0], w[1], w[2], w[3]) +=
      at(&y_, n, y[0], y[1], y[2]) * at(&x_, n, x[0], x[1], x[2]);
}

/* Run the call and check `made`, whose sums have up to `terms` terms of at most 1. */
static void compare(launch *l, const shapes *s, block *made, const block *bias, visitor visit,
                    double terms) {
  int64_t n = count(&made->a);
  sums = calloc((size_t)n + 1, sizeof *sums);
  if (!sums) exit(2);
  every_product(s, visit);
  run(l, made);
  for (int64_t i = 0; i < n; i++)
    near(&made->a, i, sums[i] + (bias ? get(&bias->a, i % made->a.shape[3]) : 0), 1 + terms, 2);
  free(sums);
}

static void forward(int dtype, const shapes *s, const block *bias) {
  launch l = of(FNN_OP_conv);
  (void)dtype;
  give(&l, &x_);
  give(&l, &w_);
  give(&l, bias);
  give(&l, &y_);
  scalars(&l, s);
  compare(&l, s, &y_, bias, to_y, (double)(s->kernel[0] * s->kernel[1] * s->channels));
}

/* The same with weights that were packed before: the same bits. */
static void packed(int dtype, const shapes *s, const block *bias) {
  launch pack = of(FNN_OP_conv_pack), l = of(FNN_OP_conv);
  give(&l, &x_);
  give(&l, &w_);
  give(&l, bias);
  give(&l, &y_);
  scalars(&l, s);
  int64_t shape[FNN_MAX_DIMS];
  int ndim = fnn_conv_packs(&l.call, shape);
  if (!ndim) return;
  block w = make(dtype, ndim, shape, 0), y = make(dtype, 4, y_.a.shape, 0);
  give(&pack, &w_);
  give(&pack, &w);
  integer(&pack, s->groups);
  integer(&pack, 0);
  fill(&w, -9, 9);
  run(&pack, &w);
  l.call.arrays[1] = w.a;
  l.call.arrays[3] = y.a;
  run(&l, &y);
  for (int64_t i = 0, n = count(&y.a); i < n; i++) CHECK(get(&y.a, i) == get(&y_.a, i));
  drop(&w), drop(&y);
}

static void gradients(int dtype, const shapes *s) {
  block x = x_, w = w_;
  launch l = of(FNN_OP_conv_grad_x);
  fill(&y_, -1, 1);
  x_ = make(dtype, 4, x.a.shape, 0);
  give(&l, &y_);
  give(&l, &w_);
  give(&l, NULL);
  give(&l, &x_);
  scalars(&l, s);
  compare(&l, s, &x_, NULL, to_x, (double)(s->kernel[0] * s->kernel[1] * s->outputs));
  drop(&x_);
  x_ = x;
  l = of(FNN_OP_conv_grad_w);
  w_ = make(dtype, 4, w.a.shape, 0);
  give(&l, &x_);
  give(&l, &y_);
  give(&l, &w_);
  scalars(&l, s);
  compare(&l, s, &w_, NULL, to_w, (double)(s->images * s->out[0] * s->out[1]));
  drop(&w_);
  w_ = w;
}

static void convolutions(int dtype) {
  for (int round = 0; round < 12; round++) {
    shapes s = any_shapes();
    const int64_t in[4] = {s.images, s.in[0], s.in[1], s.groups * s.channels};
    const int64_t kernel[4] = {s.groups * s.outputs, s.kernel[0], s.kernel[1], s.channels};
    const int64_t out[4] = {s.images, s.out[0], s.out[1], s.groups * s.outputs};
    x_ = make(dtype, 4, in, (int)below(2));
    w_ = make(dtype, 4, kernel, (int)below(2));
    y_ = make(dtype, 4, out, 0);
    block bias = make1(dtype, s.groups * s.outputs, 0);
    fill(&x_, -1, 1);
    fill(&w_, -1, 1);
    fill(&bias, -1, 1);
    const block *with = below(2) ? &bias : NULL;
    forward(dtype, &s, with);
    packed(dtype, &s, with);
    gradients(dtype, &s);
    drop(&x_), drop(&w_), drop(&y_), drop(&bias);
  }
}

int main(int argc, char **argv) {
  static const family_test families[] = {convolutions};
  return run_families(families, sizeof families / sizeof families[0], argc, argv);
}
