/* map.h: what the files of the map family share. */
#ifndef FNN_OPS_MAP_H
#define FNN_OPS_MAP_H

#include "op.h"

/* Kernels of the integer dtypes and bool; NULL where the op does not take the dtype. */
static inline fnn_map_kernel fnn_map_integer(int dtype, int op) {
  return fnn_kernels_of(FNN_F32)->integer->map[dtype - FNN_I64][op];
}

/* Arithmetic an element costs, in operations; only its order of magnitude matters. */
double fnn_map_cost(int op);

/* The values of one dtype in another, one input. */
static inline fnn_map_kernel fnn_convert_kernel(int from, int to) {
  return fnn_kernels_of(FNN_F32)->integer->convert[from][to];
}

/* A block of elements of the same dtype from any strides to any strides (in elements), not
 * overlapping. */
void fnn_copy_block(int64_t itemsize, int64_t rows, int64_t cols, const char *from,
                    int64_t from_across, int64_t from_along, char *to, int64_t to_across,
                    int64_t to_along);

#endif
