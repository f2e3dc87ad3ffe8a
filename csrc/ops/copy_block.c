/* copy_block.c: copies of blocks. */
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
