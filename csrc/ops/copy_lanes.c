/* copy_lanes.c: copies that regroup a few lanes of every pixel, as pixel_shuffle and changes between
 * planes and interleaved channels do.
 *
 * Of such a copy the axis that is contiguous in the source and the one that is in the target differ,
 * and one of them is tiny: rows of a few elements are too short for a loop of their own. So all
 * tiny axes together become lanes, of which a table has the offsets, and one long axis is walked for
 * a few lanes at a time, over a piece of memory that stays in L1. */
#include "copy_lanes.h"

#include "copy_square.h"

#define LONG 16     /* an axis worth walking */
#define PIECE 16384 /* bytes of lanes at a time, a part of L1 */
/* Bytes go four by four; of more lanes the tiles of copy_block.c write more of a line at once (measured). */
#define MOST_OF_BYTES 16

/* --- planning --- */

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

static int64_t nearest(int64_t from, int64_t to) {
  return magnitude(from) < magnitude(to) ? magnitude(from) : magnitude(to);
}

/* The axis to walk: of those long enough the one whose elements lie nearest, or -1. */
static int walked_axis(int ndim, const int64_t *shape, const int64_t *from, const int64_t *to) {
  int best = -1;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] < LONG) continue;
    int64_t gain = best < 0 ? 1 : nearest(from[best], to[best]) - nearest(from[i], to[i]);
    if (gain > 0 || (gain == 0 && shape[i] > shape[best])) best = i;
  }
  return best;
}

/* The axis not in `taken` whose elements lie nearest, or -1. */
static int nearest_axis(int ndim, const int64_t *from, const int64_t *to, unsigned taken) {
  int best = -1;
  for (int i = 0; i < ndim; i++)
    if (!(taken >> i & 1) && (best < 0 || nearest(from[i], to[i]) < nearest(from[best], to[best])))
      best = i;
  return best;
}

/* Each lane so far becomes `count` lanes, steps of a further axis apart. */
static void add_lanes(fnn_lanes *l, int64_t count, int64_t from, int64_t to) {
  for (int64_t j = 1; j < count; j++)
    for (int k = 0; k < l->lanes; k++) {
      l->from_lane[j * l->lanes + k] = l->from_lane[k] + j * from;
      l->to_lane[j * l->lanes + k] = l->to_lane[k] + j * to;
    }
  l->lanes *= (int)count;
}

/* Lanes that lie one after another on one side, walked along contiguous elements on the other. */
static void mark_squares(fnn_lanes *l) {
  const int joins = l->from_step == 1, side = l->size == 8 ? 2 : 4;
  const int64_t *lane = joins ? l->to_lane : l->from_lane;
  if (!joins && l->to_step != 1) return;
  /* Three lanes that fill their pixels are four whose last is the next pixel's first: where they are joined it is
   * written too early, where they are split it goes to what is written later. */
  l->past = side == 4 && l->lanes == 3 && (joins ? l->to_step : l->from_step) == 3;
  if (l->past) {
    l->from_lane[3] = joins ? l->from_lane[2] : l->from_lane[0] + 3;
    l->to_lane[3] = joins ? l->to_lane[0] + 3 : l->to_lane[2] + 4;
  }
  for (int k = 0; k + side <= l->lanes + l->past; k++) {
    l->square[k] = 1;
    for (int i = 1; i < side; i++)
      if (lane[k + i] != lane[k] + i) l->square[k] = 0;
  }
}

int fnn_lanes_fit(fnn_lanes *l, int64_t size, int ndim, const int64_t *shape, const int64_t *from,
                  const int64_t *to) {
  int first = 0, last = 0;
  for (int i = 0; i < ndim; i++) {
    if (from[i] == 0) return 0; /* what is spread over the target is another kind of copy */
    if (magnitude(from[i]) <= magnitude(from[first])) first = i;
    if (magnitude(to[i]) <= magnitude(to[last])) last = i;
  }
  int walked = walked_axis(ndim, shape, from, to);
  if (first == last || walked < 0) return 0;
  *l = (fnn_lanes){.size = size, .n = shape[walked], .lanes = 1};
  l->from_step = from[walked];
  l->to_step = to[walked];
  const int64_t most = size == 1 ? MOST_OF_BYTES : FNN_MOST_LANES;
  unsigned taken = 1u << walked;
  for (int i; (i = nearest_axis(ndim, from, to, taken)) >= 0; taken |= 1u << i) {
    int together = nearest(from[i], to[i]) <= l->lanes, all = taken >> first & taken >> last & 1;
    if (shape[i] > most / l->lanes || (all && !together)) break;
    add_lanes(l, shape[i], from[i], to[i]);
  }
  if (!(taken >> first & taken >> last & 1)) return 0;
  mark_squares(l);
  l->chunk = PIECE / (size * l->lanes);
  l->chunk -= l->chunk % LONG;
  l->chunks = (l->n + l->chunk - 1) / l->chunk;
  l->tiles = l->chunks;
  for (int i = 0; i < ndim; i++) {
    if (taken >> i & 1) continue;
    l->shape[l->outer] = shape[i];
    l->from[l->outer] = from[i];
    l->to[l->outer++] = to[i];
    l->tiles *= shape[i];
  }
  return 1;
}

/* --- running --- */

/* n elements of every lane: squares where lanes lie together, what is left one by one. */
#define COPY(type, name, side, turn)                                              \
  static void name(const fnn_lanes *l, int64_t n, const type *from, type *to) {   \
    const int64_t fs = l->from_step, ts = l->to_step;                             \
    for (int k = 0, width; k < l->lanes; k += width) {                            \
      int64_t done = 0;                                                           \
      width = l->square[k] ? side : 1;                                            \
      if (width > 1) {                                                            \
        int64_t pixel[side];                                                      \
        done = l->past && n < side ? 0 : n - n % side - (l->past ? side : 0);     \
        for (int i = 0; i < side; i++) pixel[i] = i * (fs == 1 ? ts : fs);        \
        if (fs == 1)                                                              \
          for (int64_t c = 0; c < done; c += side)                                \
            turn(from + c, l->from_lane + k, to + l->to_lane[k] + c * ts, pixel); \
        else                                                                      \
          for (int64_t c = 0; c < done; c += side)                                \
            turn(from + l->from_lane[k] + c * fs, pixel, to + c, l->to_lane + k); \
      }                                                                           \
      for (int i = k; i < k + width && i < l->lanes; i++) {                       \
        const type *p = from + l->from_lane[i];                                   \
        type *q = to + l->to_lane[i];                                             \
        for (int64_t c = done; c < n; c++) q[c * ts] = p[c * fs];                 \
      }                                                                           \
    }                                                                             \
  }
COPY(uint8_t, copy_1, 4, fnn_square_1)
COPY(uint32_t, copy_4, 4, fnn_square_4)
COPY(uint64_t, copy_8, 2, fnn_square_8)
#undef COPY

void fnn_lanes_copy(const fnn_lanes *l, fnn_range share, const char *from, char *to) {
  int64_t index[FNN_MAX_DIMS], number = share.begin / l->chunks, piece = share.begin % l->chunks;
  int64_t source = 0, target = 0;
  for (int i = l->outer - 1; i >= 0; i--) {
    index[i] = number % l->shape[i];
    number /= l->shape[i];
    source += index[i] * l->from[i];
    target += index[i] * l->to[i];
  }
  for (int64_t t = share.begin; t < share.end; t++) {
    int64_t begin = piece * l->chunk, n = l->n - begin < l->chunk ? l->n - begin : l->chunk;
    const void *p = from + (source + begin * l->from_step) * l->size;
    void *q = to + (target + begin * l->to_step) * l->size;
    if (l->size == 4)
      copy_4(l, n, p, q);
    else if (l->size == 8)
      copy_8(l, n, p, q);
    else
      copy_1(l, n, p, q);
    if (++piece < l->chunks) continue;
    piece = 0;
    for (int i = l->outer - 1; i >= 0; i--) {
      source += l->from[i];
      target += l->to[i];
      if (++index[i] < l->shape[i]) break;
      source -= index[i] * l->from[i];
      target -= index[i] * l->to[i];
      index[i] = 0;
    }
  }
}
