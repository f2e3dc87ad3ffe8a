/* integer.c: pointwise ops on int64, int32, uint8 and bool. Results wrap around as unsigned
 * arithmetic does; floor_divide and mod round towards minus infinity as Python's do (their divisors
 * are not 0). */
#include "map.h"

/* The second operand is a scalar often enough to have a loop of its own; other broadcasts share
 * one. */
#define MAP2(name, type, result, formula)                                            \
  static void name(int64_t n, const void *const *in, const int64_t *step, void *out, \
                   const fnn_scalar *scalars) {                                      \
    const type *pa = in[0], *pb = in[1];                                             \
    result *py = out;                                                                \
    (void)scalars;                                                                   \
    if (n <= 0) return;                                                              \
    if (step[0] && step[1]) {                                                        \
      for (int64_t i = 0; i < n; i++) {                                              \
        const type a = pa[i], b = pb[i];                                             \
        py[i] = (result)(formula);                                                   \
      }                                                                              \
    } else if (step[0]) {                                                            \
      const type b = *pb;                                                            \
      for (int64_t i = 0; i < n; i++) {                                              \
        const type a = pa[i];                                                        \
        py[i] = (result)(formula);                                                   \
      }                                                                              \
    } else {                                                                         \
      const type a = *pa;                                                            \
      const int64_t sb = step[1];                                                    \
      for (int64_t i = 0; i < n; i++) {                                              \
        const type b = pb[i * sb];                                                   \
        py[i] = (result)(formula);                                                   \
      }                                                                              \
    }                                                                                \
  }
#define MAP1(name, type, result, formula)                                            \
  static void name(int64_t n, const void *const *in, const int64_t *step, void *out, \
                   const fnn_scalar *scalars) {                                      \
    const type *pa = in[0];                                                          \
    const int64_t sa = step[0];                                                      \
    result *py = out;                                                                \
    (void)scalars;                                                                   \
    for (int64_t i = 0; i < n; i++) {                                                \
      const type a = pa[i * sa];                                                     \
      py[i] = (result)(formula);                                                     \
    }                                                                                \
  }
#define WHERE(name, type)                                                            \
  static void name(int64_t n, const void *const *in, const int64_t *step, void *out, \
                   const fnn_scalar *scalars) {                                      \
    const uint8_t *pc = in[0];                                                       \
    const type *pa = in[1], *pb = in[2];                                             \
    const int64_t sc = step[0], sa = step[1], sb = step[2];                          \
    type *py = out;                                                                  \
    (void)scalars;                                                                   \
    for (int64_t i = 0; i < n; i++) py[i] = pc[i * sc] ? pa[i * sa] : pb[i * sb];    \
  }

/* a / b with the quotient rounded down; b = -1 apart, as the smallest integer / -1 is a trap. */
#define FLOOR_DIVIDE(type, wide)                           \
  (b == (type) - 1 && (type) - 1 < 0 ? (type)(0 - (wide)a) \
                                     : (type)(a / b - (a % b != 0 && (a % b < 0) != (b < 0))))
#define MOD(type)                    \
  (b == (type) - 1 && (type) - 1 < 0 \
       ? (type)0                     \
       : (type)(a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0)))

#define COMPARE(t, type)                      \
  MAP2(equal_##t, type, uint8_t, a == b)      \
  MAP2(not_equal_##t, type, uint8_t, a != b)  \
  MAP2(less_##t, type, uint8_t, a < b)        \
  MAP2(less_equal_##t, type, uint8_t, a <= b) \
  WHERE(where_##t, type)
#define ARITHMETIC(t, type, wide)                              \
  COMPARE(t, type)                                             \
  MAP2(add_##t, type, type, (wide)a + (wide)b)                 \
  MAP2(sub_##t, type, type, (wide)a - (wide)b)                 \
  MAP2(mul_##t, type, type, (wide)a *(wide)b)                  \
  MAP2(floor_divide_##t, type, type, FLOOR_DIVIDE(type, wide)) \
  MAP2(mod_##t, type, type, MOD(type))                         \
  MAP2(minimum_##t, type, type, a < b ? a : b)                 \
  MAP2(maximum_##t, type, type, a < b ? b : a)                 \
  MAP1(neg_##t, type, type, 0 - (wide)a)                       \
  MAP1(abs_##t, type, type, a < 0 ? 0 - (wide)a : (wide)a)     \
  MAP1(sign_##t, type, type, (a > 0) - (a < 0))                \
  MAP1(square_##t, type, type, (wide)a *(wide)a)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtype-limits" /* a < 0 of an unsigned type, from the shared text */
#endif
ARITHMETIC(i64, int64_t, uint64_t)
ARITHMETIC(i32, int32_t, uint32_t)
ARITHMETIC(u8, uint8_t, uint32_t)
MAP2(and_b, uint8_t, uint8_t, a &b)
MAP2(or_b, uint8_t, uint8_t, a | b)
MAP2(xor_b, uint8_t, uint8_t, a ^ b)
MAP1(not_b, uint8_t, uint8_t, a ^ 1)

#define COMPARE_ROWS(t)                                                                     \
  [FNN_OP_equal] = equal_##t, [FNN_OP_not_equal] = not_equal_##t, [FNN_OP_less] = less_##t, \
  [FNN_OP_less_equal] = less_equal_##t, [FNN_OP_where] = where_##t
#define ROWS(t)                              \
  {COMPARE_ROWS(t),                          \
   [FNN_OP_add] = add_##t,                   \
   [FNN_OP_sub] = sub_##t,                   \
   [FNN_OP_mul] = mul_##t,                   \
   [FNN_OP_floor_divide] = floor_divide_##t, \
   [FNN_OP_mod] = mod_##t,                   \
   [FNN_OP_minimum] = minimum_##t,           \
   [FNN_OP_maximum] = maximum_##t,           \
   [FNN_OP_neg] = neg_##t,                   \
   [FNN_OP_abs] = abs_##t,                   \
   [FNN_OP_sign] = sign_##t,                 \
   [FNN_OP_square] = square_##t}

fnn_map_kernel fnn_map_integer(int dtype, int op) {
  static const fnn_map_kernel table[4][FNN_OPS] = {
      [FNN_I64 - FNN_I64] = ROWS(i64),
      [FNN_I32 - FNN_I64] = ROWS(i32),
      [FNN_U8 - FNN_I64] = ROWS(u8),
      [FNN_BOOL -
          FNN_I64] = {COMPARE_ROWS(u8), [FNN_OP_logical_and] = and_b, [FNN_OP_logical_or] = or_b,
                      [FNN_OP_logical_xor] = xor_b, [FNN_OP_logical_not] = not_b},
  };
  return table[dtype - FNN_I64][op];
}

int64_t fnn_find_zero(const fnn_array *a, int64_t begin, int64_t end) {
  for (int64_t k = begin; k < end; k++) {
    int64_t rest = k, at = 0;
    for (int i = a->ndim - 1; i >= 0; i--) {
      at += rest % a->shape[i] * a->stride[i];
      rest /= a->shape[i];
    }
    int zero = a->dtype == FNN_I64   ? ((const int64_t *)a->data)[at] == 0
               : a->dtype == FNN_I32 ? ((const int32_t *)a->data)[at] == 0
                                     : ((const uint8_t *)a->data)[at] == 0;
    if (zero) return k;
  }
  return -1;
}
