/* chain.c: chains of pointwise ops against the same ops one by one, and words of code that are no program. */
#include "harness.h"

enum { INPUTS = 7, REGISTER = 8, OUTPUT = 16, OUTPUTS = 3, WORDS = 64 };

static int64_t word(int64_t op, int64_t to, int64_t a, int64_t b) {
  return op | to << 16 | a << 24 | b << 32;
}

static void give_code(launch *l, int64_t *words, int64_t n) {
  l->call.arrays[l->call.n_arrays++] =
      (fnn_array){.data = words, .shape = {n}, .stride = {1}, .ndim = 1, .dtype = FNN_I64};
}

static void give_none(launch *l, int n) {
  for (int i = 0; i < n; i++) give(l, NULL);
}

static void call_two(int op, const block *a, const block *b, const block *y) {
  launch l = of(op);
  give(&l, a);
  give(&l, b);
  give(&l, y);
  run(&l, y);
}

static void equal(const block *seen, const block *expected) {
  for (int64_t i = 0, n = count(&seen->a); i < n; i++)
    near(&seen->a, i, get(&expected->a, i), 0, 0);
}

/* y0 = x0 + x1, y1 = (x0 + x1) * x2 with x1 a row or a column. */
static void steps(int dtype) {
  int64_t rows = length(60), cols = length(3000), shape[2] = {rows, cols};
  int64_t row[2] = {1, cols}, column[2] = {rows, 1};
  block x0 = make(dtype, 2, shape, (int)below(2)), x2 = make(dtype, 2, shape, (int)below(2));
  block x1 = make(dtype, 2, below(2) ? row : column, (int)below(2));
  block y0 = make(dtype, 2, shape, 0), y1 = make(dtype, 2, shape, 0);
  block z0 = make(dtype, 2, shape, 0), z1 = make(dtype, 2, shape, 0);
  fill(&x0, -2, 2);
  fill(&x1, -2, 2);
  fill(&x2, -2, 2);
  call_two(FNN_OP_add, &x0, &x1, &z0);
  call_two(FNN_OP_mul, &z0, &x2, &z1);
  int64_t code[2] = {word(FNN_OP_add, OUTPUT, 0, 1), word(FNN_OP_mul, OUTPUT + 1, OUTPUT, 2)};
  launch l = of(FNN_OP_chain);
  give_code(&l, code, 2);
  give(&l, &x0);
  give(&l, &x1);
  give(&l, &x2);
  give_none(&l, INPUTS - 3);
  give(&l, &y0);
  give(&l, &y1);
  give_none(&l, 1);
  run(&l, &y1);
  equal(&y0, &z0);
  equal(&y1, &z1);
  drop(&x0), drop(&x1), drop(&x2), drop(&y0), drop(&y1), drop(&z0), drop(&z1);
}

/* c = relu_grad(e, a b), and c = drop(a b) as the op does it. */
static void products(int dtype) {
  int64_t m = 1 + below(90), k = below(90), n = 1 + below(400);
  int64_t sa[2] = {m, k}, sb[2] = {k, n}, sc[2] = {m, n};
  block a = make(dtype, 2, sa, (int)below(2)), b = make(dtype, 2, sb, (int)below(2));
  block e = make(dtype, 2, sc, (int)below(2)), key = make1(FNN_I64, 2, 0);
  block c = make(dtype, 2, sc, 0), z = make(dtype, 2, sc, 0), y = make(dtype, 2, sc, 0);
  fill(&a, -1, 1);
  fill(&b, -1, 1);
  fill(&e, -1, 1);
  fill(&key, 0, 1e9);
  launch l = of(FNN_OP_matmul);
  give(&l, &a);
  give(&l, &b);
  give(&l, NULL);
  give(&l, &z);
  for (int i = 0; i < 4; i++) integer(&l, 0);
  run(&l, &z);
  call_two(FNN_OP_relu_grad, &e, &z, &y);
  l = of(FNN_OP_dropout);
  give(&l, &y);
  give(&l, &key);
  give(&l, &z);
  fnn_scalar numbers[4] = {{.f = 0.3}, {.f = 2}, {.f = 0}, {.f = 0}};
  for (int i = 0; i < 4; i++) real(&l, numbers[i].f);
  run(&l, &z);
  int64_t code[6] = {word(FNN_OP_relu_grad, REGISTER, 0, OUTPUT),
                     word(FNN_OP_dropout, OUTPUT, REGISTER, 1)};
  memcpy(code + 2, numbers, sizeof numbers);
  l = of(FNN_OP_matmul_chain);
  give(&l, &a);
  give(&l, &b);
  give(&l, NULL);
  give_code(&l, code, 6);
  give(&l, &e);
  give(&l, &key);
  give(&l, NULL);
  give(&l, &c);
  run(&l, &c);
  equal(&c, &z);
  drop(&a), drop(&b), drop(&e), drop(&key), drop(&c), drop(&z), drop(&y);
}

/* Words that are nearly code: what is not refused must stay within its arrays. */
static void nonsense(int dtype) {
  static const int ops[12] = {FNN_OP_add,   FNN_OP_exp,  FNN_OP_relu_grad,   FNN_OP_less,
                              FNN_OP_where, FNN_OP_copy, FNN_OP_logical_not, FNN_OP_dropout,
                              FNN_OP_sum,   FNN_OP_clip, FNN_OP_isnan,       FNN_OP_matmul};
  int64_t shape[2] = {1 + below(20), 1 + below(300)};
  block x = make(dtype, 2, shape, (int)below(2)), mask = make(FNN_BOOL, 2, shape, 0);
  block key = make1(FNN_I64, 2, 0), y = make(dtype, 2, shape, 0),
        test = make(FNN_BOOL, 2, shape, 0);
  fill(&x, -1, 1);
  fill(&mask, 0, 1.99);
  fill(&key, 0, 1e9);
  for (int repeat = 0; repeat < 2000; repeat++) {
    static const int64_t reals[] = {0, 0, 8, 9, 10, 16};
    int64_t code[WORDS], n = 1 + below(6);
    for (int64_t i = 0; i < n; i++) {
      int wild = below(8) == 0;
      int64_t a = wild ? below(20) : reals[below(6)], b = wild ? below(20) : reals[below(6)];
      int64_t to = wild ? below(20) : REGISTER + below(3);
      code[i] = word(ops[below(wild ? 12 : 3)], to, a, b) | below(19) << 40;
      if (below(50) == 0) code[i] = (int64_t)next();
    }
    if (below(8)) code[n - 1] = word(FNN_OP_add, OUTPUT, reals[below(6)], 0);
    launch l = of(FNN_OP_chain);
    give_code(&l, code, n);
    give(&l, &x);
    give(&l, &mask);
    give(&l, &key);
    give_none(&l, INPUTS - 3);
    give(&l, &y);
    give(&l, below(8) ? NULL : &test);
    give_none(&l, 1);
    fnn_failure why;
    if (fnn_launch(&l.call, &why) == FNN_OK) checked++;
    for (int i = 0; i < GUARD; i++)
      CHECK(y.memory[i] == 0x5a && y.memory[y.bytes - 1 - i] == 0x5a && test.memory[i] == 0x5a &&
            test.memory[test.bytes - 1 - i] == 0x5a);
  }
  drop(&x), drop(&mask), drop(&key), drop(&y), drop(&test);
}

int main(int argc, char **argv) {
  static const family_test families[] = {steps, products, nonsense};
  return run_families(families, sizeof families / sizeof families[0], argc, argv);
}
