/* depthwise_shape.c: how a convolution of groups of few channels is cut, and what its kernels are given. */
#include "depthwise.h"

/* Bytes of a channel block's weights, which stay in L1 while pixels pass. */
#define WEIGHTS_BYTES 16384
/* Elements of a task's outputs, about; rows of it where they have to be read for several channel blocks. */
#define TASK 16384
#define STRIP 8
/* Tasks of a whole call, at least, where there are so many rows. Measured in MobileNetV2 on one image of 96 x 96:
 * 6 x 6 pixels of 384 channels, which were one task, take 5.2 us by one thread and 3.6 by two. */
#define TASKS 16
/* Bytes of spread planes that stay in L2, about. */
#define SPREAD_BYTES 131072

/* Tiles of the direct way compute as much for a few channels as for a vector. Measured on a Zen 5 with vectors of
 * 16, 3x3 on 28x28, GFLOP/s forward here and there: groups of 2 channels 81 and 11, of 4 121 and 69, of 8 119 and
 * 172; of one channel and 4 outputs 150 and 29. */
int fnn_depthwise_pays(const fnn_conv *c) {
  int64_t in = c->channels / c->groups, out = c->outputs / c->groups;
  double x = (double)c->images * (double)(c->in[0] * c->in[1]) * (double)c->channels;
  double y = (double)c->images * (double)(c->out[0] * c->out[1]) * (double)c->outputs;
  double weights = (double)(c->kernel[0] * c->kernel[1]) * (double)c->channels * (double)out;
  int64_t lanes = fnn_kernels_of(c->dtype)->lanes, least = at_most(in, out),
          most = at_least(in, out);
  return c->groups > 1 && !c->packed && (most == 1 || most < (least == 1 ? lanes : lanes / 2)) &&
         (x + y) * (double)(in + out) + weights < FNN_CONV_LIMIT;
}

/* Channels at a time: their weights fit L1, and the planes of a strip, where there are any, L2. */
static int64_t block_of(const fnn_depthwise *d) {
  int64_t lanes = d->kernels->lanes, all = ceil_div(d->channels, lanes);
  int64_t weights = d->kernel[0] * d->kernel[1] * d->planes * lanes * d->size;
  int64_t most = at_least(1, WEIGHTS_BYTES / at_least(weights, 1));
  if (d->spread) {
    int64_t planes = d->spread_rows * d->planes * d->in_size[1] * lanes * d->size;
    most = at_most(most, at_least(1, SPREAD_BYTES / at_least(planes, 1)));
  }
  return ceil_div(all, ceil_div(all, most)) * lanes;
}

/* Measured on a Zen 5 with 32 MB of L3, 3x3: in memory lines with what comes next asked for take half the time,
 * in L3 a quarter more. */
#define FAR_BYTES (INT64_C(8) << 20)

static void cut(fnn_depthwise *d) {
  int64_t row = at_least(1, d->out_size[1] * d->channels);
  d->strip = at_least(1, at_most(TASK / row, d->out_size[0]));
  if (d->spread) {
    d->strip = at_least(1, at_most(STRIP, d->out_size[0]));
    /* rows that are read for a strip, at most */
    int64_t span = (d->kernel[0] - 1) * d->dilation[0];
    int64_t move =
        d->grad_x ? (d->strip + span) / d->stride[0] : (d->strip - 1) * d->stride[0] + span;
    d->spread_rows = at_most(d->in_size[0], move + 1);
  }
  d->block = block_of(d);
  if (d->block < d->channels) d->strip = at_least(1, at_most(STRIP, d->out_size[0]));
  if (!d->spread) d->strip = at_least(1, at_most(d->strip, d->images * d->out_size[0] / TASKS));
  d->strips = ceil_div(d->out_size[0], d->strip);
  int64_t elements = d->kernel[0] * d->kernel[1] * d->planes * d->channels;
  d->weights_bytes = (elements * d->size + 63) / 64 * 64;
  if (!d->spread) return;
  d->index_bytes = d->planes * d->channels * (int64_t)sizeof(int64_t);
  d->index_bytes = (d->index_bytes + 63) / 64 * 64;
  d->spread_bytes = d->spread_rows * d->planes * d->in_size[1] * d->block * d->size;
}

fnn_depthwise fnn_depthwise_of(const fnn_conv *c, int grad_x) {
  fnn_depthwise d = {.kernels = fnn_kernels_of(c->dtype),
                     .size = fnn_itemsize(c->dtype),
                     .grad_x = grad_x,
                     .in = grad_x ? c->y : c->x,
                     .w = c->w,
                     .bias = c->bias,
                     .out = grad_x ? c->x : c->y,
                     .images = c->images,
                     .groups = c->groups,
                     .in_group = (grad_x ? c->outputs : c->channels) / c->groups,
                     .channels = grad_x ? c->channels : c->outputs};
  for (int i = 0; i < 2; i++) {
    d.in_size[i] = grad_x ? c->out[i] : c->in[i];
    d.out_size[i] = grad_x ? c->in[i] : c->out[i];
    d.kernel[i] = c->kernel[i];
    d.stride[i] = c->stride[i];
    d.pad[i] = c->pad[i];
    d.dilation[i] = c->dilation[i];
  }
  d.planes = d.in_group;
  d.spread = c->channels != c->groups || c->outputs != c->groups ||
             (d.in.stride[3] != 1 && d.in.shape[3] != 1);
  d.far = !d.spread && fnn_bytes(&d.in) + fnn_bytes(&d.out) > FAR_BYTES;
  cut(&d);
  return d;
}

fnn_depthwise_phase fnn_depthwise_phase_of(const fnn_depthwise *d, int axis, int64_t at) {
  int64_t k = d->kernel[axis], s = d->stride[axis], p = d->pad[axis], dilation = d->dilation[axis];
  if (!d->grad_x)
    return (fnn_depthwise_phase){.step = 1,
                                 .count = d->out_size[axis],
                                 .first = -p,
                                 .move = s,
                                 .tap = dilation,
                                 .taps = k,
                                 .w_step = 1};
  fnn_depthwise_phase phase = {.begin = at % s, .step = s, .move = 1, .tap = 1, .w_step = 1};
  phase.count = ceil_div(d->out_size[axis] - phase.begin, s);
  if (phase.count < 0) phase.count = 0;
  int64_t tap = 0, each = 1; /* the first element that meets the phase, and from one to the next */
  while (tap < k && (phase.begin + p - tap * dilation) % s) tap++;
  while (each < k && each * dilation % s) each++;
  if (tap >= k) return phase;
  phase.taps = (k - 1 - tap) / each + 1;
  tap += (phase.taps - 1) * each; /* the last one is the first of the kernel turned round */
  phase.w_first = k - 1 - tap;
  phase.w_step = each;
  phase.tap = each * dilation / s;
  phase.first = (phase.begin + p - tap * dilation) / s;
  return phase;
}

void fnn_depthwise_make_index(const fnn_depthwise *d, int64_t *index) {
  int64_t out_group = d->channels / d->groups, step = d->in.stride[3];
  for (int64_t j = 0; j < d->planes; j++)
    for (int64_t o = 0; o < d->channels; o++)
      index[j * d->channels + o] = (o / out_group * d->in_group + j) * step;
}

/* The rows of in that a row of out reads: from *a to *b. */
static void rows_read(const fnn_depthwise *d, int64_t row, int64_t *a, int64_t *b) {
  fnn_depthwise_phase phase = fnn_depthwise_phase_of(d, 0, row);
  int64_t first = phase.first + (row - phase.begin) / phase.step * phase.move;
  *a = at_least(0, first);
  *b = at_most(d->in_size[0], first + (phase.taps - 1) * phase.tap + 1);
}

fnn_depthwise_source fnn_depthwise_read(const fnn_depthwise *d, int64_t n, int64_t row,
                                        int64_t rows, int64_t c, int64_t channels,
                                        const int64_t *index, char *room) {
  const fnn_array *in = &d->in;
  const char *image = (const char *)in->data + n * in->stride[0] * d->size;
  fnn_depthwise_source from = {.x_row = in->stride[1], .x_col = in->stride[2]};
  if (!d->spread) {
    from.data = image + c * d->size;
    return from;
  }
  int64_t begin = d->in_size[0], end = 0, a, b;
  for (int64_t i = row; i < row + rows; i++) {
    rows_read(d, i, &a, &b);
    if (a < b) begin = at_most(begin, a), end = at_least(end, b);
  }
  from = (fnn_depthwise_source){.data = room,
                                .row = begin,
                                .x_row = d->planes * d->in_size[1] * channels,
                                .x_col = channels,
                                .x_plane = d->in_size[1] * channels};
  int64_t limit = in->stride[3] == 1 ? in->shape[3] : 0;
  for (int64_t i = begin; i < end; i++)
    for (int64_t j = 0; j < d->planes; j++)
      d->kernels->depthwise.spread(d->in_size[1], channels, index + j * d->channels + c, limit,
                                   image + i * in->stride[1] * d->size, in->stride[2],
                                   room + ((i - begin) * from.x_row + j * from.x_plane) * d->size,
                                   channels);
  return from;
}

fnn_depthwise_line fnn_depthwise_line_of(const fnn_depthwise *d, const fnn_depthwise_source *from,
                                         int64_t row, const fnn_depthwise_phase *columns, char *w) {
  fnn_depthwise_phase rows = fnn_depthwise_phase_of(d, 0, row);
  int64_t first = rows.first + (row - rows.begin) / rows.step * rows.move, a = 0, b = rows.taps;
  while (a < b && first + a * rows.tap < 0) a++;
  while (a < b && first + (b - 1) * rows.tap >= d->in_size[0]) b--;
  fnn_depthwise_line line = {.x = from->data, /* no row of it may be read */
                             .pixels = columns->count,
                             .rows = b - a,
                             .planes = d->planes,
                             .taps = columns->taps,
                             .first = columns->first,
                             .width = d->in_size[1],
                             .step = columns->move,
                             .tap = columns->tap,
                             .x_col = from->x_col,
                             .x_plane = from->x_plane,
                             .x_row = rows.tap * from->x_row,
                             .w_tap = columns->w_step * d->channels,
                             .w_plane = d->kernel[1] * d->channels};
  int64_t w_row = d->planes * line.w_plane;
  line.w_row = rows.w_step * w_row;
  line.w =
      w + ((rows.w_first + a * rows.w_step) * w_row + columns->w_first * d->channels) * d->size;
  if (a < b) line.x = from->data + (first + a * rows.tap - from->row) * from->x_row * d->size;
  return line;
}

void fnn_depthwise_look_ahead(const fnn_depthwise *d, const fnn_depthwise_source *from, int64_t row,
                              fnn_depthwise_line *line) {
  int64_t a, b, next_a, next_b, span = d->grad_x ? d->stride[0] : 1;
  if (!d->far || row + span >= d->out_size[0]) return;
  rows_read(d, row, &a, &b);
  rows_read(d, row + span, &next_a, &next_b);
  line->next_y = (const char *)line->y + span * d->out.stride[1] * d->size;
  if (next_b <= b) return;
  line->next_rows = next_b - b;
  line->next_row = from->x_row;
  line->next_x = from->data + b * from->x_row * d->size;
}
