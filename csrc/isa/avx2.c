#define FNN_ISA avx2
#define FNN_VECTOR_BYTES 32
#include "../kernels/kernels.inc"
