/* map.h: a pointwise kernel computes out[i] = op(in[0][i], in[1][i], ...) for n elements that lie
 * one after another. An input whose step is 0 is one value for all i (a broadcast); else its step
 * is 1. in and out may be the same memory, element by element. Element types are those of the op's
 * row in ops.def. */
#ifndef FNN_KERNELS_MAP_H
#define FNN_KERNELS_MAP_H

#include <stdint.h>
#include "../fastnn.h"

#define FNN_MAP_INPUTS 3 /* the most that a pointwise op has */

typedef void (*fnn_map_kernel)(int64_t n, const void *const *in, const int64_t *step, void *out,
                               const fnn_scalar *scalars);

#endif
