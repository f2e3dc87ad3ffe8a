/* convert.c: copies of blocks, and the values of one dtype in another. */
#include <string.h>

#include "map.h"

typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint64_t two __attribute__((vector_size(16), aligned(8), may_alias));

/* to[i * tr + j] = from[i + j * fc], by squares in registers. Strips of one source cache line are
 * walked to the end of the block, so that each line is read once. rows and cols are multiples of
 * the square's side. */
static void transpose_4(int64_t rows, int64_t cols, const uint32_t *from, int64_t fc, uint32_t *to,
                        int64_t tr) {
  for (int64_t strip = 0; strip < rows; strip += 16) {
    int64_t end = strip + 16 < rows ? strip + 16 : rows;
    for (int64_t j = 0; j < cols; j += 4) {
      const uint32_t *p = from + j * fc;
      for (int64_t i = strip; i < end; i += 4) {
        four a = *(const four *)(p + i), b = *(const four *)(p + fc + i);
        four c = *(const four *)(p + 2 * fc + i), d = *(const four *)(p + 3 * fc + i);
        four ac = __builtin_shufflevector(a, c, 0, 4, 1, 5),
             bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
        four AC = __builtin_shufflevector(a, c, 2, 6, 3, 7),
             BD = __builtin_shufflevector(b, d, 2, 6, 3, 7);
        uint32_t *q = to + i * tr + j;
        *(four *)q = __builtin_shufflevector(ac, bd, 0, 4, 1, 5);
        *(four *)(q + tr) = __builtin_shufflevector(ac, bd, 2, 6, 3, 7);
        *(four *)(q + 2 * tr) = __builtin_shufflevector(AC, BD, 0, 4, 1, 5);
        *(four *)(q + 3 * tr) = __builtin_shufflevector(AC, BD, 2, 6, 3, 7);
      }
    }
  }
}

static void transpose_8(int64_t rows, int64_t cols, const uint64_t *from, int64_t fc, uint64_t *to,
                        int64_t tr) {
  for (int64_t strip = 0; strip < rows; strip += 8) {
    int64_t end = strip + 8 < rows ? strip + 8 : rows;
    for (int64_t j = 0; j < cols; j += 2) {
      const uint64_t *p = from + j * fc;
      for (int64_t i = strip; i < end; i += 2) {
        two a = *(const two *)(p + i), b = *(const two *)(p + fc + i);
        uint64_t *q = to + i * tr + j;
        *(two *)q = __builtin_shufflevector(a, b, 0, 2);
        *(two *)(q + tr) = __builtin_shufflevector(a, b, 1, 3);
      }
    }
  }
}

/* Blocks of any strides, by element size. */
#define COPY(type, name)                                                                           \
  static void name(int64_t rows, int64_t cols, const type *from, int64_t fr, int64_t fc, type *to, \
                   int64_t tr, int64_t tc) {                                                       \
    for (int64_t i = 0; i < rows; i++) {                                                           \
      const type *p = from + i * fr;                                                               \
      type *q = to + i * tr;                                                                       \
      if (fc == 1 && tc == 1 && cols > 16)                                                         \
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

/* The part of a transposed block that whole squares cover, then what is left of it on two sides. */
#define CROSSED(type, side, copy, transpose)                                                     \
  static void copy##_crossed(int64_t rows, int64_t cols, const type *from, int64_t fc, type *to, \
                             int64_t tr) {                                                       \
    int64_t r = rows - rows % side, c = cols - cols % side;                                      \
    transpose(r, c, from, fc, to, tr);                                                           \
    copy(r, cols - c, from + c * fc, 1, fc, to + c, tr, 1);                                      \
    copy(rows - r, cols, from + r, 1, fc, to + r * tr, tr, 1);                                   \
  }
CROSSED(uint32_t, 4, copy_4, transpose_4)
CROSSED(uint64_t, 2, copy_8, transpose_8)
#undef CROSSED

void fnn_copy_block(int64_t itemsize, int64_t rows, int64_t cols, const char *from,
                    int64_t from_across, int64_t from_along, char *to, int64_t to_across,
                    int64_t to_along) {
  const void *source = from;
  void *target = to;
  int crossed = from_across == 1 && to_along == 1 && from_along != 1;
  if (itemsize == 4 && crossed)
    copy_4_crossed(rows, cols, source, from_along, target, to_across);
  else if (itemsize == 4)
    copy_4(rows, cols, source, from_across, from_along, target, to_across, to_along);
  else if (itemsize == 8 && crossed)
    copy_8_crossed(rows, cols, source, from_along, target, to_across);
  else if (itemsize == 8)
    copy_8(rows, cols, source, from_across, from_along, target, to_across, to_along);
  else
    copy_1(rows, cols, source, from_across, from_along, target, to_across, to_along);
}

/* Integers wrap around. A real number is cut towards zero; beyond the integer's range it becomes
 * the nearest end, and NaN becomes 0. Anything but 0 is true, NaN included. */
#define FROM_INTEGER(to, x) ((to)(x))
#define TO_BOOL(to, x) ((x) != 0)
#define CUT(low, high, past, to, x) \
  ((x) != (x) ? (to)0 : (x) <= (low) ? (to)(low) : (x) >= (past) ? (to)(high) : (to)(x))
#define TO_I64(to, x) CUT(INT64_MIN, INT64_MAX, 9223372036854775808.0, to, x)
#define TO_I32(to, x) CUT(INT32_MIN, INT32_MAX, 2147483648.0, to, x)
#define TO_U8(to, x) CUT(0, 255, 256, to, x)

#define CONVERT(from_name, from, to_name, to, rule)                                           \
  static void from_name##_to_##to_name(int64_t n, const void *const *in, const int64_t *step, \
                                       void *out, const fnn_scalar *scalars) {                \
    const from *p = in[0];                                                                    \
    to *q = out;                                                                              \
    (void)scalars;                                                                            \
    if (step[0]) {                                                                            \
      for (int64_t i = 0; i < n; i++) q[i] = rule(to, p[i]);                                  \
    } else if (n > 0) {                                                                       \
      const from x = *p;                                                                      \
      const to y = rule(to, x);                                                               \
      for (int64_t i = 0; i < n; i++) q[i] = y;                                               \
    }                                                                                         \
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
  {name##_to_f32, name##_to_f64, name##_to_i64, name##_to_i32, name##_to_u8, name##_to_b}
  static const fnn_map_kernel table[FNN_DTYPES][FNN_DTYPES] = {
      FROM(f32), FROM(f64), FROM(i64), FROM(i32), FROM(u8), FROM(u8) /* bool: bytes of 0 and 1 */
  };
#undef FROM
  return table[from][to];
}
