/* copy_square.h: small squares of elements turned in registers of 16 bytes. */
#ifndef FNN_OPS_COPY_SQUARE_H
#define FNN_OPS_COPY_SQUARE_H

#include <stdint.h>

typedef uint32_t fnn_four __attribute__((vector_size(16), aligned(4), may_alias));
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

/* The same of i, j < 2. */
static inline void fnn_square_8(const uint64_t *from, const int64_t *from_row, uint64_t *to,
                                const int64_t *to_row) {
  fnn_two a = *(const fnn_two *)(from + from_row[0]), b = *(const fnn_two *)(from + from_row[1]);
  *(fnn_two *)(to + to_row[0]) = __builtin_shufflevector(a, b, 0, 2);
  *(fnn_two *)(to + to_row[1]) = __builtin_shufflevector(a, b, 1, 3);
}

#endif
