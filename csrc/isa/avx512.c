#define FNN_ISA avx512
#define FNN_VECTOR_BYTES 64
#include "../kernels/kernels.inc"
