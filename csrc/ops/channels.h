/* channels.h: batch, group and instance normalisation: an array seen as samples of channels, and how it is cut.
 *
 * Channels lie side by side in memory ("columns": the rows are pixels), or each along a line of its sample. A
 * slab is what has statistics of its own: all samples, or each. It is cut into chunks, by its shape alone,
 * and into strips of channels (or single ones); a task is one of each. */
#ifndef FNN_OPS_CHANNELS_H
#define FNN_OPS_CHANNELS_H

#include "lines.h"
#include "norm.h"

typedef struct {
  const fnn_array *x, *weight, *bias, *mean, *rstd;
  int64_t samples, channels, length;
  int columns;
  int64_t slabs, groups; /* statistics of a slab are for groups of channels, of equal size */
  int64_t count;         /* elements of a channel in a slab */
  int64_t strips, width; /* strips of so many channels */
  int64_t fold;          /* elements of a channel side by side in a kernel's row */
  int64_t chunks, chunk_rows, chunk_length; /* lines or rows of a chunk; how much of each line */
  int64_t tasks;
} fnn_channels;

/* What a task covers: `lines` stretches, `apart` elements apart, each m rows of n columns, `step` apart, and then
 * one row of `tail` columns. */
typedef struct {
  int64_t slab, chunk, channel, width; /* the first channel and how many */
  int64_t first, lines, apart;
  int64_t m, n, step, tail;
} fnn_channels_piece;

/* x (N, C), (N, C, L) or, with columns set, (N, L, C), which has dims that fit; slabs is 1 or N. */
fnn_channels fnn_channels_of(const fnn_array *x, int columns, int64_t groups, int each_sample);

fnn_channels_piece fnn_channels_piece_of(const fnn_channels *c, int64_t task);

/* Elements of a channel in a chunk of a slab. */
int64_t fnn_channels_counted(const fnn_channels *c, int64_t chunk);

/* Coefficients for every column of a piece, as kernels take them; room for either real type. */
typedef struct {
  double center[FNN_CHANNELS_WIDE], scale[FNN_CHANNELS_WIDE], offset[FNN_CHANNELS_WIDE];
  double gain[FNN_CHANNELS_WIDE], slope[FNN_CHANNELS_WIDE], flat[FNN_CHANNELS_WIDE];
  fnn_channels_forward forward;
  fnn_channels_backward backward;
  int64_t slab, channel; /* of which piece, or -1 */
} fnn_channels_table;

/* The arrays of a call of the family seen so; mean and rstd are the outputs, or the given ones. */
fnn_channels fnn_channels_of_call(const fnn_call *call);

/* The coefficients of y for a piece; with eps >= 0 variances are in rstd's place. */
void fnn_channels_ready(const fnn_channels *c, const fnn_channels_piece *p, double eps,
                        fnn_channels_table *t);

void fnn_batch_norm_backward(const fnn_call *call, fnn_team *team);

/* No coefficients yet; the limits, where those that are infinite are none. */
void fnn_channels_start(fnn_channels_table *t, double low, double high);

/* Whether the table is not that of the piece's channels; it is meant to be now. */
static inline int fnn_channels_other(fnn_channels_table *t, const fnn_channels_piece *p) {
  int other = t->slab != p->slab || t->channel != p->channel;
  t->slab = p->slab;
  t->channel = p->channel;
  return other;
}

/* A line of zeros, as far as kernels go. */
void fnn_channels_zero(const fnn_channels_piece *p, double *line);

/* line[n] = its first `width` elements over and over, and zeros behind. */
void fnn_channels_repeat(const fnn_channels *c, const fnn_channels_piece *p, void *line);

/* totals[width] = the sums of what a piece's columns hold for each of its channels. */
void fnn_channels_totals(int dtype, const fnn_channels_piece *p, const void *line, double *totals);

/* line[width] = a statistic of a slab (mean or rstd) for channels from one on. */
void fnn_channels_spread(const fnn_channels *c, const fnn_array *statistic, int64_t slab,
                         int64_t channel, int64_t width, double *line);

/* line[width] = elements of an array that may be absent, for channels from one on. */
void fnn_channels_values(const fnn_array *a, int64_t channel, int64_t width, double otherwise,
                         double *line);

/* Lines of either type from and to doubles: whole ones, as one by one they would cost more than the kernels. */
void fnn_line_get(int dtype, int64_t n, const void *line, double *values);
void fnn_line_put(int dtype, int64_t n, const double *values, void *line);

#endif
