/* augment.c: batches of images, changed at random: what is done is rows of numbers, what the chances came to
 * is a table of draws, uniform in [0, 1), a row an image.
 *
 * An image goes its whole way, from bytes to the reals of its place in the batch, in the cache of one thread.
 * What it becomes depends on its pixels, its draws and, where noise is asked for, on the key and its number;
 * where images are mixed, on those of the image before, too. A thread that needs that image makes it again. */
#include "augment.h"

#include <math.h>
#include <string.h>

/* Images that a thread takes at once, at least: of one more it makes the first again where they are mixed. And
 * how many such lots there are at most. */
enum { LOT = 8, LOTS = 32 };

/* Random numbers made at a time: whole groups of either type. */
enum { NOISE_CHUNK = 1024 };

/* --- reading a call --- */

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

static fnn_status read_augment(const fnn_call *call, fnn_augment *a, fnn_failure *why) {
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

/* --- room to work in --- */

static char *next(char **free, int64_t bytes) {
  char *found = bytes ? *free : NULL;
  *free += (bytes + 63) / 64 * 64;
  return found;
}

static int is_packed(const fnn_array *x) {
  return (x->stride[3] == 1 || x->shape[3] == 1) &&
         (x->stride[2] == x->shape[3] || x->shape[2] == 1);
}

/* Lay out what a thread needs from `at` on; returns its end. */
static char *lay_out(const fnn_augment *a, char *at, fnn_augment_room *room) {
  int64_t width = a->x->shape[2], image = 0, plane = 0;
  const int64_t size = fnn_itemsize(a->y->dtype), channels = a->channels;
  for (int i = 0; i < a->n_stages; i++) {
    const fnn_augment_stage *s = &a->stage[i];
    if (s->width > width) width = s->width;
    if (s->height * s->width > image) image = s->height * s->width;
    int64_t pixels = (s->in_height + 2) * (s->in_width + 2);
    if (s->turns && pixels > plane) plane = pixels;
  }
  image *= channels * size;
  const fnn_array *x = a->x;
  int64_t source = x->shape[1] * x->shape[2] * channels * fnn_itemsize(x->dtype);
  room->packed = next(&at, is_packed(x) ? 0 : source);
  room->line = next(&at, width * channels * size + 16);
  room->reals = next(&at, (width * channels > NOISE_CHUNK ? width * channels : NOISE_CHUNK) * size);
  room->columns = (int32_t *)(void *)next(&at, width * (int64_t)sizeof(int32_t));
  room->plane = next(&at, plane * (channels == 3 ? 4 : channels) * size);
  for (int i = 0; i < 2; i++) {
    room->between[i] = next(&at, a->resamplings > 1 + i ? image : 0);
    room->mixed[i] = next(&at, a->first_mix < a->end_mix ? image : 0);
  }
  room->patterns = next(&at, a->n_stages * 2 * a->period * size);
  return at;
}

static void put_real(char *at, int64_t i, double value, int dtype) {
  if (dtype == FNN_F32)
    ((float *)(void *)at)[i] = (float)value;
  else
    ((double *)(void *)at)[i] = value;
}

/* The factors and summands of each stage that has some: bytes are brought to 0 to 1 first. */
static void fill_patterns(const fnn_augment *a, const fnn_augment_room *room) {
  const int dtype = a->y->dtype;
  for (int i = 0; i < a->n_stages; i++) {
    const fnn_augment_stage *s = &a->stage[i];
    const int row = s->kind == AUGMENT_CROP ? s->scale : s->kind == AUGMENT_SCALE ? s->first : -1;
    const double *at = row < 0 ? NULL : a->values + (int64_t)fnn_augment_row(a, row)[ROW_FIRST];
    const double unit = i == 0 && a->x->dtype == FNN_U8 ? 1 / 255.0 : 1;
    char *scale = room->patterns + i * 2 * a->period * fnn_itemsize(dtype);
    for (int64_t j = 0; j < a->period; j++) {
      const int64_t c = j % a->channels;
      double factor = at ? at[c] : 1, summand = at ? at[a->channels + c] : 0;
      if (s->kind == AUGMENT_TINT) /* what a colour counts in grey */
        factor = a->channels == 1 ? 1 : (const double[3]){0.299, 0.587, 0.114}[c];
      put_real(scale, j, factor * unit, dtype);
      put_real(scale, a->period + j, summand, dtype);
    }
  }
}

/* --- one image --- */

static void tint(const fnn_augment *a, const fnn_augment_stage *s, int64_t image,
                 const char *weights, char *y) {
  double factor[3], level = 0;
  for (int i = 0; i < 3; i++)
    factor[i] = fnn_augment_between(a, s->first, ROW_FIRST + 2 * i,
                                    fnn_augment_draw(a, image, s->first, i));
  const double brightness = factor[0], contrast = factor[1], saturation = factor[2];
  const int64_t row = s->width * a->channels, pixels = s->height * s->width;
  const fnn_augment_kernels *k = &a->kernels->augment;
  if (contrast != 1)
    for (int64_t i = 0; i < s->height; i++)
      level += k->weigh(row, a->period, y + i * row * fnn_itemsize(a->y->dtype), weights);
  k->tint(pixels, a->channels, y, brightness * contrast * saturation,
          brightness * contrast * (1 - saturation),
          (1 - contrast) * brightness * level / (double)pixels);
}

static void add_noise(const fnn_augment *a, const fnn_augment_stage *s, fnn_random_key key,
                      const fnn_augment_room *room, char *y) {
  const int64_t size = fnn_itemsize(a->y->dtype), n = s->height * s->width * a->channels;
  const int64_t most = NOISE_CHUNK;
  const double deviation = fnn_augment_row(a, s->first)[ROW_FIRST];
  for (int64_t i = 0; i < n; i += most) {
    const int64_t count = n - i < most ? n - i : most;
    a->kernels->random.normal(key, count, room->reals, 0, deviation);
    a->kernels->augment.mix(count, y + i * size, 1, room->reals, 1, y + i * size);
    key.block += (uint64_t)(most / FNN_RANDOM_GROUP(size)) * FNN_RANDOM_BLOCKS;
  }
}

static int64_t within(double number, int64_t low, int64_t high) {
  return number > (double)low ? number < (double)high ? (int64_t)number : high : low;
}

static void erase(const fnn_augment *a, const fnn_augment_stage *s, int64_t image,
                  fnn_random_key key, char *y) {
  const double *own = fnn_augment_row(a, s->first) + ROW_FIRST;
  double draw[5];
  for (int i = 0; i < 5; i++) draw[i] = fnn_augment_draw(a, image, s->first, i);
  if (!(draw[0] < own[0])) return;
  int64_t top, left, height, width;
  if (own[5] > 0) { /* a square around some pixel */
    height = width = within(own[5], 1, 1 << 20);
    top = within(floor(draw[3] * (double)s->height), 0, s->height - 1) - height / 2;
    left = within(floor(draw[4] * (double)s->width), 0, s->width - 1) - width / 2;
  } else {
    const double area = fnn_augment_between(a, s->first, ROW_FIRST + 1, draw[1]);
    const double aspect = exp(fnn_augment_between(a, s->first, ROW_FIRST + 3, draw[2]));
    const double pixels = area * (double)(s->height * s->width);
    height = within(round(sqrt(pixels * aspect)), 1, s->height);
    width = within(round(sqrt(pixels / aspect)), 1, s->width);
    top = within(floor(draw[3] * (double)(s->height - height + 1)), 0, s->height - height);
    left = within(floor(draw[4] * (double)(s->width - width + 1)), 0, s->width - width);
  }
  const int64_t bottom = top + height < s->height ? top + height : s->height;
  const int64_t right = left + width < s->width ? left + width : s->width;
  top = top > 0 ? top : 0;
  left = left > 0 ? left : 0;
  const int64_t size = fnn_itemsize(a->y->dtype), n = (right - left) * a->channels;
  for (int64_t i = top; i < bottom; i++) {
    char *to = y + (i * s->width + left) * a->channels * size;
    if (own[6] < 0) {
      a->kernels->random.normal(key, n, to, 0, 1);
      key.block +=
          (uint64_t)((n + FNN_RANDOM_GROUP(8) - 1) / FNN_RANDOM_GROUP(8)) * FNN_RANDOM_BLOCKS;
      continue;
    }
    for (int64_t j = 0; j < n; j++)
      put_real(to, j, a->values[(int64_t)own[6] + j % a->channels], a->y->dtype);
  }
}

/* An image of the batch with its pixels one after another, and the elements from row to row. */
static const char *packed_image(const fnn_augment *a, int64_t image, const fnn_augment_room *room,
                                int64_t *row_stride) {
  const fnn_array *x = a->x;
  const int64_t size = fnn_itemsize(x->dtype), row = x->shape[2] * x->shape[3];
  const char *from = (const char *)x->data + image * x->stride[0] * size;
  *row_stride = room->packed ? row : x->stride[1];
  if (!room->packed) return from;
  char *to = room->packed;
  for (int64_t i = 0; i < x->shape[1]; i++)
    for (int64_t j = 0; j < x->shape[2]; j++) {
      const char *pixel = from + (i * x->stride[1] + j * x->stride[2]) * size;
      for (int64_t c = 0; c < x->shape[3]; c++, to += size, pixel += x->stride[3] * size)
        memcpy(to, pixel, (size_t)size);
    }
  return room->packed;
}

/* An image's whole way but for the mixing, to y. */
static void make_image(const fnn_augment *a, int64_t image, const fnn_augment_room *room, char *y) {
  int64_t row_stride, groups = 0, size = fnn_itemsize(a->y->dtype);
  const char *from = packed_image(a, image, room, &row_stride);
  int dtype = a->x->dtype, left = a->resamplings;
  char *at = NULL;
  for (int i = 0; i < a->n_stages; i++) {
    const fnn_augment_stage *s = &a->stage[i];
    const char *pattern = room->patterns + i * 2 * a->period * size;
    fnn_random_key key = {0, 0};
    if (s->noise) {
      const int64_t *pair = a->key->data;
      const uint64_t before = (uint64_t)(groups * a->images + s->noise * image);
      key = (fnn_random_key){(uint64_t)pair[0], (uint64_t)pair[1] + before * FNN_RANDOM_BLOCKS};
      groups += s->noise;
    }
    switch (s->kind) {
      case AUGMENT_CROP:
        at = --left ? room->between[(left + 1) & 1] : y;
        fnn_augment_place(a, i, image, room, dtype, from, row_stride, at);
        from = at;
        dtype = a->y->dtype;
        row_stride = s->width * a->channels;
        break;
      case AUGMENT_SCALE:
        a->kernels->augment.affine(s->height * s->width * a->channels, a->period, at, pattern,
                                   pattern + a->period * size, at);
        break;
      case AUGMENT_TINT:
        tint(a, s, image, pattern, at);
        break;
      case AUGMENT_NOISE:
        add_noise(a, s, key, room, at);
        break;
      default:
        erase(a, s, image, key, at);
    }
  }
}

/* --- the ops --- */

static const fnn_array ABSENT = {.ndim = -1};

static fnn_status read_labels(const fnn_call *call, fnn_augment *a, fnn_failure *why) {
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

static int64_t lot_of(int64_t images) {
  int64_t lot = (images + LOTS - 1) / LOTS;
  return lot > LOT ? lot : LOT;
}

fnn_status fnn_augment_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_augment a;
  if (call->op == FNN_OP_augment_labels) {
    fnn_status status = read_labels(call, &a, why);
    plan->may_fail = call->arrays[0].dtype == FNN_I64;
    return status;
  }
  fnn_status status = read_augment(call, &a, why);
  if (status) return status;
  fnn_augment_room room;
  const int64_t lot = lot_of(a.images);
  plan->tasks = a.images ? (a.images + lot - 1) / lot : 1;
  plan->workspace = plan->tasks * (int64_t)(intptr_t)lay_out(&a, NULL, &room);
  double pixel = 4;
  for (int i = 0; i < a.n_stages; i++) pixel += a.stage[i].turns ? 60 : a.stage[i].noise ? 60 : 10;
  plan->flops = pixel * (double)fnn_size(a.y);
  return FNN_OK;
}

/* augment: x (images, height, width, channels), any strides; y contiguous, apart from it, of the size that the
 * rows make; overwritten. */
static void run_augment(const fnn_augment *a, fnn_team *team) {
  const int64_t lot = lot_of(a->images), n = a->images;
  const int64_t bytes = a->height * a->width * a->channels * fnn_itemsize(a->y->dtype);
  fnn_augment_room room;
  const int64_t each = (int64_t)(intptr_t)lay_out(a, NULL, &room);
  fnn_range share = fnn_share((n + lot - 1) / lot, team);
  if (share.begin >= share.end) return; /* there is a room for each lot only */
  lay_out(a, team->workspace + team->id * each, &room);
  fill_patterns(a, &room);
  const int64_t begin = share.begin * lot, end = share.end * lot < n ? share.end * lot : n;
  char *y = (char *)a->y->data, *own = room.mixed[0], *before = room.mixed[1];
  if (own) make_image(a, (begin + n - 1) % n, &room, before);
  for (int64_t i = begin; i < end; i++) {
    if (!own) {
      make_image(a, i, &room, y + i * bytes);
      continue;
    }
    make_image(a, i, &room, own);
    const fnn_augment_mixing how = fnn_augment_mixing_of(a, i);
    fnn_augment_mix(a, &how, own, before, y + i * bytes);
    char *swap = own;
    own = before;
    before = swap;
  }
}

void fnn_augment_run(const fnn_call *call, fnn_team *team) {
  fnn_augment a;
  fnn_failure why;
  if (call->op == FNN_OP_augment_labels) {
    if (read_labels(call, &a, &why) == FNN_OK) fnn_augment_labels(call, &a, team);
  } else if (read_augment(call, &a, &why) == FNN_OK) {
    run_augment(&a, team);
  }
}
