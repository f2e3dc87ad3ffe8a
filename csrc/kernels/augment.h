/* augment.h: what augmentation does to the pixels of one image. An image is (height, width, channels), its
 * elements one after another; a pattern is a row of numbers, one a channel, repeated over as many elements as its period. */
#ifndef FNN_KERNELS_AUGMENT_H
#define FNN_KERNELS_AUGMENT_H

#include <stdint.h>

/* What lies outside of a picture: a colour, the picture turned over at the middle of its last pixel, or its
 * last pixel. */
typedef enum { FNN_OUTSIDE_FILL, FNN_OUTSIDE_REFLECT, FNN_OUTSIDE_EDGE, FNN_OUTSIDES } fnn_outside;

/* A picture of reals with one more pixel on each side (the fill, or the last pixel again), `channels` numbers
 * a pixel, of which the first `wanted` count. */
typedef struct {
  const void *pixels;
  int64_t height, width; /* without the border */
  int64_t channels, wanted;
  fnn_outside outside;
} fnn_plane;

typedef struct {
  /* y = x scale + shift for n elements, the first of channel 0; scale and shift are patterns of `period`
   * elements, a multiple of the lanes. x is bytes, or reals, which y may be. */
  void (*from_bytes)(int64_t n, int64_t period, const uint8_t *x, const void *scale,
                     const void *shift, void *y);
  void (*affine)(int64_t n, int64_t period, const void *x, const void *scale, const void *shift,
                 void *y);
  /* y = pixels of x, n of them and bytes each, from the last to the first. y has room for 16 bytes more. */
  void (*mirror)(int64_t n, int64_t channels, const uint8_t *x, uint8_t *y);
  /* n pixels of three channels of x as four of y, of which the last is anything. x has one number more. */
  void (*widen)(int64_t n, const void *x, void *y);
  /* A row of n pixels of a picture that is turned or stretched: pixel i is at column m[0] i + m[1], row
   * m[2] i + m[3] of the plane, between the centres of four of its pixels. */
  void (*resample)(int64_t n, const fnn_plane *plane, const double m[4], void *y);
  /* The sum over n elements of x times a pattern. */
  double (*weigh)(int64_t n, int64_t period, const void *x, const void *pattern);
  /* y = own y + grey (0.299 red + 0.587 green + 0.114 blue of y) + shift, kept within 0 and 1, for n pixels of
   * three channels; of one, which is its own grey. */
  void (*tint)(int64_t n, int64_t channels, void *y, double own, double grey, double shift);
  /* y = a x + b z; y may be x or z. */
  void (*mix)(int64_t n, const void *x, double a, const void *z, double b, void *y);
} fnn_augment_kernels;

#define FNN_AUGMENT_KERNELS(real)           \
  {.from_bytes = augment_from_bytes_##real, \
   .affine = augment_affine_##real,         \
   .mirror = augment_mirror,                \
   .widen = augment_widen_##real,           \
   .resample = augment_resample_##real,     \
   .weigh = augment_weigh_##real,           \
   .tint = augment_tint_##real,             \
   .mix = augment_mix_##real}

#endif
