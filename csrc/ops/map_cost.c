/* map_cost.c: what pointwise ops cost. */
#include "map.h"

double fnn_map_cost(int op) {
  switch (op) {
    case FNN_OP_pow:
      return 80;
    case FNN_OP_gelu:
    case FNN_OP_gelu_grad:
    case FNN_OP_gelu_tanh:
    case FNN_OP_gelu_tanh_grad:
    case FNN_OP_erf:
    case FNN_OP_mish:
    case FNN_OP_mish_grad:
    case FNN_OP_softplus:
      return 60;
    case FNN_OP_exp:
    case FNN_OP_expm1:
    case FNN_OP_log:
    case FNN_OP_log1p:
    case FNN_OP_sin:
    case FNN_OP_cos:
    case FNN_OP_tanh:
    case FNN_OP_sigmoid:
    case FNN_OP_silu:
    case FNN_OP_silu_grad:
    case FNN_OP_elu:
    case FNN_OP_elu_grad:
    case FNN_OP_selu:
    case FNN_OP_selu_grad:
    case FNN_OP_softplus_grad:
      return 30;
    default:
      return 1;
  }
}
