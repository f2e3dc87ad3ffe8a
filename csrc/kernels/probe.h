/* probe.h: loops that do one thing as fast as this CPU can, to measure what the others are held against. */
#ifndef FNN_KERNELS_PROBE_H
#define FNN_KERNELS_PROBE_H

#include <stdint.h>

typedef struct {
  int flops; /* of one round of fma */
  /* Fused multiply-adds (or a product and a sum, where there are none) on as many registers as hide their
   * latency. x is neither 0 nor 1. */
  void (*fma)(int64_t rounds, double x);
  /* Pass `rounds` times over `bytes` bytes, a multiple of 1024, aligned to 64: load all; store all; load,
   * change and store all; or y = a + s b in three parts of a third each, rounded down. */
  void (*read)(int64_t rounds, int64_t bytes, const void *memory);
  void (*write)(int64_t rounds, int64_t bytes, void *memory);
  void (*update)(int64_t rounds, int64_t bytes, void *memory);
  void (*triad)(int64_t rounds, int64_t bytes, void *memory);
} fnn_probe_kernels;

#define FNN_PROBE_KERNELS(real)   \
  {.flops = probe_flops_##real,   \
   .fma = probe_fma_##real,       \
   .read = probe_read_##real,     \
   .write = probe_write_##real,   \
   .update = probe_update_##real, \
   .triad = probe_triad_##real}

#endif
