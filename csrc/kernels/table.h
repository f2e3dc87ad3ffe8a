/* table.h: the kernels of one ISA and one real type. Each family's struct is in its own header. */
#ifndef FNN_KERNELS_TABLE_H
#define FNN_KERNELS_TABLE_H

#include "../fastnn.h"
#include "augment.h"
#include "channels.h"
#include "conv.h"
#include "depthwise.h"
#include "gemm.h"
#include "integer.h"
#include "loss.h"
#include "map.h"
#include "move.h"
#include "norm.h"
#include "optimizer.h"
#include "pool.h"
#include "probe.h"
#include "random.h"
#include "reduce.h"
#include "softmax.h"
#include "winograd.h"

typedef struct {
  int lanes;                 /* of a vector register */
  const fnn_map_kernel *map; /* FNN_OPS entries, by op number; NULL for an op of another family */
  const fnn_integer_kernels *integer; /* of every ISA one, for both real types */
  fnn_gemm_kernels gemm;
  fnn_conv_kernels conv;
  fnn_depthwise_kernels depthwise;
  fnn_reduce_kernels reduce;
  fnn_softmax_kernels softmax;
  fnn_loss_kernels loss;
  fnn_norm_kernels norm;
  fnn_channels_kernels channels;
  fnn_move_kernels move;
  fnn_random_kernels random;
  fnn_optimizer_kernels optimizer;
  fnn_winograd_kernels winograd;
  fnn_probe_kernels probe;
  fnn_augment_kernels augment;
  fnn_pool_kernels pool;
} fnn_kernels;

#define FNN_TABLE(real, lanes_)              \
  {.lanes = lanes_,                          \
   .map = map_kernels_##real,                \
   .integer = &integer_kernels,              \
   .gemm = FNN_GEMM_KERNELS(real),           \
   .conv = FNN_CONV_KERNELS(real),           \
   .depthwise = FNN_DEPTHWISE_KERNELS(real), \
   .reduce = FNN_REDUCE_KERNELS(real),       \
   .softmax = FNN_SOFTMAX_KERNELS(real),     \
   .loss = FNN_LOSS_KERNELS(real),           \
   .norm = FNN_NORM_KERNELS(real),           \
   .channels = FNN_CHANNELS_KERNELS(real),   \
   .move = FNN_MOVE_KERNELS(real),           \
   .random = FNN_RANDOM_KERNELS(real),       \
   .optimizer = FNN_OPTIMIZER_KERNELS(real), \
   .winograd = FNN_WINOGRAD_KERNELS(real),   \
   .probe = FNN_PROBE_KERNELS(real),         \
   .augment = FNN_AUGMENT_KERNELS(real),     \
   .pool = FNN_POOL_KERNELS(real)}

/* One table an ISA: [0] float, [1] double. */
extern const fnn_kernels fnn_kernels_portable[2], fnn_kernels_avx2[2], fnn_kernels_avx512[2],
    fnn_kernels_neon[2];

#endif
