/* copy_square.h: small squares of elements turned in registers of 16 bytes. */
#ifndef FNN_OPS_COPY_SQUARE_H
#define FNN_OPS_COPY_SQUARE_H

#include <stdint.h>
#include <string.h>

typedef uint32_t fnn_four __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint8_t fnn_sixteen __attribute__((vector_size(16)));
typedef uint64_t fnn_two __attribute__((vector_size(16), aligned(8), may_alias));

/* to[to_row[i] + j] = from[from_row[j] + i] for i, j < 4. */
static inline void fnn_square_4(const uint32_t *from, const int64_t *from_row, uint32_t *to,
                                const int64_t *to_row) {
  fnn_four a = *(const fnn_four *)(from + from_row[0]), b = *(const fnn_four *)(from + from_row[1]),
           c = *(const fnn_four *)(from + from_row[2]), d = *(const fnn_four *)(from + from_row[3]);
  fnn_four ac = __builtin_shufflevector(a, c, 0, 4, 1, 5),
           bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
  fnn_four AC = __builtin_shufflevector(a, c, 2, 6, 3, 7),
           BD = __builtin_shufflevector(b, d, 2, 6, 3, 7);
  *(fnn_four *)(to + to_row[0]) = __builtin_shufflevector(ac, bd, 0, 4, 1, 5);
  *(fnn_four *)(to + to_row[1]) = __builtin_shufflevector(ac, bd, 2, 6, 3, 7);
  *(fnn_four *)(to + to_row[2]) = __builtin_shufflevector(AC, BD, 0, 4, 1, 5);
  *(fnn_four *)(to + to_row[3]) = __builtin_shufflevector(AC, BD, 2, 6, 3, 7);
}

/* The first eight bytes of a and b in turn. */
static inline fnn_sixteen fnn_in_turn(fnn_sixteen a, fnn_sixteen b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

static inline fnn_sixteen fnn_read_bytes(const uint8_t *from) {
  uint32_t bytes;
  memcpy(&bytes, from, sizeof bytes);
  return (fnn_sixteen)(fnn_four){bytes};
}

static inline void fnn_write_bytes(uint8_t *to, uint32_t bytes) {
  memcpy(to, &bytes, sizeof bytes);
}

/* The same of bytes, without loops, which gcc -O2 would keep, and the vectors in memory. */
static inline void fnn_square_1(const uint8_t *from, const int64_t *from_row, uint8_t *to,
                                const int64_t *to_row) {
  fnn_sixteen a = fnn_read_bytes(from + from_row[0]), b = fnn_read_bytes(from + from_row[1]);
  fnn_sixteen c = fnn_read_bytes(from + from_row[2]), d = fnn_read_bytes(from + from_row[3]);
  fnn_four turned = (fnn_four)fnn_in_turn(fnn_in_turn(a, c), fnn_in_turn(b, d));
  fnn_write_bytes(to + to_row[0], turned[0]);
  fnn_write_bytes(to + to_row[1], turned[1]);
  fnn_write_bytes(to + to_row[2], turned[2]);
  fnn_write_bytes(to + to_row[3], turned[3]);
}

/* The same of i, j < 2. */
static inline void fnn_square_8(const uint64_t *from, const int64_t *from_row, uint64_t *to,
                                const int64_t *to_row) {
  fnn_two a = *(const fnn_two *)(from + from_row[0]), b = *(const fnn_two *)(from + from_row[1]);
  *(fnn_two *)(to + to_row[0]) = __builtin_shufflevector(a, b, 0, 2);
  *(fnn_two *)(to + to_row[1]) = __builtin_shufflevector(a, b, 1, 3);
}

#endif
