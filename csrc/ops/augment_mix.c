/* augment_mix.c: an image and the one before it as one, and what that makes of their labels.
 *
 * mixup (Zhang et al. 2018) adds them up, the image's own share being the larger one; cutmix (Yun et al. 2019)
 * puts a rectangle of the other into the image. The first row whose chance comes true mixes. Shares are drawn
 * through their quantiles, which the values hold at equal steps from 0 to 1. */
#include "augment.h"

#include <math.h>
#include <string.h>

#include "move.h"

static double quantile(const double *at, int64_t n, double share) {
  const double place = share * (double)(n - 1);
  int64_t i = place > 0 ? (int64_t)place : 0;
  if (i > n - 2) i = n - 2;
  const double found = at[i] + (at[i + 1] - at[i]) * (place - (double)i);
  return found > 0 ? found < 1 ? found : 1 : 0;
}

static int64_t edge(double at, int64_t most) {
  return at > 0 ? at < (double)most ? (int64_t)at : most : 0;
}

fnn_augment_mixing fnn_augment_mixing_of(const fnn_augment *a, int64_t image) {
  fnn_augment_mixing how = {.kind = AUGMENT_CROP, .own = 1};
  for (int row = a->first_mix; row < a->end_mix; row++) {
    const double *r = fnn_augment_row(a, row), *own = r + ROW_FIRST;
    if (!(fnn_augment_draw(a, image, row, 0) < own[0])) continue;
    how.kind = (fnn_augment_kind)r[ROW_KIND];
    how.own =
        quantile(a->values + (int64_t)own[1], (int64_t)own[2], fnn_augment_draw(a, image, row, 1));
    if (how.kind == AUGMENT_MIXUP) return how;
    const double side = sqrt(1 - how.own), height = (double)a->height, width = (double)a->width;
    const double half_height = floor(height * side / 2), half_width = floor(width * side / 2);
    const double middle = floor(fnn_augment_draw(a, image, row, 2) * height);
    const double center = floor(fnn_augment_draw(a, image, row, 3) * width);
    how.top = edge(middle - half_height, a->height);
    how.bottom = edge(middle + half_height, a->height);
    how.left = edge(center - half_width, a->width);
    how.right = edge(center + half_width, a->width);
    how.own = 1 - (double)((how.bottom - how.top) * (how.right - how.left)) / (height * width);
    return how;
  }
  return how;
}

void fnn_augment_mix(const fnn_augment *a, const fnn_augment_mixing *how, const char *own,
                     const char *other, char *y) {
  const int64_t pixel = a->channels * fnn_itemsize(a->y->dtype), row = a->width * pixel;
  if (how->kind == AUGMENT_MIXUP) {
    a->kernels->augment.mix(a->height * a->width * a->channels, own, how->own, other, 1 - how->own,
                            y);
    return;
  }
  memcpy(y, own, (size_t)(a->height * row));
  for (int64_t i = how->top; i < how->bottom; i++)
    memcpy(y + i * row + how->left * pixel, other + i * row + how->left * pixel,
           (size_t)((how->right - how->left) * pixel));
}

#define REAL_AT(array, i) \
  ((array)->dtype == FNN_F32 ? (double)((float *)(array)->data)[i] : ((double *)(array)->data)[i])

/* augment_labels: y (images, classes) = the shares of an image's label and of that of the one before it, which
 * the smoothing makes smaller in favour of all classes alike; overwritten. Labels are classes, or rows of
 * shares. One thread: there are few. */
void fnn_augment_labels(const fnn_call *call, const fnn_augment *a, fnn_team *team) {
  const fnn_array *labels = &call->arrays[0], *y = a->y;
  const int64_t n = y->shape[0], classes = y->shape[1];
  const int whole = labels->dtype == FNN_I64;
  if (whole && fnn_index_outside(labels, 0, classes, team)) return;
  if (team->id != 0) return;
  const double smoothing = call->scalars[0].f, all = smoothing / (double)classes;
  for (int64_t i = 0; i < n; i++) {
    const int64_t before = (i + n - 1) % n;
    const double own = (1 - smoothing) * fnn_augment_mixing_of(a, i).own,
                 other = 1 - smoothing - own;
    for (int64_t c = 0; c < classes; c++) {
      double share = all;
      if (whole) {
        const int64_t *label = labels->data;
        if (label[i * labels->stride[0]] == c) share += own;
        if (label[before * labels->stride[0]] == c) share += other;
      } else {
        share +=
            own * REAL_AT(labels, i * classes + c) + other * REAL_AT(labels, before * classes + c);
      }
      if (y->dtype == FNN_F32)
        ((float *)y->data)[i * classes + c] = (float)share;
      else
        ((double *)y->data)[i * classes + c] = share;
    }
  }
}
