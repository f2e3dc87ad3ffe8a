/* channels.h: kernels of batch, group and instance normalisation, whose numbers belong to channels.
 *
 * They work on m rows of n <= FNN_CHANNELS_WIDE columns, `step` elements apart, each column with coefficients
 * of its own: channels that lie side by side are columns, as often as it takes to fill vectors, and a
 * channel that lies along a row is many columns with the same coefficients. Arrays of coefficients and of
 * sums have FNN_CHANNELS_WIDE elements, zeros behind the n-th; x, dy, y, g and dx are never touched behind it. */
#ifndef FNN_KERNELS_CHANNELS_H
#define FNN_KERNELS_CHANNELS_H

#include <stdint.h>

#define FNN_CHANNELS_WIDE 512

/* y = (x - center) scale + offset, no less than low and no more than high, where those are not NaN. */
typedef struct {
  const void *center, *scale, *offset;
  double low, high;
} fnn_channels_forward;

/* Where a gradient does not pass because y was at a limit: as told by y, or by computing it again. */
typedef enum { FNN_LIMITS_NONE, FNN_LIMITS_AGAIN, FNN_LIMITS_OUTPUT } fnn_channels_limits;

/* dx = dy gain + (x - center) slope + flat */
typedef struct {
  const void *gain, *slope, *flat;
} fnn_channels_backward;

typedef struct {
  /* s0 += sum of x - shift, s1 += sum of (x - shift)^2 */
  void (*moments)(int64_t m, int64_t n, int64_t step, const void *x, const void *shift, void *s0,
                  void *s1);
  /* y from x; residual, if not NULL, is added before the limits. y may be x or residual. */
  void (*apply)(int64_t m, int64_t n, int64_t step, const void *x, const fnn_channels_forward *f,
                const void *residual, void *y);
  /* s0 += sum of dy, s1 += sum of dy (x - center), with dy 0 at the limits; with LIMITS_OUTPUT, y is read,
   * more, if not NULL, added to dy first, and what comes of it written to g, if not NULL, which may be
   * dy, more or y. */
  void (*sums)(int64_t m, int64_t n, int64_t step, const void *x, const void *dy, const void *more,
               const void *y, const fnn_channels_forward *f, fnn_channels_limits limits, void *g,
               void *s0, void *s1);
  /* dx from x and dy, which is 0 at the limits with LIMITS_AGAIN; not LIMITS_OUTPUT. dx may be x or dy. */
  void (*grad)(int64_t m, int64_t n, int64_t step, const void *x, const void *dy,
               const fnn_channels_forward *f, fnn_channels_limits limits,
               const fnn_channels_backward *b, void *dx);
} fnn_channels_kernels;

#define FNN_CHANNELS_KERNELS(real)     \
  {.moments = channels_moments_##real, \
   .apply = channels_apply_##real,     \
   .sums = channels_sums_##real,       \
   .grad = channels_grad_##real}

#endif
