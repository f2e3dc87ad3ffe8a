/* kernels.c: every family of ops against plain loops, through fnn_launch, without Python.
 *
 * For each instruction set that the machine has, both real types, random shapes, strides and offsets, one
 * thread and several; results for different thread counts must be the same bits. Arrays have guard bytes
 * around them. Prints what it ran; exits with 1 at the first difference. `kernels SEED` repeats a run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/fastnn.h"

enum { GUARD = 64 };
static uint64_t random_state = 1;
static const char *isa;
static const char *subject = "";
static int64_t checked;

static void fail_at(int line, const char *what) {
  printf("kernels.c:%d: %s (%s, %s)\n", line, what, subject, isa);
  exit(1);
}
#define CHECK(condition) \
  if (!(condition)) fail_at(__LINE__, "not true: " #condition)

/* --- random numbers --- */
static uint64_t next(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}
static int64_t below(int64_t n) { return (int64_t)(next() % (uint64_t)n); }
static double between(double low, double high) {
  return low + (high - low) * (double)(next() >> 11) / 9007199254740992.0;
}
/* Mostly small and odd, now and then zero or large enough for several blocks and threads. */
static int64_t length(int64_t large) {
  int64_t kind = below(10);
  return kind == 0 ? 0 : kind < 6 ? 1 + below(40) : kind < 9 ? 1 + below(130) : 1 + below(large);
}

/* --- arrays --- */
static int64_t itemsize(int dtype) {
  return dtype == FNN_F64 || dtype == FNN_I64 ? 8 : dtype < FNN_U8 ? 4 : 1;
}

static int64_t count(const fnn_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->ndim; i++) n *= a->shape[i];
  return n;
}

typedef struct {
  fnn_array a;
  unsigned char *memory;
  int64_t bytes;
} block;

/* A block of memory under guard, for an array of the given shape; loose: strides that leave gaps. */
static block make(int dtype, int ndim, const int64_t *shape, int loose) {
  block b = {.a = {.ndim = ndim, .dtype = dtype}};
  int64_t stride = loose ? 1 + below(2) : 1, low = 0, high = 0;
  for (int i = ndim - 1; i >= 0; i--) {
    b.a.shape[i] = shape[i];
    int backwards = loose && below(4) == 0;
    b.a.stride[i] = backwards ? -stride : stride;
    int64_t reach = (shape[i] > 0 ? shape[i] - 1 : 0) * b.a.stride[i];
    *(backwards ? &low : &high) += reach;
    stride *= (shape[i] > 0 ? shape[i] : 1) + (loose ? below(3) : 0);
  }
  int64_t size = itemsize(dtype), offset = GUARD + size * below(5);
  b.bytes = offset + (high - low + 1) * size + GUARD;
  b.memory = malloc((size_t)b.bytes);
  if (!b.memory) exit(2);
  memset(b.memory, 0x5a, (size_t)b.bytes);
  b.a.data = b.memory + offset - low * size;
  return b;
}

static block make1(int dtype, int64_t n, int loose) { return make(dtype, 1, &n, loose); }

static char *element(const fnn_array *a, int64_t i) {
  int64_t at = 0;
  for (int d = a->ndim - 1; d >= 0; d--) {
    at += i % a->shape[d] * a->stride[d];
    i /= a->shape[d];
  }
  return (char *)a->data + at * itemsize(a->dtype);
}

static double get(const fnn_array *a, int64_t i) {
  const void *p = element(a, i);
  switch (a->dtype) {
    case FNN_F32:
      return *(const float *)p;
    case FNN_F64:
      return *(const double *)p;
    case FNN_I64:
      return (double)*(const int64_t *)p;
    case FNN_I32:
      return *(const int32_t *)p;
    default:
      return *(const uint8_t *)p;
  }
}

static void set(const fnn_array *a, int64_t i, double x) {
  void *p = element(a, i);
  switch (a->dtype) {
    case FNN_F32:
      *(float *)p = (float)x;
      break;
    case FNN_F64:
      *(double *)p = x;
      break;
    case FNN_I64:
      *(int64_t *)p = (int64_t)x;
      break;
    case FNN_I32:
      *(int32_t *)p = (int32_t)x;
      break;
    default:
      *(uint8_t *)p = (uint8_t)x;
  }
}

static void fill(const block *b, double low, double high) {
  for (int64_t i = 0, n = count(&b->a); i < n; i++) set(&b->a, i, between(low, high));
}

/* --- calls --- */
typedef struct {
  fnn_call call;
  int scalars;
} launch;

static launch of(int op) {
  subject = fnn_op(op)->name;
  return (launch){.call.op = op};
}
static void give(launch *l, const block *b) {
  fnn_array none = {.ndim = -1};
  l->call.arrays[l->call.n_arrays++] = b ? b->a : none;
}
static void real(launch *l, double x) { l->call.scalars[l->scalars++].f = x; }
static void integer(launch *l, int64_t x) { l->call.scalars[l->scalars++].i = x; }

/* Run with one thread and with three; all bytes of `out` must agree, guards included. */
static void run(launch *l, const block *out) {
  fnn_failure why;
  unsigned char *before = malloc((size_t)out->bytes), *once = malloc((size_t)out->bytes);
  if (!before || !once) exit(2);
  memcpy(before, out->memory, (size_t)out->bytes);
  fnn_set_threads(1);
  if (fnn_launch(&l->call, &why) != FNN_OK) fail_at(__LINE__, why.message);
  memcpy(once, out->memory, (size_t)out->bytes);
  memcpy(out->memory, before, (size_t)out->bytes);
  fnn_set_threads(3);
  if (fnn_launch(&l->call, &why) != FNN_OK) fail_at(__LINE__, why.message);
  CHECK(memcmp(once, out->memory, (size_t)out->bytes) == 0);
  for (int i = 0; i < GUARD; i++)
    CHECK(out->memory[i] == before[i] &&
          out->memory[out->bytes - 1 - i] == before[out->bytes - 1 - i]);
  free(before);
  free(once);
  checked++;
}

/* Of one result: rounding errors that grow with `scale`, `units` of the type's precision. */
static void near(const fnn_array *y, int64_t i, double expect, double scale, double units) {
  double seen = get(y, i), eps = y->dtype == FNN_F32 ? 1.2e-7 : 2.3e-16;
  if (isnan(expect) ? isnan(seen)
                    : seen == expect || fabs(seen - expect) <= units * eps * scale + 1e-37)
    return;
  printf("%s: element %lld is %.9g, expected %.9g (tolerance %.3g)\n", subject, (long long)i, seen,
         expect, units * eps * scale);
  fail_at(__LINE__, "result");
}

static void drop(block *b) { free(b->memory); }

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

/* --- loss --- */
static void losses(int dtype) {
  int64_t rows = 1 + below(300), classes = 1 + below(40), sx[2] = {rows, classes},
          ss[2] = {rows, 2};
  block x = make(dtype, 2, sx, 0), target = make(dtype, 2, sx, 0), labels = make1(FNN_I64, rows, 0);
  block loss = make(dtype, 0, NULL, 0), total = make(dtype, 0, NULL, 0),
        stats = make(dtype, 2, ss, 0);
  fill(&x, -5, 5);
  fill(&target, -5, 5);
  long double squares = 0, entropy = 0;
  for (int64_t i = 0; i < rows; i++) {
    double sum = 0;
    set(&labels.a, i, (double)below(classes));
    for (int64_t j = i * classes; j < (i + 1) * classes; j++) {
      sum += exp(get(&x.a, j));
      squares += pow(get(&x.a, j) - get(&target.a, j), 2);
    }
    entropy += log(sum) - get(&x.a, i * classes + (int64_t)get(&labels.a, i));
  }
  launch l = of(FNN_OP_mse_loss);
  give(&l, &x);
  give(&l, &target);
  give(&l, NULL);
  give(&l, NULL);
  give(&l, &loss);
  real(&l, 1);
  integer(&l, 2);
  run(&l, &loss);
  near(&loss.a, 0, (double)squares / (double)(rows * classes), 30, 16);
  l = of(FNN_OP_cross_entropy);
  give(&l, &x);
  give(&l, &labels);
  give(&l, NULL);
  give(&l, NULL);
  give(&l, &loss);
  give(&l, &total);
  give(&l, &stats);
  real(&l, 0);
  integer(&l, -100);
  integer(&l, 2);
  run(&l, &loss);
  near(&loss.a, 0, (double)entropy / (double)rows, 10, 16);
  set(&labels.a, below(rows),
      (double)classes); /* a label out of range: an error, nothing written */
  double before = get(&loss.a, 0);
  fnn_failure why;
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_VALUE && get(&loss.a, 0) == before);
  drop(&x), drop(&target), drop(&labels), drop(&loss), drop(&total), drop(&stats);
}

/* --- move --- */
static void moves(int dtype) {
  int64_t outer = 1 + below(5), m = 1 + below(50), inner = 1 + below(70), n = length(400);
  int64_t sx[3] = {outer, m, inner}, sy[3] = {outer, n, inner};
  block x = make(dtype, 3, sx, (int)below(2)), y = make(dtype, 3, sy, 0),
        index = make1(FNN_I64, n, 0);
  block sums = make(dtype, 3, sx, 0);
  fill(&x, -1, 1);
  for (int64_t i = 0; i < n; i++) set(&index.a, i, (double)(below(2 * m) - m));
  launch l = of(FNN_OP_gather);
  give(&l, &x);
  give(&l, &index);
  give(&l, &y);
  run(&l, &y);
  double *expect = calloc((size_t)(outer * m * inner), sizeof(double));
  if (!expect) exit(2);
  for (int64_t i = 0; i < count(&y.a); i++) {
    int64_t row = (int64_t)get(&index.a, i / inner % n), from;
    from = (i / inner / n * m + (row < 0 ? row + m : row)) * inner + i % inner;
    near(&y.a, i, get(&x.a, from), 0, 0);
    expect[from] += get(&y.a, i);
  }
  for (int64_t i = 0; i < count(&sums.a); i++) set(&sums.a, i, 0);
  l = of(FNN_OP_scatter_add);
  give(&l, &sums);
  give(&l, &index);
  give(&l, &y);
  give(&l, &sums);
  integer(&l, INT64_MIN);
  run(&l, &sums);
  for (int64_t i = 0; i < count(&sums.a); i++) near(&sums.a, i, expect[i], (double)(n + 1), 2);
  if (n > 0) {
    fnn_failure why;
    unsigned char *before = malloc((size_t)y.bytes);
    if (!before) exit(2);
    l = of(FNN_OP_gather);
    give(&l, &x);
    give(&l, &index);
    give(&l, &y);
    set(&index.a, below(n), (double)m);
    memcpy(before, y.memory, (size_t)y.bytes);
    CHECK(fnn_launch(&l.call, &why) == FNN_ERR_VALUE);
    CHECK(memcmp(before, y.memory, (size_t)y.bytes) == 0);
    free(before);
  }
  free(expect);
  drop(&x), drop(&y), drop(&index), drop(&sums);
}

/* --- random --- */
static void randoms(int dtype) {
  int64_t n = 1 + length(30000);
  block key = make1(FNN_I64, 2, 0), y = make1(dtype, n, 0), order = make1(FNN_I64, n, 0);
  set(&key.a, 0, (double)below(1000000));
  set(&key.a, 1, (double)below(1000000));
  launch l = of(FNN_OP_uniform);
  give(&l, &key);
  give(&l, &y);
  real(&l, -2);
  real(&l, 3);
  run(&l, &y);
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    CHECK(get(&y.a, i) >= -2 && get(&y.a, i) <= 3);
    sum += get(&y.a, i) - 0.5;
  }
  CHECK(fabs(sum) < 6 * 1.4434 * sqrt((double)n)); /* six standard deviations */
  l = of(FNN_OP_permutation);
  give(&l, &key);
  give(&l, &order);
  run(&l, &order);
  unsigned char *seen = calloc((size_t)n, 1);
  if (!seen) exit(2);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = (int64_t)get(&order.a, i);
    CHECK(at >= 0 && at < n && !seen[at]);
    seen[at] = 1;
  }
  free(seen);
  drop(&key), drop(&y), drop(&order);
}

/* --- optimizer --- */
static void optimizers(int dtype) {
  int64_t n = 1 + length(60000);
  block w = make1(dtype, n, 0), g = make1(dtype, n, 0), h = make1(FNN_F64, 16, 0);
  block dot = make(FNN_F64, 0, NULL, 0);
  fill(&w, -1, 1);
  fill(&g, -1, 1);
  double *expect = malloc(sizeof(double) * (size_t)n), product = 0;
  if (!expect) exit(2);
  for (int64_t i = 0; i < 16; i++) set(&h.a, i, 0);
  set(&h.a, 0, 0.1);      /* lr */
  set(&h.a, 1, 0.01);     /* decay */
  set(&h.a, 2, INFINITY); /* limit */
  set(&h.a, 3, 1);        /* sign */
  for (int64_t i = 0; i < n; i++) {
    product += get(&w.a, i) * get(&g.a, i);
    expect[i] = get(&w.a, i) - 0.1 * (get(&g.a, i) + 0.01 * get(&w.a, i));
  }
  launch l = of(FNN_OP_flat_dot);
  give(&l, &w);
  give(&l, &g);
  give(&l, &dot);
  run(&l, &dot);
  near(&dot.a, 0, product, (double)n * (dtype == FNN_F32 ? 1e9 : 1), 8);
  l = of(FNN_OP_sgd);
  give(&l, &w);
  give(&l, &g);
  give(&l, NULL);
  give(&l, NULL);
  give(&l, &h);
  give(&l, &w);
  give(&l, NULL);
  run(&l, &w);
  for (int64_t i = 0; i < n; i++) near(&w.a, i, expect[i], 1, 3);
  free(expect);
  drop(&w), drop(&g), drop(&h), drop(&dot);
}

/* --- what must be refused --- */
static void refusals(int dtype) {
  block a = make1(dtype, 5, 0), b = make1(dtype, 6, 0), y = make1(dtype, 5, 0);
  fnn_failure why;
  launch l = of(FNN_OP_add);
  give(&l, &a);
  give(&l, &b);
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_VALUE); /* too few arrays */
  give(&l, &y);
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_SHAPE);
  l.call.arrays[1].dtype = FNN_DTYPES;
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_DTYPE);
  l.call.arrays[1].data = NULL;
  l.call.arrays[1].ndim = -1;
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_VALUE); /* an array that may not be absent */
  l.call.op = FNN_OPS;
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_VALUE);
  drop(&a), drop(&b), drop(&y);
}

int main(int argc, char **argv) {
  static void (*const families[])(int) = {unary,      binary,     copies,  products,
                                          reductions, softmaxes,  losses,  moves,
                                          randoms,    optimizers, refusals};
  int repeats = argc > 2 ? atoi(argv[2]) : 3, supported;
  CHECK(fnn_isa_select("no such") == -1);
  for (int i = 0; fnn_isa_compiled(i, &isa, &supported); i++) {
    if (!supported) {
      CHECK(fnn_isa_select(isa) == -2);
      continue;
    }
    CHECK(fnn_isa_select(isa) == 0);
    random_state = argc > 1 ? (uint64_t)atoll(argv[1]) : 20261122;
    for (int repeat = 0; repeat < repeats; repeat++)
      for (int dtype = FNN_F32; dtype <= FNN_F64; dtype++)
        for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) families[f](dtype);
    printf("kernels: %s passed\n", isa);
  }
  printf("kernels: %lld results checked, all passed\n", (long long)checked);
  return 0;
}
