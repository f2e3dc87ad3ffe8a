/* conv_grad_w_pack.c: strips of x and dy, copied to where tiles read them in order. */
#include <string.h>

#include "conv_grad_w.h"

/* `count` pixels of `width` channels. */
static void pack_dense(int64_t count, int64_t bytes, const char *from, int64_t from_step,
                       char *to) {
  if (from_step == bytes) {
    memcpy(to, from, (size_t)(count * bytes));
  } else if (bytes == 64) { /* a vector of AVX-512, without a call for each */
    for (; count > 0; count--, from += from_step, to += 64) memcpy(to, from, 64);
  } else {
    for (; count > 0; count--, from += from_step, to += bytes) memcpy(to, from, (size_t)bytes);
  }
}

#define PACK_SPREAD(REAL)               \
  for (int64_t i = 0; i < count; i++)   \
    for (int64_t c = 0; c < width; c++) \
      ((REAL *)to)[i * width + c] = ((const REAL *)from)[i * step + c * channel_step];
static void pack_spread(int64_t count, int64_t width, int64_t size, const char *from, int64_t step,
                        int64_t channel_step, char *to) {
  if (size == 4) {
    PACK_SPREAD(float)
  } else {
    PACK_SPREAD(double)
  }
}
#undef PACK_SPREAD

/* Which of n positions from `first` on are between 0 and `size`. */
static fnn_range inside(int64_t first, int64_t n, int64_t size) {
  fnn_range r = {at_most(n, at_least(0, -first)), at_most(n, size - first)};
  r.end = at_least(r.begin, r.end);
  return r;
}

void fnn_grad_w_pack_x(const fnn_grad_w *g, const fnn_grad_w_strip *s, int64_t c, int64_t count,
                       int clean, char *to) {
  int64_t rows = fnn_grad_w_reach(g, 0, s->count[1]), cols = fnn_grad_w_reach(g, 1, s->count[2]);
  int64_t top = s->first[1] * g->stride[0] - g->pad[0];
  int64_t left = s->first[2] * g->stride[1] - g->pad[1];
  fnn_range down = inside(top, rows, g->in[0]), across = inside(left, cols, g->in[1]);
  int64_t pixels = across.end - across.begin, all = s->count[0] * rows * cols;
  int whole = down.end - down.begin == rows && pixels == cols;
  if (!clean && !whole) memset(to, 0, (size_t)(all * count * g->size));
  for (int64_t line = 0; line < s->count[0] * rows; line++) {
    int64_t row = line % rows;
    if (row < down.begin || row >= down.end) continue;
    const char *from =
        g->x + ((s->first[0] + line / rows) * g->x_step[0] + (top + row) * g->x_step[1] +
                (left + across.begin) * g->x_step[2] + c * g->x_step[3]) *
                   g->size;
    for (int64_t done = 0; done < count;
         done += g->block, from += g->block * g->x_step[3] * g->size) {
      int64_t width = at_most(count - done, g->block);
      char *block = to + (done * all + (line * cols + across.begin) * width) * g->size;
      if (g->x_step[3] == 1)
        pack_dense(pixels, width * g->size, from, g->x_step[2] * g->size, block);
      else
        pack_spread(pixels, width, g->size, from, g->x_step[2], g->x_step[3], block);
    }
  }
}

fnn_grad_w_dy fnn_grad_w_read_dy(const fnn_grad_w *g, const fnn_grad_w_strip *s, int64_t o,
                                 int64_t count, char *to) {
  int64_t offset = o;
  for (int i = 0; i < 3; i++) offset += s->first[i] * g->dy_step[i];
  fnn_grad_w_dy dy = {.data = g->dy + offset * g->size, .panel = g->rows};
  for (int i = 0; i < 3; i++) dy.step[i] = g->dy_step[i];
  if (!g->pack_dy) return dy;
  /* Panels of all pixels where these follow each other evenly, else of each row of pixels. */
  int64_t images = s->count[0], rows = s->count[1], cols = s->count[2];
  int64_t panels = (count + g->rows - 1) / g->rows;
  if ((rows == 1 || dy.step[1] == cols * dy.step[2]) &&
      (images == 1 || dy.step[0] == rows * cols * dy.step[2])) {
    g->kernels->gemm.pack(g->rows, count, images * rows * cols, dy.data, 1, dy.step[2], to);
    return (fnn_grad_w_dy){.data = to,
                           .step = {rows * cols * g->rows, cols * g->rows, g->rows},
                           .panel = images * rows * cols * g->rows};
  }
  int64_t each = panels * cols * g->rows;
  for (int64_t i = 0; i < images * rows; i++)
    g->kernels->gemm.pack(g->rows, count, cols,
                          dy.data + (i / rows * dy.step[0] + i % rows * dy.step[1]) * g->size, 1,
                          dy.step[2], to + i * each * g->size);
  return (fnn_grad_w_dy){.data = to, .step = {rows * each, each, g->rows}, .panel = cols * g->rows};
}
