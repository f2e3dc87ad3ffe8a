/* depthwise.c: convolutions of groups of few channels, forward and data gradient: see depthwise.h.
 *
 * A task is some rows of an image. Weights are copied first, to (KH, planes, KW, channels), for conv_grad_x with
 * both axes turned round; it is then a convolution like the other, phase by phase. */
#include "depthwise.h"
#include "map.h"

#define TURN 64 /* channels whose weights are turned over at a time */

/* Whether the weights are a matrix of rows of taps, to be turned over as they are. */
static int plain_weights(const fnn_depthwise *d) {
  const fnn_array *w = &d->w;
  return !d->grad_x && d->planes == 1 && w->shape[3] == 1 &&
         (w->stride[2] == 1 || d->kernel[1] == 1) &&
         (w->stride[1] == d->kernel[1] || d->kernel[0] == 1);
}

static void copy_weights(const fnn_depthwise *d, char *to, const fnn_team *team) {
  const int64_t *stride = d->w.stride, kh = d->kernel[0], kw = d->kernel[1], all = d->channels;
  const char *w = d->w.data;
  if (plain_weights(d)) {
    fnn_range mine = fnn_share((all + TURN - 1) / TURN, team);
    for (int64_t i = mine.begin * TURN; i < at_most(all, mine.end * TURN); i += TURN)
      d->kernels->move.transpose(at_most(TURN, all - i), kh * kw, w + i * stride[0] * d->size,
                                 stride[0], to + i * d->size, all);
    return;
  }
  int64_t group = all / d->groups, along = d->grad_x ? stride[3] : stride[0];
  int64_t plane = d->grad_x ? stride[0] : stride[3];
  int64_t across = (d->grad_x ? d->in_group : group) * stride[0];
  fnn_range mine = fnn_share(kh * d->planes * kw, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t row = i / kw / d->planes, col = i % kw;
    if (d->grad_x) row = kh - 1 - row, col = kw - 1 - col;
    int64_t from = row * stride[1] + col * stride[2] + i / kw % d->planes * plane;
    fnn_copy_block(d->size, d->groups, group, w + from * d->size, across, along,
                   to + i * all * d->size, group, 1);
  }
}

/* n channels from c of some rows of an image. */
static void strip_block(const fnn_depthwise *d, const fnn_chain *chain, int64_t image, int64_t row,
                        int64_t rows, int64_t c, int64_t n, const fnn_depthwise_source *from,
                        char *w) {
  int64_t phases = d->grad_x ? at_most(d->stride[1], d->out_size[1]) : 1;
  for (int64_t phase = 0; phase < phases; phase++) {
    fnn_depthwise_phase columns = fnn_depthwise_phase_of(d, 1, phase);
    for (int64_t i = row; i < row + rows; i++) {
      int64_t first = (image * d->out_size[0] + i) * d->out_size[1]; /* pixel of the row */
      fnn_depthwise_line line = fnn_depthwise_line_of(d, from, i, &columns, w + c * d->size);
      line.channels = n;
      line.y = (char *)d->out.data + ((first + phase) * d->channels + c) * d->size;
      line.y_col = columns.step * d->channels;
      line.bias = d->bias.data ? (const char *)d->bias.data + c * d->size : NULL;
      fnn_depthwise_look_ahead(d, from, i, &line);
      d->kernels->depthwise.line(&line);
      if (chain) fnn_chain_block(chain, first, d->out_size[1], c, n); /* there is one phase */
    }
  }
}

/* Where the parts of the workspace begin. */
typedef struct {
  char *weights, *room;
  int64_t *index;
} parts;

static parts parts_of(const fnn_depthwise *d, const fnn_team *team) {
  parts p = {.weights = team->workspace};
  p.index = (int64_t *)(p.weights + d->weights_bytes);
  p.room = p.weights + d->weights_bytes + d->index_bytes + team->id * d->spread_bytes;
  return p;
}

void fnn_depthwise_plan(const fnn_conv *conv, fnn_plan *plan) {
  fnn_depthwise d = fnn_depthwise_of(conv, conv->op == FNN_OP_conv_grad_x);
  plan->tasks = at_least(1, at_most(d.images * d.strips, fnn_conv_threads()));
  plan->workspace = d.weights_bytes + d.index_bytes + plan->tasks * d.spread_bytes;
  plan->flops = fnn_conv_flops(conv);
  plan->bytes = fnn_bytes(&conv->x) + fnn_bytes(&conv->w) + fnn_bytes(&conv->y);
  plan->bytes += 2 * (double)d.weights_bytes; /* copied and read */
}

void fnn_depthwise_run(const fnn_conv *conv, const fnn_chain *chain, fnn_team *team) {
  fnn_depthwise d = fnn_depthwise_of(conv, conv->op == FNN_OP_conv_grad_x);
  parts p = parts_of(&d, team);
  copy_weights(&d, p.weights, team);
  if (d.spread && team->id == 0) fnn_depthwise_make_index(&d, p.index);
  fnn_team_barrier(team);
  fnn_range mine = fnn_share(d.images * d.strips, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t image = t / d.strips, row = t % d.strips * d.strip;
    int64_t rows = at_most(d.strip, d.out_size[0] - row);
    for (int64_t c = 0; c < d.channels; c += d.block) {
      int64_t n = at_most(d.block, d.channels - c);
      fnn_depthwise_source from = fnn_depthwise_read(&d, image, row, rows, c, n, p.index, p.room);
      strip_block(&d, chain, image, row, rows, c, n, &from, p.weights);
    }
  }
}
