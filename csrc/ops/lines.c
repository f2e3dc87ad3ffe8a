/* lines.c: see lines.h. */
#include "lines.h"

#include <string.h>

fnn_array fnn_joined(const fnn_array *a) {
  fnn_array y = *a;
  y.ndim = 0;
  for (int d = 0; d < a->ndim; d++) {
    if (a->shape[d] == 1) continue;
    int last = y.ndim - 1;
    if (last >= 0 && y.stride[last] == a->stride[d] * a->shape[d]) {
      y.shape[last] *= a->shape[d];
      y.stride[last] = a->stride[d];
    } else {
      y.shape[y.ndim] = a->shape[d];
      y.stride[y.ndim++] = a->stride[d];
    }
  }
  return y;
}

/* The index of element i, and its offset. */
static int64_t locate(const fnn_array *a, int64_t i, int64_t *index) {
  int64_t offset = 0;
  for (int d = a->ndim - 1; d >= 0; d--) {
    int64_t n = a->shape[d];
    index[d] = d ? i % n : i;
    i = d ? i / n : 0;
    offset += index[d] * a->stride[d];
  }
  return offset;
}

int64_t fnn_offset(const fnn_array *a, int64_t i) {
  int64_t index[FNN_MAX_DIMS];
  return locate(a, i, index);
}

/* Visit elements [begin, begin + n) as runs along the innermost dimension. Each round declares `run`, `offset`
 * (of its first element) and `step`. A 0-d array is one run of one. */
typedef struct {
  const fnn_array *a;
  int64_t index[FNN_MAX_DIMS];
  int64_t offset, left, run, step;
} walk;

static walk walk_from(const fnn_array *a, int64_t begin, int64_t n) {
  walk w = {.a = a, .left = n};
  int last = a->ndim - 1;
  w.offset = locate(a, begin, w.index);
  w.step = last >= 0 ? a->stride[last] : 0;
  w.run = last >= 0 ? a->shape[last] - w.index[last] : 1;
  if (w.run > n) w.run = n;
  return w;
}

static void walk_next(walk *w) {
  const fnn_array *a = w->a;
  w->left -= w->run;
  if (w->left <= 0) return;
  int d = a->ndim - 1;
  w->offset -= w->index[d] * a->stride[d];
  w->index[d] = 0;
  while (--d >= 0) {
    w->offset += a->stride[d];
    if (++w->index[d] < a->shape[d]) break;
    w->offset -= a->shape[d] * a->stride[d];
    w->index[d] = 0;
  }
  w->run = a->shape[a->ndim - 1] < w->left ? a->shape[a->ndim - 1] : w->left;
}

#define COPY(type, to, to_step, from, from_step)                                \
  {                                                                             \
    type *out = (type *)(to);                                                   \
    const type *in = (const type *)(from);                                      \
    for (int64_t i = 0; i < run; i++) out[i * (to_step)] = in[i * (from_step)]; \
  }

static void copy_run(int64_t itemsize, int64_t run, char *to, int64_t to_step, const char *from,
                     int64_t from_step) {
  if (to_step == 1 && from_step == 1)
    memcpy(to, from, (size_t)(run * itemsize));
  else if (itemsize == 4)
    COPY(uint32_t, to, to_step, from, from_step)
  else if (itemsize == 8)
    COPY(uint64_t, to, to_step, from, from_step)
  else
    COPY(uint8_t, to, to_step, from, from_step)
}

const void *fnn_read(const fnn_array *a, int64_t begin, int64_t n, void *buffer) {
  int64_t size = fnn_itemsize(a->dtype);
  if (a->ndim == 0) return a->data;
  if (a->ndim == 1 && a->stride[0] == 1) return (const char *)a->data + begin * size;
  char *to = buffer;
  for (walk w = walk_from(a, begin, n); w.left > 0; walk_next(&w)) {
    if (w.run == n && w.step == 1) return (const char *)a->data + w.offset * size;
    copy_run(size, w.run, to, 1, (const char *)a->data + w.offset * size, w.step);
    to += w.run * size;
  }
  return buffer;
}

void fnn_write(const fnn_array *a, int64_t begin, int64_t n, const void *buffer) {
  int64_t size = fnn_itemsize(a->dtype);
  const char *from = buffer;
  for (walk w = walk_from(a, begin, n); w.left > 0; walk_next(&w)) {
    copy_run(size, w.run, (char *)a->data + w.offset * size, w.step, from, 1);
    from += w.run * size;
  }
}

#define CONVERT(type, value)                           \
  {                                                    \
    const type *in = (const type *)a->data + w.offset; \
    for (int64_t i = 0; i < w.run; i++) {              \
      type x = in[i * w.step];                         \
      to[i] = (value);                                 \
    }                                                  \
  }                                                    \
  break

const int64_t *fnn_read_int(const fnn_array *a, int64_t begin, int64_t n, int truth,
                            int64_t *buffer) {
  if (a->dtype == FNN_I64 && !truth) return fnn_read(a, begin, n, buffer);
  int64_t *to = buffer;
  for (walk w = walk_from(a, begin, n); w.left > 0; walk_next(&w)) {
    switch (a->dtype) {
      case FNN_F32:
        CONVERT(float, x != 0);
      case FNN_F64:
        CONVERT(double, x != 0);
      case FNN_I64:
        CONVERT(int64_t, x != 0);
      case FNN_I32:
        CONVERT(int32_t, truth ? x != 0 : x);
      default:
        CONVERT(uint8_t, truth ? x != 0 : x);
    }
    to += w.run;
  }
  return buffer;
}

int64_t fnn_find_zero(const fnn_array *a, int64_t begin, int64_t end) {
  enum { STRETCH = 256 };
  int64_t buffer[STRETCH];
  for (; begin < end; begin += STRETCH) {
    int64_t n = end - begin < STRETCH ? end - begin : STRETCH;
    const int64_t *x = fnn_read_int(a, begin, n, 0, buffer);
    for (int64_t i = 0; i < n; i++)
      if (x[i] == 0) return begin + i;
  }
  return -1;
}
