/* augment.h: what the files of the augment ops share: a call that has been read, and one image on its way. */
#ifndef FNN_OPS_AUGMENT_H
#define FNN_OPS_AUGMENT_H

#include "op.h"

/* The rows of a call: numbers each, and how many rows there may be. A row is {kind, first column of the draws,
 * what the kind says}. */
enum { AUGMENT_NUMBERS = 16, AUGMENT_ROWS = 32 };

typedef enum {
  AUGMENT_CROP, /* height, width, first top, first left, tops, lefts        2 draws */
  AUGMENT_FLIP, /* 1 up and down, 0 left and right; probability             1 draw  */
  AUGMENT_TURN, /* low and high of: degrees; least and most of: shift right and down (of the size), scale,
                     shear right and down in degrees                          6 draws */
  AUGMENT_SCALE, /* where in values: a factor, then a summand for each channel       */
  AUGMENT_TINT,  /* low and high of: brightness, contrast, saturation        3 draws */
  AUGMENT_NOISE, /* standard deviation                                               */
  AUGMENT_ERASE, /* probability; low and high of the area's share and of the logarithm of height / width, or
                     the side of a square that may stick out; where in values the colour is, -1 for noise
                                                                              5 draws */
  AUGMENT_MIXUP,  /* probability; where in values the quantiles of the share are, how many   */
  AUGMENT_CUTMIX, /* the same                                                 4 draws */
  AUGMENT_KINDS
} fnn_augment_kind;

/* Numbers of a row that several kinds have. */
enum { ROW_KIND, ROW_DRAWS, ROW_FIRST, ROW_OUTSIDE = 13, ROW_FILL = 14, ROW_APART = 15 };

/* A stage of an image's way. Rows that move pixels, up to one that is apart, are one resampling. */
typedef struct {
  fnn_augment_kind kind; /* CROP for any resampling */
  int first, end;        /* its rows */
  int64_t height, width; /* of its output */
  int64_t in_height, in_width;
  int scale; /* of a resampling: the row whose factors are taken along, -1 for none */
  fnn_outside outside;
  int64_t fill;  /* where in values, -1 for black */
  int turns;     /* whether pixels may come to lie between others */
  int64_t noise; /* groups of random blocks that it uses an image */
} fnn_augment_stage;

typedef struct {
  const fnn_array *x, *draws, *y;
  const fnn_array *key; /* or absent */
  const double *rows, *values;
  int64_t n_values;
  int64_t images, channels;
  int n_stages, resamplings;
  fnn_augment_stage stage[AUGMENT_ROWS + 1];
  int first_mix, end_mix; /* the rows that mix */
  int64_t height, width;  /* of the output */
  const fnn_kernels *kernels;
  int64_t period; /* of patterns */
} fnn_augment;

/* How an image and the one before it (the last for the first) are mixed. */
typedef struct {
  fnn_augment_kind kind; /* MIXUP, CUTMIX; CROP for not at all */
  double own;            /* the image's own share */
  int64_t top, left, bottom, right;
} fnn_augment_mixing;

/* What one thread has to work in; NULL where nothing needs it. */
typedef struct {
  char *packed;     /* an image of the batch, its pixels one after another */
  char *line;       /* a row of an image as it came */
  char *fill;       /* a row of the colour outside, as it would have come */
  char *reals;      /* a row of reals */
  int32_t *columns; /* which column of the image each of a row comes from */
  char *plane;
  char *between[2]; /* images between resamplings */
  char *mixed[2];   /* an image and the one before it */
  char *patterns;   /* scale and shift of each resampling or SCALE */
} fnn_augment_room;

static inline const double *fnn_augment_row(const fnn_augment *a, int row) {
  return a->rows + (int64_t)row * AUGMENT_NUMBERS;
}

/* The draw number `which` of a row for an image, in [0, 1). */
static inline double fnn_augment_draw(const fnn_augment *a, int64_t image, int row, int which) {
  int64_t column = (int64_t)fnn_augment_row(a, row)[ROW_DRAWS] + which;
  return ((const double *)a->draws->data)[image * a->draws->shape[1] + column];
}

/* The number at a share of the way from low to high, which are at `place` of a row. */
static inline double fnn_augment_between(const fnn_augment *a, int row, int place, double share) {
  const double *low = fnn_augment_row(a, row) + place;
  return low[0] + share * (low[1] - low[0]);
}

/* Read and check a call: augment_read.c */
fnn_status fnn_augment_read(const fnn_call *call, fnn_augment *a, fnn_failure *why);
fnn_status fnn_augment_read_labels(const fnn_call *call, fnn_augment *a, fnn_failure *why);

/* How the image is mixed: augment_mix.c */
fnn_augment_mixing fnn_augment_mixing_of(const fnn_augment *a, int64_t image);
void fnn_augment_mix(const fnn_augment *a, const fnn_augment_mixing *how, const char *own,
                     const char *other, char *y);
void fnn_augment_labels(const fnn_call *call, const fnn_augment *a, fnn_team *team);

/* Move an image's pixels: dtype and row stride (in elements) of the source, whose pixels lie one after
 * another; augment_place.c */
void fnn_augment_place(const fnn_augment *a, int stage, int64_t image, const fnn_augment_room *room,
                       int dtype, const char *x, int64_t row_stride, char *y);

#endif
