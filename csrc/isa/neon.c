#define FNN_ISA neon
#define FNN_VECTOR_BYTES 16
#include "../kernels/kernels.inc"
