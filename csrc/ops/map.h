/* map.h: what the files of the map family share. */
#ifndef FNN_OPS_MAP_H
#define FNN_OPS_MAP_H

#include "op.h"

/* Kernels of the integer dtypes and bool, in plain C; NULL where the op does not take the dtype. */
fnn_map_kernel fnn_map_integer(int dtype, int op);
/* Elements begin to end of an integer array, in row-major order: the first that is 0, or -1. */
int64_t fnn_find_zero(const fnn_array *a, int64_t begin, int64_t end);

/* Arithmetic an element costs, in operations; only its order of magnitude matters. */
double fnn_map_cost(int op);

/* The values of one dtype in another, one input. */
fnn_map_kernel fnn_convert_kernel(int from, int to);
/* A block of elements of the same dtype from any strides to any strides (in elements), not
 * overlapping. */
void fnn_copy_block(int64_t itemsize, int64_t rows, int64_t cols, const char *from,
                    int64_t from_across, int64_t from_along, char *to, int64_t to_across,
                    int64_t to_along);

#endif
