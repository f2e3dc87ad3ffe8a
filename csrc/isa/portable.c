#define FNN_ISA portable
#define FNN_VECTOR_BYTES 16
#include "../kernels/kernels.inc"
