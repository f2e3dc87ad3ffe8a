/* random.h: the random family's kernels. Everything is a pure function of (seed, block): numbers
 * come from the counter-based generator Philox4x32-10 (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", 2011), so that any part of an array can be made by any thread, and again later.
 * All results have the same bits on every ISA.
 *
 * Blocks are used in groups of 16. A group gives FNN_RANDOM_GROUP(size) elements of `size` bytes;
 * element 16 q + 2 t + h of 32 bits is word q of block t + 8 h, and element 16 q + j of 64 bits is
 * words 2 q (low) and 2 q + 1 (high) of block j: an order that vectors of any length produce
 * without shuffling.
 *
 * Dropout needs little more than a bit an element, so it draws 16: a group gives FNN_DROPOUT_GROUP elements of
 * either type, of which e < 64 has the low half of 32-bit element e and 64 + e its high half. An element is
 * dropped where its draw is below p 2^16. A draw that is the whole part of that number (one in 65536) is
 * decided by what is left of it: whether word 0 of the block with the counter {first block of the group,
 * element in the group, 1} is below that part of 2^32. So p counts to 48 bits. */
#ifndef FNN_KERNELS_RANDOM_H
#define FNN_KERNELS_RANDOM_H

#include <stdint.h>

#define FNN_RANDOM_BLOCKS 16
#define FNN_RANDOM_GROUP(size) (256 / (size))
#define FNN_DROPOUT_GROUP 128

typedef struct {
  uint64_t seed, block; /* of the first element */
} fnn_random_key;

typedef struct {
  /* n raw integers of the real type's size. */
  void (*raw)(fnn_random_key key, int64_t n, void *y);
  /* y = low + (high - low) u, u uniform in [0, 1): a multiple of 2^-24 (float) or 2^-52
   * (double). */
  void (*uniform)(fnn_random_key key, int64_t n, void *y, double low, double high);
  /* y = mean + std z, z standard normal (Box-Muller). */
  void (*normal)(fnn_random_key key, int64_t n, void *y, double mean, double std);
  /* y = u < p, as 1 or 0. */
  void (*bernoulli)(fnn_random_key key, int64_t n, void *y, double p);
  /* y = dropped with probability p, else scale x + shift. x and y may be the same memory. */
  void (*dropout)(fnn_random_key key, int64_t n, const void *x, void *y, double p, double scale,
                  double shift, double dropped);
} fnn_random_kernels;

#define FNN_RANDOM_KERNELS(real)         \
  {.raw = random_raw_##real,             \
   .uniform = random_uniform_##real,     \
   .normal = random_normal_##real,       \
   .bernoulli = random_bernoulli_##real, \
   .dropout = random_dropout_##real}

#endif
