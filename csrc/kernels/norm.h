/* norm.h: kernels of layer, RMS and batch normalisation. Pointers to weight and bias may be NULL for 1 and 0. */
#ifndef FNN_KERNELS_NORM_H
#define FNN_KERNELS_NORM_H

#include <stdint.h>

typedef struct {
  /* Rows of n, one after another: y = (x - mean) rstd w + b, where mean[rows] and rstd[rows] are found
   * first: rstd = 1 / sqrt(variance + eps). With mean NULL (RMS norm) nothing is taken away and the mean
   * square is in the variance's place. y may be x. */
  void (*rows)(int64_t rows, int64_t n, const void *x, const void *w, const void *b, double eps,
               void *y, void *mean, void *rstd);
  /* dx, which may be dy, and dw[n] += dy xhat, db[n] += dy; dx, dw and db may be NULL. */
  void (*rows_grad)(int64_t rows, int64_t n, const void *x, const void *w, const void *mean,
                    const void *rstd, const void *dy, void *dx, void *dw, void *db);

  /* Batch norm. A channel's numbers lie along a row (n elements, one set of coefficients), or channels lie
   * side by side (m rows of n channels, `step` elements apart, coefficients for each).
   *   shift: y = (x - center) scale + offset
   *   sums:  s[0] = sum dy, s[1] = sum dy (x - center)
   *   grad:  dx = (dy - flat - (x - center) slope) scale */
  void (*shift_row)(int64_t n, const void *x, double center, double scale, double offset, void *y);
  void (*shift_cols)(int64_t m, int64_t n, int64_t step, const void *x, const void *center,
                     const void *scale, const void *offset, void *y);
  void (*sums_row)(int64_t n, const void *x, const void *dy, double center, double *s);
  void (*sums_cols)(int64_t m, int64_t n, int64_t step, const void *x, const void *dy,
                    const void *center, void *s0, void *s1);
  void (*grad_row)(int64_t n, const void *x, const void *dy, double center, double flat,
                   double slope, double scale, void *dx);
  void (*grad_cols)(int64_t m, int64_t n, int64_t step, const void *x, const void *dy,
                    const void *center, const void *flat, const void *slope, const void *scale,
                    void *dx);
} fnn_norm_kernels;

#define FNN_NORM_KERNELS(real)           \
  {.rows = norm_rows_##real,             \
   .rows_grad = norm_rows_grad_##real,   \
   .shift_row = norm_shift_row_##real,   \
   .shift_cols = norm_shift_cols_##real, \
   .sums_row = norm_sums_row_##real,     \
   .sums_cols = norm_sums_cols_##real,   \
   .grad_row = norm_grad_row_##real,     \
   .grad_cols = norm_grad_cols_##real}

#endif
