/* loss.h: kernels of the losses: pointwise ones, and cross entropy of one row of logits. */
#ifndef FNN_KERNELS_LOSS_H
#define FNN_KERNELS_LOSS_H

#include <stdint.h>

enum {
  FNN_LOSS_MSE,
  FNN_LOSS_MAE,
  FNN_LOSS_HUBER,
  FNN_LOSS_BCE,
  FNN_LOSS_BCE_LOGITS,
  FNN_LOSS_POINTS
};

/* Pointwise: y[i] = l(x[i], t[i]), or dl/dx. pos (the weight of the positive class, for BCE_LOGITS) may be
 * NULL for ones; delta is Huber's. y may be x or t. */
typedef void (*fnn_point_loss)(int64_t n, const void *x, const void *t, const void *pos,
                               double delta, void *y);

/* Rows of logits with the class of each. */
typedef struct {
  int64_t rows, n, x_step, dx_step; /* rows of n; elements from row to row */
  const void *x;
  void *stats, *dx; /* stats (rows, 2), see softmax.h, or NULL where x holds log-probabilities */
  const int64_t *labels; /* 0 <= label < n, or `ignore` */
  int64_t ignore;
  const void *weight; /* of each class, NULL for 1 */
  double on, off;     /* the weights of a row's own class and, added, of every class */
} fnn_labelled;

typedef struct {
  fnn_point_loss point[FNN_LOSS_POINTS], point_grad[FNN_LOSS_POINTS];
  /* y[i] *= scale * a[i] * b[i]; a and b may be NULL. */
  void (*scale)(int64_t n, double scale, const void *a, const void *b, void *y);
  /* One row of n logits whose log softmax is x - stats[0] - stats[1], with the coefficients
   * c[i] = w[i] (on t[i] + off); w NULL means 1, t NULL means 0. sums[0] = -sum c logsoftmax (nothing is
   * added where c is 0), sums[1] = sum c. */
  void (*cross)(int64_t n, const void *x, const double *stats, const void *t, const void *w,
                double on, double off, double *sums);
  /* dx[i] = scale (all softmax[i] - c[i]). */
  void (*cross_grad)(int64_t n, const void *x, const double *stats, const void *t, const void *w,
                     double on, double off, double all, double scale, void *dx);
  /* stats, and for each row losses[i] = -sum c logsoftmax with the coefficients c = w off, and w on more at
   * its class; own[i] = w of its class. Both are 0 for an ignored row. */
  void (*labelled)(const fnn_labelled *r, double *losses, double *own);
  /* dx = scale[i] (sum c softmax - c), where off_sum is the sum of w off over the classes. */
  void (*labelled_grad)(const fnn_labelled *r, double off_sum, const double *scale);
} fnn_loss_kernels;

#define FNN_LOSS_KERNELS(real)                                                        \
  {.point = {loss_mse_##real, loss_mae_##real, loss_huber_##real, loss_bce_##real,    \
             loss_bce_logits_##real},                                                 \
   .point_grad = {loss_mse_grad_##real, loss_mae_grad_##real, loss_huber_grad_##real, \
                  loss_bce_grad_##real, loss_bce_logits_grad_##real},                 \
   .scale = loss_scale_##real,                                                        \
   .cross = loss_cross_##real,                                                        \
   .cross_grad = loss_cross_grad_##real,                                              \
   .labelled = loss_labelled_##real,                                                  \
   .labelled_grad = loss_labelled_grad_##real}

#endif
