/* norm.h: kernels of layer and RMS normalisation. Pointers to weight and bias may be NULL for 1 and 0. */
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
} fnn_norm_kernels;

#define FNN_NORM_KERNELS(real) {.rows = norm_rows_##real, .rows_grad = norm_rows_grad_##real}

#endif
