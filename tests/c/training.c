/* training.c: losses, gathers, random numbers and optimizer steps against plain loops; refused calls. */
#include "harness.h"

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
    CHECK(fnn_launch(&l.call, &why) == FNN_ERR_INDEX);
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
  static const family_test families[] = {losses, moves, randoms, optimizers, refusals};
  return run_families(families, sizeof families / sizeof families[0], argc, argv);
}
