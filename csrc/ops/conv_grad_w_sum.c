/* conv_grad_w_sum.c: from partial sums of a weight gradient to dw. */
#include <string.h>

#include "conv_grad_w.h"

#define CHUNK 512 /* elements of dw that are added up at a time: in L1, of all parts */
#define OUTPUTS 16

/* n elements of all parts, from element `at`: their sum to `to`. */
static void sum_parts(const fnn_grad_w *g, char *parts, int64_t at, int64_t n, char *to) {
  const void *rows[FNN_GRAD_W_PARTS];
  for (int64_t i = 0; i < g->parts; i++) rows[i] = parts + i * g->part_bytes + at * g->size;
  if (g->parts > 1 || to != rows[0])
    g->kernels->reduce.cols[FNN_REDUCE_SUM](g->parts, n, rows, to, NULL);
}

/* Parts that are laid out as dw. */
static void sum_direct(const fnn_grad_w *g, char *parts, const fnn_team *team) {
  int64_t all = g->groups * g->outputs * g->kernel[0] * g->kernel[1] * g->channels;
  fnn_range mine = fnn_share((all + CHUNK - 1) / CHUNK, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t at = i * CHUNK, n = all - at < CHUNK ? all - at : CHUNK;
    sum_parts(g, parts, at, n, g->dw + at * g->size);
  }
}

/* Some outputs of a group, of which the parts have dw turned. */
static void sum_turned(const fnn_grad_w *g, char *parts, int64_t group, int64_t o, int64_t count) {
  int64_t rows = g->kernel[0] * g->kernel[1] * g->channels;
  int64_t at = fnn_grad_w_place(g, group, o, 0, 0, 0);
  for (int64_t i = 0; i < rows; i++)
    sum_parts(g, parts, at + i * g->outputs, count, parts + (at + i * g->outputs) * g->size);
  g->kernels->move.transpose(rows, count, parts + at * g->size, g->outputs,
                             g->dw + (group * g->outputs + o) * rows * g->size, rows);
}

/* Some outputs of a group, whose runs are apart in dw: there all channels of an element of the kernel lie
 * side by side, in a part those of a block. */
static void sum_blocks(const fnn_grad_w *g, char *parts, int64_t group, int64_t o, int64_t count) {
  int64_t row_elements = g->kernel[1] * g->channels;
  for (int64_t c = 0; c < g->channels; c += g->block) {
    int64_t width = g->channels - c < g->block ? g->channels - c : g->block;
    int64_t bytes = width * g->size;
    for (int64_t row = 0; row < g->kernel[0]; row++) {
      int64_t at = fnn_grad_w_place(g, group, o, c, row, 0);
      const char *from = parts + at * g->size;
      sum_parts(g, parts, at, count * g->run * width, parts + at * g->size);
      for (int64_t i = 0; i < count; i++)
        for (int64_t col = 0; col < g->run; col++, from += bytes)
          memcpy(g->dw + (((group * g->outputs + o + i) * g->kernel[0] + row) * row_elements +
                          col * g->channels + c) *
                             g->size,
                 from, (size_t)bytes);
    }
  }
}

void fnn_grad_w_sum(const fnn_grad_w *g, char *parts, const fnn_team *team) {
  if (g->direct) {
    sum_direct(g, parts, team);
    return;
  }
  int64_t each = (g->outputs + OUTPUTS - 1) / OUTPUTS;
  fnn_range mine = fnn_share(g->groups * each, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t o = i % each * OUTPUTS, count = g->outputs - o < OUTPUTS ? g->outputs - o : OUTPUTS;
    (g->turned ? sum_turned : sum_blocks)(g, parts, i / each, o, count);
  }
}
