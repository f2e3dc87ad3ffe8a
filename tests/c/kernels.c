/* kernels.c: pointwise ops, matrix products, reductions, softmax and norms against plain loops. */
#include "harness.h"

/* --- map --- */
static double f_relu(double x) { return x > 0 ? x : 0; }
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_silu(double x) { return x / (1 + exp(-x)); }
static double f_gelu(double x) { return 0.5 * x * erfc(-x * 0.70710678118654752); }
static double f_square(double x) { return x * x; }
static double f_rsqrt(double x) { return 1 / sqrt(x); }
static double f_neg(double x) { return -x; }

static void unary(int dtype) {
  static const struct {
    int op;
    double (*f)(double);
    double low, high;
  } rows[] = {
      {FNN_OP_exp, exp, -80, 80},           {FNN_OP_log, log, 1e-6, 1e6},
      {FNN_OP_tanh, tanh, -10, 10},         {FNN_OP_erf, erf, -5, 5},
      {FNN_OP_sigmoid, f_sigmoid, -30, 30}, {FNN_OP_relu, f_relu, -1, 1},
      {FNN_OP_sqrt, sqrt, 0, 100},          {FNN_OP_rsqrt, f_rsqrt, 0.01, 100},
      {FNN_OP_neg, f_neg, -1, 1},           {FNN_OP_abs, fabs, -1, 1},
      {FNN_OP_square, f_square, -9, 9},     {FNN_OP_gelu, f_gelu, -3, 6},
      {FNN_OP_silu, f_silu, -9, 9},         {FNN_OP_round, nearbyint, -99, 99},
      {FNN_OP_floor, floor, -99, 99},       {FNN_OP_expm1, expm1, -9, 9},
      {FNN_OP_log1p, log1p, -0.9, 99},      {FNN_OP_ceil, ceil, -99, 99},
  };
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
    int64_t shape[2] = {length(60), length(900)};
    block x = make(dtype, 2, shape, (int)below(2)), y = make(dtype, 2, shape, (int)below(2));
    fill(&x, rows[r].low, rows[r].high);
    launch l = of(rows[r].op);
    give(&l, &x);
    give(&l, &y);
    run(&l, &y);
    for (int64_t i = 0, n = count(&x.a); i < n; i++) {
      double expect = rows[r].f(get(&x.a, i));
      near(&y.a, i, expect, fabs(expect) + (rows[r].f == f_gelu ? 1 : 0), 6);
    }
    drop(&x), drop(&y);
  }
}

static double two(int op, double a, double b) {
  switch (op) {
    case FNN_OP_add:
      return a + b;
    case FNN_OP_sub:
      return a - b;
    case FNN_OP_mul:
      return a * b;
    case FNN_OP_div:
      return a / b;
    case FNN_OP_minimum:
      return a < b ? a : b;
    case FNN_OP_maximum:
      return a > b ? a : b;
    case FNN_OP_less:
      return a < b;
    default:
      return a <= b;
  }
}

static void binary(int dtype) {
  static const int ops[] = {FNN_OP_add,     FNN_OP_sub,     FNN_OP_mul,  FNN_OP_div,
                            FNN_OP_minimum, FNN_OP_maximum, FNN_OP_less, FNN_OP_less_equal};
  for (size_t r = 0; r < sizeof ops / sizeof ops[0]; r++) {
    int truth = ops[r] == FNN_OP_less || ops[r] == FNN_OP_less_equal;
    int64_t shape[3] = {1 + below(5), length(40), length(300)};
    block a = make(dtype, 3, shape, (int)below(2)), b = make(dtype, 3, shape, (int)below(2));
    block y = make(truth ? FNN_BOOL : dtype, 3, shape, 0);
    fill(&a, -4, 4);
    fill(&b, 1, 3);
    if (below(2)) b.a.stride[below(3)] = 0; /* broadcast */
    launch l = of(ops[r]);
    give(&l, &a);
    give(&l, &b);
    give(&l, &y);
    run(&l, &y);
    for (int64_t i = 0, n = count(&y.a); i < n; i++) {
      double expect = two(ops[r], get(&a.a, i), get(&b.a, i));
      near(&y.a, i, expect, fabs(expect) + 1e-3, 1);
    }
    drop(&a), drop(&b), drop(&y);
  }
}

static void copies(int dtype) {
  for (int to = 0; to < FNN_DTYPES; to++) {
    int64_t shape[3] = {length(9), length(50), length(200)};
    block x = make(dtype, 3, shape, 1), y = make(to, 3, shape, (int)below(2));
    fill(&x, 0, 200);
    launch l = of(FNN_OP_copy);
    give(&l, &x);
    give(&l, &y);
    run(&l, &y);
    for (int64_t i = 0, n = count(&x.a); i < n; i++) {
      double v = get(&x.a, i);
      near(&y.a, i, to == FNN_BOOL ? v != 0 : to > FNN_F64 ? trunc(v) : v, fabs(v), 1);
    }
    drop(&x), drop(&y);
  }
}

/* --- gemm --- */
static void products(int dtype) {
  for (int repeat = 0; repeat < 12; repeat++) {
    int64_t m = length(300), n = length(300), k = length(700);
    int64_t sa[2] = {m, k}, sb[2] = {k, n}, sc[2] = {m, n};
    block a = make(dtype, 2, sa, (int)below(2)), b = make(dtype, 2, sb, (int)below(2));
    block bias = make1(dtype, n, 0), c = make(dtype, 2, sc, 0);
    if (below(2)) { /* a transposed in memory */
      int64_t ta[2] = {k, m};
      drop(&a);
      a = make(dtype, 2, ta, 0);
      a.a.shape[0] = m, a.a.shape[1] = k;
      a.a.stride[0] = 1, a.a.stride[1] = m;
    }
    fill(&a, -1, 1);
    fill(&b, -1, 1);
    fill(&bias, -1, 1);
    fill(&c, -1, 1);
    int with_bias = (int)below(2), accumulate = (int)below(2), relu = !accumulate && below(2);
    double *expect = malloc(sizeof(double) * (size_t)(m * n + 1));
    if (!expect) exit(2);
    for (int64_t i = 0; i < m * n; i++) {
      double sum = accumulate ? get(&c.a, i) : 0;
      for (int64_t p = 0; p < k; p++) sum += get(&a.a, i / n * k + p) * get(&b.a, p * n + i % n);
      if (with_bias) sum += get(&bias.a, i % n);
      expect[i] = relu && sum < 0 ? 0 : sum;
    }
    launch l = of(FNN_OP_matmul);
    give(&l, &a);
    give(&l, &b);
    give(&l, with_bias ? &bias : NULL);
    give(&l, &c);
    integer(&l, accumulate);
    integer(&l, relu ? FNN_OP_relu : 0);
    real(&l, 0);
    real(&l, 0);
    run(&l, &c);
    for (int64_t i = 0; i < m * n; i++) near(&c.a, i, expect[i], 2 + (double)k, 4);
    free(expect);
    drop(&a), drop(&b), drop(&bias), drop(&c);
  }
}

/* --- reduce --- */
static void reductions(int dtype) {
  static const int ops[] = {FNN_OP_sum,    FNN_OP_mean, FNN_OP_max,       FNN_OP_min,
                            FNN_OP_argmax, FNN_OP_var,  FNN_OP_logsumexp, FNN_OP_sum_squares};
  for (size_t r = 0; r < sizeof ops / sizeof ops[0]; r++) {
    int op = ops[r], axes = (int)below(8);
    int64_t x_shape[3] = {1 + below(9), 1 + below(60), 1 + below(600)}, y_shape[3];
    for (int d = 0; d < 3; d++) y_shape[d] = axes >> d & 1 ? 1 : x_shape[d];
    block x = make(dtype, 3, x_shape, (int)below(2));
    block y = make(op == FNN_OP_argmax ? FNN_I64 : dtype, 3, y_shape, 0);
    fill(&x, -2, 2);
    launch l = of(op);
    give(&l, &x);
    give(&l, &y);
    if (op == FNN_OP_var) real(&l, 0);
    run(&l, &y);
    for (int64_t o = 0, outs = count(&y.a); o < outs; o++) {
      long double sum = 0, squares = 0, exps = 0;
      double low = INFINITY, high = -INFINITY, at = 0, n = 0;
      for (int64_t i = 0; i < count(&x.a); i++) {
        int64_t index[3] = {i / (x_shape[1] * x_shape[2]), i / x_shape[2] % x_shape[1],
                            i % x_shape[2]};
        int64_t to = 0;
        for (int d = 0; d < 3; d++) to = to * y_shape[d] + (y_shape[d] == 1 ? 0 : index[d]);
        if (to != o) continue;
        double v = get(&x.a, i);
        sum += v, squares += v * v, exps += exp(v);
        if (v < low) low = v;
        if (v > high) high = v, at = n;
        n++;
      }
      double mean = (double)(sum / n), expect = (double)sum;
      if (op == FNN_OP_mean) expect = mean;
      if (op == FNN_OP_max) expect = high;
      if (op == FNN_OP_min) expect = low;
      if (op == FNN_OP_argmax) expect = at;
      if (op == FNN_OP_var) expect = (double)(squares / n - (sum / n) * (sum / n));
      if (op == FNN_OP_logsumexp) expect = log((double)exps);
      if (op == FNN_OP_sum_squares) expect = (double)squares;
      near(&y.a, o, expect, 4 + (op == FNN_OP_sum || op == FNN_OP_sum_squares ? 4 * n : 0), 8);
      if (outs > 300) o += outs / 100; /* a sample of many */
    }
    drop(&x), drop(&y);
  }
}

/* --- softmax --- */
static void softmaxes(int dtype) {
  for (int repeat = 0; repeat < 4; repeat++) {
    int axis = (int)below(3), logs = repeat % 2;
    int64_t shape[3] = {1 + below(6), 1 + below(50), 1 + below(150)};
    block x = make(dtype, 3, shape, (int)below(2)), y = make(dtype, 3, shape, 0);
    fill(&x, -9, 9);
    launch l = of(logs ? FNN_OP_log_softmax : FNN_OP_softmax);
    give(&l, &x);
    give(&l, &y);
    integer(&l, axis);
    run(&l, &y);
    int64_t inner = axis == 2 ? 1 : axis == 1 ? shape[2] : shape[1] * shape[2];
    for (int64_t i = 0; i < count(&x.a); i++) {
      int64_t first = i - i / inner % shape[axis] * inner;
      double sum = 0;
      for (int64_t j = 0; j < shape[axis]; j++) sum += exp(get(&x.a, first + j * inner));
      double expect = logs ? get(&x.a, i) - log(sum) : exp(get(&x.a, i)) / sum;
      near(&y.a, i, expect, logs ? 20 : expect, logs ? 4 : 40);
    }
    drop(&x), drop(&y);
  }
}

/* --- norm --- */
static void norms(int dtype) {
  int64_t rows = 1 + below(70), width = 2 + below(300), shape[2] = {rows, width};
  block x = make(dtype, 2, shape, 0), y = make(dtype, 2, shape, 0);
  block weight = make1(dtype, width, 0), mean = make1(dtype, rows, 0), rstd = make1(dtype, rows, 0);
  fill(&x, -2, 2);
  fill(&weight, 0.5, 2);
  launch l = of(FNN_OP_layer_norm);
  give(&l, &x);
  give(&l, &weight);
  give(&l, NULL);
  give(&l, &y);
  give(&l, &mean);
  give(&l, &rstd);
  real(&l, 1e-5);
  integer(&l, width);
  run(&l, &y);
  for (int64_t i = 0; i < rows; i++) {
    double sum = 0, squares = 0;
    for (int64_t j = 0; j < width; j++) sum += get(&x.a, i * width + j);
    double center = sum / (double)width;
    for (int64_t j = 0; j < width; j++) squares += pow(get(&x.a, i * width + j) - center, 2);
    double scale = 1 / sqrt(squares / (double)width + 1e-5);
    near(&mean.a, i, center, 2, 4);
    near(&rstd.a, i, scale, scale, 16);
    for (int64_t j = 0; j < width; j++) {
      double expect = (get(&x.a, i * width + j) - center) * scale * get(&weight.a, j);
      near(&y.a, i * width + j, expect, 4 * (1 + scale), 8);
    }
  }
  drop(&x), drop(&y), drop(&weight), drop(&mean), drop(&rstd);
}

int main(int argc, char **argv) {
  static const family_test families[] = {unary,      binary,    copies, products,
                                         reductions, softmaxes, norms};
  return run_families(families, sizeof families / sizeof families[0], argc, argv);
}
