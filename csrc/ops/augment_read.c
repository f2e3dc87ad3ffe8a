/* augment_read.c: the rows of numbers of a call, checked: what passes cannot make anything touch memory outside
 * of the arrays, whatever the draws are. The rows are an array, so they are read again when the call runs. */
#include <math.h>

#include "augment.h"

/* Patterns have at least so many elements, for loops that are worth it (a row of a small image). */
enum { SHORTEST_PERIOD = 128 };

/* Whether a number of a row is whole and low <= it < high. */
static int is_whole(double number, double low, double high) {
  return number >= low && number < high && number == floor(number);
}

/* How many draws of an image a row looks at; a crop in the middle at none. */
static int draws_of(const double *row) {
  static const int draws[AUGMENT_KINDS] = {2, 1, 6, 0, 3, 0, 5, 4, 4};
  const int kind = (int)row[ROW_KIND];
  if (kind == AUGMENT_CROP && row[ROW_FIRST + 4] == 1 && row[ROW_FIRST + 5] == 1) return 0;
  return draws[kind];
}

/* Whether the values that a row names are there. */
static int has_values(const fnn_augment *a, double at, int64_t count) {
  return is_whole(at, 0, (double)(a->n_values + 1)) && count <= a->n_values - (int64_t)at;
}

static int is_sound(const fnn_augment *a, const double *row) {
  const double *own = row + ROW_FIRST;
  for (int i = 0; i < AUGMENT_NUMBERS; i++)
    if (!(fabs(row[i]) < 0x1p30)) return 0; /* so that whole numbers made of them are, too */
  if (!is_whole(row[ROW_DRAWS], 0, (double)(a->draws->shape[1] - draws_of(row) + 1))) return 0;
  switch ((int)row[ROW_KIND]) {
    case AUGMENT_SCALE:
      return has_values(a, own[0], 2 * a->channels);
    case AUGMENT_TINT:
      return a->channels == 1 || a->channels == 3;
    case AUGMENT_NOISE:
      return own[0] >= 0 && fnn_present(a->key);
    case AUGMENT_ERASE:
      return own[6] < 0 ? fnn_present(a->key) : has_values(a, own[6], a->channels);
    case AUGMENT_MIXUP:
    case AUGMENT_CUTMIX:
      return own[2] >= 2 && is_whole(own[2], 2, 0x1p20) && has_values(a, own[1], (int64_t)own[2]);
    case AUGMENT_CROP:
      if (!is_whole(own[0], 1, 0x1p20) || !is_whole(own[1], 1, 0x1p20) ||
          !is_whole(own[2], -0x1p20, 0x1p20) || !is_whole(own[3], -0x1p20, 0x1p20) ||
          !is_whole(own[4], 1, 0x1p20) || !is_whole(own[5], 1, 0x1p20))
        return 0; /* fall through */
    default:
      return is_whole(row[ROW_OUTSIDE], 0, FNN_OUTSIDES) &&
             (row[ROW_FILL] < 0 || has_values(a, row[ROW_FILL], a->channels));
  }
}

static int64_t noise_groups(const fnn_augment_stage *stage, int64_t channels) {
  const int64_t group = FNN_RANDOM_GROUP(8);
  return stage->height * ((stage->width * channels + group - 1) / group);
}

/* A resampling that begins at a row, with all rows that go with it; the row behind it. */
static int read_resampling(fnn_augment *a, int row, int n, fnn_augment_stage *stage) {
  stage->kind = AUGMENT_CROP;
  stage->fill = -1;
  for (; row < n; row++) {
    const double *r = fnn_augment_row(a, row), *own = r + ROW_FIRST;
    if (r[ROW_KIND] > AUGMENT_TURN || (row > stage->first && r[ROW_APART])) break;
    if (r[ROW_KIND] == AUGMENT_CROP) {
      stage->height = (int64_t)own[0];
      stage->width = (int64_t)own[1];
    }
    if (r[ROW_KIND] != AUGMENT_FLIP) {
      stage->outside = (fnn_outside)r[ROW_OUTSIDE];
      stage->fill = (int64_t)r[ROW_FILL];
    }
    stage->turns |= r[ROW_KIND] == AUGMENT_TURN;
  }
  stage->end = row;
  stage->scale = row < n && fnn_augment_row(a, row)[ROW_KIND] == AUGMENT_SCALE ? row++ : -1;
  a->resamplings++;
  return row;
}

static fnn_status read_rows(fnn_augment *a, int n, fnn_failure *why) {
  a->height = a->x->shape[1];
  a->width = a->x->shape[2];
  for (int row = 0; row < n; row++) {
    const double *r = fnn_augment_row(a, row);
    if (!is_whole(r[ROW_KIND], 0, AUGMENT_KINDS) || !is_sound(a, r)) {
      why->seen = row;
      return fnn_fail(why, FNN_ERR_VALUE, "row {seen} says nothing that can be done");
    }
  }
  int row = 0;
  do {
    fnn_augment_stage *stage = &a->stage[a->n_stages];
    const double kind = row < n ? fnn_augment_row(a, row)[ROW_KIND] : AUGMENT_SCALE;
    if (kind >= AUGMENT_MIXUP && a->n_stages) break;
    *stage = (fnn_augment_stage){.first = row,
                                 .end = row + 1,
                                 .height = a->height,
                                 .width = a->width,
                                 .in_height = a->height,
                                 .in_width = a->width,
                                 .scale = -1};
    if (kind <= AUGMENT_TURN || a->n_stages == 0) {
      row = read_resampling(a, row, n, stage);
    } else {
      stage->kind = (fnn_augment_kind)kind;
      if (kind == AUGMENT_NOISE ||
          (kind == AUGMENT_ERASE && fnn_augment_row(a, row)[ROW_FIRST + 6] < 0))
        stage->noise = noise_groups(stage, a->channels);
      row++;
    }
    a->height = stage->height;
    a->width = stage->width;
    a->n_stages++;
  } while (row < n);
  a->first_mix = row;
  a->end_mix = n;
  for (; row < n; row++)
    if (fnn_augment_row(a, row)[ROW_KIND] < AUGMENT_MIXUP)
      return fnn_fail(why, FNN_ERR_VALUE, "images are mixed at the end of their way");
  return FNN_OK;
}

static int is_matrix(const fnn_array *a, int64_t columns) {
  return a->dtype == FNN_F64 && a->ndim == 2 && fnn_contiguous(a) &&
         (columns < 0 || a->shape[1] == columns);
}

/* Read and check the arrays that both ops have. */
static fnn_status read_tables(fnn_augment *a, const fnn_array *rows, const fnn_array *values,
                              fnn_failure *why) {
  if (!is_matrix(rows, AUGMENT_NUMBERS) || rows->shape[0] > AUGMENT_ROWS)
    return fnn_fail(why, FNN_ERR_SHAPE, "rows is float64 (at most 32, 16)");
  if (values->dtype != FNN_F64 || values->ndim != 1 || !fnn_contiguous(values))
    return fnn_fail(why, FNN_ERR_SHAPE, "values is float64 and one row");
  if (!is_matrix(a->draws, -1) || a->draws->shape[0] != a->images)
    return fnn_fail(why, FNN_ERR_SHAPE, "draws is float64 and has a row for each image");
  a->rows = rows->data;
  a->values = values->data;
  a->n_values = values->shape[0];
  return FNN_OK;
}

fnn_status fnn_augment_read(const fnn_call *call, fnn_augment *a, fnn_failure *why) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[5];
  *a = (fnn_augment){.x = x, .draws = &call->arrays[1], .key = &call->arrays[2], .y = y};
  if (x->ndim != 4 || y->ndim != 4 || x->shape[0] != y->shape[0] || x->shape[3] != y->shape[3])
    return fnn_fail(why, FNN_ERR_SHAPE, "x and y are (images, height, width, channels)");
  if (!fnn_is_real(y->dtype) || (x->dtype != FNN_U8 && x->dtype != y->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "x is uint8 or of y's type, which is float32 or float64");
  if (!fnn_contiguous(y)) return fnn_fail(why, FNN_ERR_SHAPE, "y must be contiguous");
  for (int i = 1; i < 4; i++)
    if (x->shape[i] < 1 || x->shape[i] > (i < 3 ? 1 << 16 : 1 << 10))
      return fnn_fail(why, FNN_ERR_SHAPE,
                      "an image has 1 to 65536 rows and columns, 1 to 1024 channels");
  if ((x->shape[1] + 2) * (x->shape[2] + 2) * (x->shape[3] + 1) > INT32_MAX)
    return fnn_fail(why, FNN_ERR_SHAPE, "an image has too many pixels");
  a->images = x->shape[0];
  a->channels = x->shape[3];
  a->kernels = fnn_kernels_of(y->dtype);
  a->period = a->kernels->lanes * (a->channels == 1 ? 1 : a->channels);
  a->period *= (SHORTEST_PERIOD + a->period - 1) / a->period;
  if (fnn_present(a->key) && (a->key->dtype != FNN_I64 || a->key->ndim != 1 ||
                              a->key->shape[0] != 2 || !fnn_contiguous(a->key)))
    return fnn_fail(why, FNN_ERR_SHAPE, "a key is a contiguous int64 pair");
  fnn_status status = read_tables(a, &call->arrays[3], &call->arrays[4], why);
  if (status == FNN_OK) status = read_rows(a, (int)call->arrays[3].shape[0], why);
  if (status) return status;
  if (a->height != y->shape[1] || a->width != y->shape[2])
    return fnn_fail(why, FNN_ERR_SHAPE, "y does not have the size that the rows make");
  for (int i = 0; i < a->n_stages; i++)
    if ((a->stage[i].height + 2) * (a->stage[i].width + 2) * (a->channels + 1) > INT32_MAX)
      return fnn_fail(why, FNN_ERR_SHAPE, "an image has too many pixels");
  return FNN_OK;
}

static const fnn_array ABSENT = {.ndim = -1};

fnn_status fnn_augment_read_labels(const fnn_call *call, fnn_augment *a, fnn_failure *why) {
  const fnn_array *labels = &call->arrays[0], *y = &call->arrays[4];
  const double smoothing = call->scalars[0].f;
  const int64_t height = call->scalars[1].i, width = call->scalars[2].i;
  *a = (fnn_augment){.draws = &call->arrays[1], .key = &ABSENT, .y = y};
  if (y->ndim != 2 || !fnn_contiguous(y) || !fnn_is_real(y->dtype))
    return fnn_fail(why, FNN_ERR_SHAPE, "y is contiguous and real (images, classes)");
  if (labels->dtype == FNN_I64
          ? labels->ndim != 1 || labels->shape[0] != y->shape[0]
          : labels->dtype != y->dtype || !fnn_same_shape(labels, y) || !fnn_contiguous(labels))
    return fnn_fail(why, FNN_ERR_SHAPE, "labels are int64 (images), or contiguous and like y");
  if (!(smoothing >= 0 && smoothing <= 1))
    return fnn_fail(why, FNN_ERR_VALUE, "smoothing lies between 0 and 1");
  if (height < 1 || width < 1 || height > 1 << 20 || width > 1 << 20)
    return fnn_fail(why, FNN_ERR_VALUE, "an image has a height and a width");
  a->images = y->shape[0];
  a->height = height;
  a->width = width;
  fnn_status status = read_tables(a, &call->arrays[2], &call->arrays[3], why);
  if (status) return status;
  a->end_mix = (int)call->arrays[2].shape[0];
  for (int row = 0; row < a->end_mix; row++) {
    const double *r = fnn_augment_row(a, row);
    if (!is_whole(r[ROW_KIND], AUGMENT_MIXUP, AUGMENT_KINDS) || !is_sound(a, r))
      return fnn_fail(why, FNN_ERR_VALUE, "the rows of labels are those that mix");
  }
  return FNN_OK;
}
