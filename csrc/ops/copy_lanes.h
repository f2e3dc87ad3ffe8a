/* copy_lanes.h: copies that regroup a few lanes of every pixel. */
#ifndef FNN_OPS_COPY_LANES_H
#define FNN_OPS_COPY_LANES_H

#include "op.h"

#define FNN_MOST_LANES 64

/* to[c * to_step + to_lane[k]] = from[c * from_step + from_lane[k]] for c < n and k < lanes, at each place of
 * the outer axes. Strides and offsets count elements. */
typedef struct {
  int64_t size; /* bytes of an element */
  int64_t n, from_step, to_step;
  int lanes;
  int64_t from_lane[FNN_MOST_LANES], to_lane[FNN_MOST_LANES];
  uint8_t square[FNN_MOST_LANES]; /* lanes from k on go by squares in registers */
  int past;                       /* squares reach one lane further than the pixel, into the next */
  int outer;
  int64_t shape[FNN_MAX_DIMS], from[FNN_MAX_DIMS], to[FNN_MAX_DIMS];
  int64_t chunk, chunks; /* the n elements are cut into pieces that stay in L1 */
  int64_t tiles;
} fnn_lanes;

/* Whether a copy between these strides is one of a few lanes; if so, l describes it. */
int fnn_lanes_fit(fnn_lanes *l, int64_t size, int ndim, const int64_t *shape, const int64_t *from,
                  const int64_t *to);

/* Tiles [begin, end) of l->tiles. */
void fnn_lanes_copy(const fnn_lanes *l, fnn_range share, const char *from, char *to);

#endif
