/* random.c: filling arrays with random numbers, dropout and permutations.
 *
 * Every op is a pure function of `key`, an int64 pair {seed, counter}. A generator's state is such
 * a pair; random_reserve takes a stretch of the sequence from it. A gradient that needs the numbers
 * of the forward pass makes them again from the same key. Outputs are contiguous. */
#include "op.h"

#include <math.h>
#include <string.h>

/* Elements a thread makes at a time; a multiple of every group's size. */
#define CHUNK 4096

static int is_key(const fnn_array *a) {
  return a->dtype == FNN_I64 && a->ndim == 1 && a->shape[0] == 2 && fnn_contiguous(a);
}

static fnn_status check_fill(const fnn_call *call, const fnn_array *y, fnn_failure *why) {
  int integers = call->op == FNN_OP_integers || call->op == FNN_OP_permutation;
  if (integers ? y->dtype != FNN_I64 : !fnn_is_real(y->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE,
                    integers ? "y must be int64" : "y must be float32 or float64");
  if (!fnn_contiguous(y)) return fnn_fail(why, FNN_ERR_SHAPE, "y must be contiguous");
  const fnn_scalar *s = call->scalars;
  switch (call->op) {
    case FNN_OP_uniform:
      if (!(s[0].f <= s[1].f) || !isfinite(s[1].f - s[0].f))
        return fnn_fail(why, FNN_ERR_VALUE, "wants finite low <= high");
      break;
    case FNN_OP_normal:
      if (!(s[1].f >= 0) || !isfinite(s[1].f) || !isfinite(s[0].f))
        return fnn_fail(why, FNN_ERR_VALUE, "wants a finite mean and std >= 0");
      break;
    case FNN_OP_integers:
      if (s[0].i >= s[1].i) return fnn_fail(why, FNN_ERR_VALUE, "wants low < high");
      break;
    case FNN_OP_permutation:
      if (y->ndim != 1) return fnn_fail(why, FNN_ERR_SHAPE, "a permutation has one dimension");
      break;
    default:
      if (!(s[0].f >= 0 && s[0].f <= 1))
        return fnn_fail(why, FNN_ERR_VALUE, "a probability lies between 0 and 1");
  }
  return FNN_OK;
}

fnn_status fnn_random_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *a = call->arrays;
  if (call->op == FNN_OP_random_reserve) {
    if (!is_key(&a[0]) || !is_key(&a[1]) || !is_key(&a[2]))
      return fnn_fail(why, FNN_ERR_SHAPE, "a random state is a contiguous int64 pair");
    if (call->scalars[0].i < 0)
      return fnn_fail(why, FNN_ERR_VALUE, "wants a number of elements >= 0");
    return FNN_OK;
  }
  int dropout = call->op == FNN_OP_dropout;
  const fnn_array *y = &a[dropout ? 2 : 1];
  if (!is_key(&a[dropout])) return fnn_fail(why, FNN_ERR_SHAPE, "a key is a contiguous int64 pair");
  if (dropout && (a[0].dtype != y->dtype || !fnn_same_shape(&a[0], y) || !fnn_contiguous(&a[0])))
    return fnn_fail(why, FNN_ERR_SHAPE, "x must be contiguous and like y");
  fnn_status status = check_fill(call, y, why);
  if (status) return status;
  int64_t n = fnn_size(y);
  plan->tasks = call->op == FNN_OP_permutation ? 1 : (n + CHUNK - 1) / CHUNK;
  plan->flops = (double)n * (call->op == FNN_OP_normal ? 60 : 20);
  plan->bytes = (double)n * (double)fnn_itemsize(y->dtype) * (dropout ? 2 : 1);
  return FNN_OK;
}

static fnn_random_key key_of(const fnn_array *a) {
  const int64_t *pair = a->data;
  return (fnn_random_key){(uint64_t)pair[0], (uint64_t)pair[1]};
}

/* A whole number in 0 <= x < range: the high half of a 128-bit product, off uniform by range /
 * 2^64. */
static inline uint64_t below(uint64_t random, uint64_t range) {
  return (uint64_t)((__extension__(unsigned __int128) random * range) >> 64);
}

static void fill_integers(fnn_random_key key, int64_t n, int64_t *y, int64_t low, int64_t high) {
  uint64_t range = (uint64_t)high - (uint64_t)low;
  fnn_kernels_of(FNN_F64)->random.raw(key, n, y);
  for (int64_t i = 0; i < n; i++) y[i] = (int64_t)((uint64_t)low + below((uint64_t)y[i], range));
}

/* permutation: y holds 0 .. n-1 in random order (Fisher and Yates, by one thread). */
static void run_permutation(const fnn_call *call) {
  const fnn_array *array = &call->arrays[1];
  int64_t n = array->shape[0], *y = array->data;
  fnn_random_key key = key_of(&call->arrays[0]);
  uint64_t raw[512];
  for (int64_t i = 0; i < n; i++) y[i] = i;
  for (int64_t first = 0; first < n; first += 512) {
    int64_t count = n - first < 512 ? n - first : 512;
    fnn_kernels_of(FNN_F64)->random.raw(key, count, raw);
    key.block += 512 / FNN_RANDOM_GROUP(8) * FNN_RANDOM_BLOCKS;
    for (int64_t i = 0; i < count; i++) {
      int64_t left = n - first - i, last = left - 1, other = (int64_t)below(raw[i], (uint64_t)left);
      int64_t moved = y[last];
      y[last] = y[other];
      y[other] = moved;
    }
  }
}

/* random_reserve: key = state; state.counter grows by the blocks that `elements` elements of any
 * fill use. The two states may be the same memory; key is apart from them. */
static void run_reserve(const fnn_call *call) {
  const int64_t *state = call->arrays[0].data;
  int64_t *key = call->arrays[1].data, *next = call->arrays[2].data;
  int64_t groups =
      call->scalars[0].i / FNN_RANDOM_GROUP(8) + (call->scalars[0].i % FNN_RANDOM_GROUP(8) != 0);
  key[0] = state[0];
  key[1] = state[1];
  next[0] = key[0];
  next[1] = (int64_t)((uint64_t)key[1] + (uint64_t)groups * FNN_RANDOM_BLOCKS);
}

/* uniform(low, high), normal(mean, std), bernoulli(p), integers(low, high): y overwritten.
 * dropout(p, scale, shift, dropped): y = dropped with probability p, else scale x + shift; x may be
 * y. */
void fnn_random_run(const fnn_call *call, fnn_team *team) {
  if (call->op == FNN_OP_random_reserve || call->op == FNN_OP_permutation) {
    if (team->id == 0) call->op == FNN_OP_permutation ? run_permutation(call) : run_reserve(call);
    return;
  }
  int dropout = call->op == FNN_OP_dropout;
  const fnn_array *y = &call->arrays[dropout ? 2 : 1];
  const fnn_scalar *s = call->scalars;
  int64_t n = fnn_size(y), size = fnn_itemsize(y->dtype);
  const fnn_random_kernels *k = &fnn_kernels_of(y->dtype == FNN_F32 ? FNN_F32 : FNN_F64)->random;
  fnn_range share = fnn_share((n + CHUNK - 1) / CHUNK, team);
  fnn_random_key first = key_of(&call->arrays[dropout]);
  for (int64_t chunk = share.begin; chunk < share.end; chunk++) {
    int64_t begin = chunk * CHUNK, count = n - begin < CHUNK ? n - begin : CHUNK;
    uint64_t groups = (uint64_t)(begin / (dropout ? FNN_DROPOUT_GROUP : FNN_RANDOM_GROUP(size)));
    fnn_random_key key = {first.seed, first.block + groups * FNN_RANDOM_BLOCKS};
    void *to = (char *)y->data + begin * size;
    switch (call->op) {
      case FNN_OP_uniform:
        k->uniform(key, count, to, s[0].f, s[1].f);
        break;
      case FNN_OP_normal:
        k->normal(key, count, to, s[0].f, s[1].f);
        break;
      case FNN_OP_bernoulli:
        k->bernoulli(key, count, to, s[0].f);
        break;
      case FNN_OP_integers:
        fill_integers(key, count, to, s[0].i, s[1].i);
        break;
      default:
        k->dropout(key, count, (const char *)call->arrays[0].data + begin * size, to, s[0].f,
                   s[1].f, s[2].f, s[3].f);
    }
  }
}
