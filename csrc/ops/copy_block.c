/* copy_block.c: copies of blocks. */
#include <string.h>

#include "copy_square.h"
#include "map.h"

/* to[i * tr + j] = from[i + j * fc], by squares in registers. Strips of one source cache line are
 * walked to the end of the block, so that each line is read once. rows and cols are multiples of
 * the square's side. */
#define TRANSPOSE(type, name, side, turn)                                              \
  static void name(int64_t rows, int64_t cols, const type *from, int64_t fc, type *to, \
                   int64_t tr) {                                                       \
    int64_t source[side], target[side], line = 64 / (int64_t)sizeof(type);             \
    for (int u = 0; u < side; u++) source[u] = u * fc, target[u] = u * tr;             \
    for (int64_t strip = 0; strip < rows; strip += line) {                             \
      int64_t end = strip + line < rows ? strip + line : rows;                         \
      for (int64_t j = 0; j < cols; j += side)                                         \
        for (int64_t i = strip; i < end; i += side)                                    \
          turn(from + j * fc + i, source, to + i * tr + j, target);                    \
    }                                                                                  \
  }
TRANSPOSE(uint32_t, transpose_4, 4, fnn_square_4)
TRANSPOSE(uint64_t, transpose_8, 2, fnn_square_8)
#undef TRANSPOSE

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
