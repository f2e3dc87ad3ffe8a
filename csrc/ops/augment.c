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
  room->fill = next(&at, width * channels * size);
  room->reals =
      next(&at, (width * channels > NOISE_CHUNK ? width * channels : NOISE_CHUNK) * size + 64);
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

static int64_t lot_of(int64_t images) {
  int64_t lot = (images + LOTS - 1) / LOTS;
  return lot > LOT ? lot : LOT;
}

fnn_status fnn_augment_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  fnn_augment a;
  if (call->op == FNN_OP_augment_labels) {
    fnn_status status = fnn_augment_read_labels(call, &a, why);
    plan->may_fail = call->arrays[0].dtype == FNN_I64;
    return status;
  }
  fnn_status status = fnn_augment_read(call, &a, why);
  if (status) return status;
  fnn_augment_room room;
  const int64_t lot = lot_of(a.images);
  plan->tasks = a.images ? (a.images + lot - 1) / lot : 1;
  plan->workspace = plan->tasks * (int64_t)(intptr_t)lay_out(&a, NULL, &room);
  /* In hundredths of a nanosecond an element, as measured on a Zen 5. */
  double time = 20;
  for (int i = 0; i < a.n_stages; i++) time += a.stage[i].turns ? 100 : a.stage[i].noise ? 60 : 20;
  plan->flops = time * (double)fnn_size(a.y);
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
    if (fnn_augment_read_labels(call, &a, &why) == FNN_OK) fnn_augment_labels(call, &a, team);
  } else if (fnn_augment_read(call, &a, &why) == FNN_OK) {
    run_augment(&a, team);
  }
}
