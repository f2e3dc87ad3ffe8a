/* harness.h: arrays under guard, calls and comparisons for the tests of ops in C, without Python.
 *
 * A test program runs its families for each instruction set that the machine has and both real types, on
 * random shapes, strides and offsets, with one thread and several; results for different thread counts
 * must be the same bits. It prints what it ran and exits with 1 at the first difference. `program SEED
 * REPEATS` repeats a run. */
#ifndef HARNESS_H
#define HARNESS_H

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
  printf("line %d: %s (%s, %s)\n", line, what, subject, isa);
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
__attribute__((unused)) static int64_t length(int64_t large) {
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
__attribute__((unused)) static void real(launch *l, double x) {
  l->call.scalars[l->scalars++].f = x;
}
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

typedef void (*family_test)(int dtype);

static int run_families(const family_test *families, size_t n, int argc, char **argv) {
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
        for (size_t f = 0; f < n; f++) families[f](dtype);
    printf("%s: %s passed\n", argv[0], isa);
  }
  printf("%s: %lld results checked, all passed\n", argv[0], (long long)checked);
  return 0;
}

#endif
