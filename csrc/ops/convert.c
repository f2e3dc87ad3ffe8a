/* convert.c: copies of blocks, and the values of one dtype in another. */
#include <string.h>

#include "map.h"

/* Blocks by element size. When the source runs along the rows its axis is walked innermost in squares of
 * 8, so that both sides use whole cache lines. */
#define COPY(type, name)                                                                           \
  static void name(int64_t rows, int64_t cols, const type *from, int64_t fr, int64_t fc, type *to, \
                   int64_t tr, int64_t tc) {                                                       \
    if (fr == 1 && tc == 1 && fc != 1) {                                                           \
      for (int64_t j0 = 0; j0 < cols; j0 += 8) {                                                   \
        int64_t j1 = j0 + 8 < cols ? j0 + 8 : cols;                                                \
        for (int64_t i = 0; i < rows; i++)                                                         \
          for (int64_t j = j0; j < j1; j++) to[i * tr + j] = from[i + j * fc];                     \
      }                                                                                            \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t i = 0; i < rows; i++) {                                                           \
      const type *p = from + i * fr;                                                               \
      type *q = to + i * tr;                                                                       \
      if (fc == 1 && tc == 1)                                                                      \
        memcpy(q, p, (size_t)cols * sizeof(type));                                                 \
      else if (fc == 0 && tc == 1)                                                                 \
        for (int64_t j = 0; j < cols; j++) q[j] = *p;                                              \
      else                                                                                         \
        for (int64_t j = 0; j < cols; j++) q[j * tc] = p[j * fc];                                  \
    }                                                                                              \
  }
COPY(uint8_t, copy_1)
COPY(uint32_t, copy_4)
COPY(uint64_t, copy_8)
#undef COPY

void fnn_copy_block(int64_t itemsize, int64_t rows, int64_t cols, const char *from, int64_t from_across,
                    int64_t from_along, char *to, int64_t to_across, int64_t to_along) {
  const void *source = from;
  void *target = to;
  if (itemsize == 4) copy_4(rows, cols, source, from_across, from_along, target, to_across, to_along);
  else if (itemsize == 8) copy_8(rows, cols, source, from_across, from_along, target, to_across, to_along);
  else copy_1(rows, cols, source, from_across, from_along, target, to_across, to_along);
}

/* Integers wrap around. A real number is cut towards zero; beyond the integer's range it becomes the
 * nearest end, and NaN becomes 0. Anything but 0 is true, NaN included. */
#define FROM_INTEGER(to, x) ((to)(x))
#define TO_BOOL(to, x) ((x) != 0)
#define CUT(low, high, past, to, x) \
  ((x) != (x) ? (to)0 : (x) <= (low) ? (to)(low) : (x) >= (past) ? (to)(high) : (to)(x))
#define TO_I64(to, x) CUT(INT64_MIN, INT64_MAX, 9223372036854775808.0, to, x)
#define TO_I32(to, x) CUT(INT32_MIN, INT32_MAX, 2147483648.0, to, x)
#define TO_U8(to, x) CUT(0, 255, 256, to, x)

#define CONVERT(from_name, from, to_name, to, rule)                                                \
  static void from_name##_to_##to_name(int64_t n, const void *const *in, const int64_t *step,      \
                                       void *out, const fnn_scalar *scalars) {                     \
    const from *p = in[0];                                                                         \
    to *q = out;                                                                                   \
    (void)scalars;                                                                                 \
    if (step[0]) {                                                                                 \
      for (int64_t i = 0; i < n; i++) q[i] = rule(to, p[i]);                                       \
    } else if (n > 0) {                                                                            \
      const from x = *p;                                                                           \
      const to y = rule(to, x);                                                                    \
      for (int64_t i = 0; i < n; i++) q[i] = y;                                                    \
    }                                                                                              \
  }
#define FROM(name, type, rule64, rule32, rule8)  \
  CONVERT(name, type, f32, float, FROM_INTEGER)  \
  CONVERT(name, type, f64, double, FROM_INTEGER) \
  CONVERT(name, type, i64, int64_t, rule64)      \
  CONVERT(name, type, i32, int32_t, rule32)      \
  CONVERT(name, type, u8, uint8_t, rule8)        \
  CONVERT(name, type, b, uint8_t, TO_BOOL)
FROM(f32, float, TO_I64, TO_I32, TO_U8)
FROM(f64, double, TO_I64, TO_I32, TO_U8)
FROM(i64, int64_t, FROM_INTEGER, FROM_INTEGER, FROM_INTEGER)
FROM(i32, int32_t, FROM_INTEGER, FROM_INTEGER, FROM_INTEGER)
FROM(u8, uint8_t, FROM_INTEGER, FROM_INTEGER, FROM_INTEGER)
#undef FROM
#undef CONVERT

fnn_map_kernel fnn_convert_kernel(int from, int to) {
#define FROM(name) \
  { name##_to_f32, name##_to_f64, name##_to_i64, name##_to_i32, name##_to_u8, name##_to_b }
  static const fnn_map_kernel table[FNN_DTYPES][FNN_DTYPES] = {
      FROM(f32), FROM(f64), FROM(i64), FROM(i32), FROM(u8), FROM(u8) /* bool: bytes of 0 and 1 */
  };
#undef FROM
  return table[from][to];
}
