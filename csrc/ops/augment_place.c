/* augment_place.c: crops, flips, turns: where the pixels of an image come from.
 *
 * Rows one after another are one map from a place in the output to one in the input, so that an image is
 * resampled once. Where the map takes pixels to pixels, rows are copied (from the last pixel to the first for
 * a flip) and become reals on their way to y; else each pixel is weighed of the four around its place. */
#include <math.h>
#include <string.h>

#include "augment.h"

/* Pixel (x, y) of the output is at (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]) of the input. */
typedef struct {
  double m[6];
} map;

/* The map of a, after that of b: b's rows come later, so that b says where in a's output a pixel is. */
static map after(const map *a, const map *b) {
  const double *p = a->m, *q = b->m;
  return (map){{p[0] * q[0] + p[1] * q[3], p[0] * q[1] + p[1] * q[4],
                p[0] * q[2] + p[1] * q[5] + p[2], p[3] * q[0] + p[4] * q[3],
                p[3] * q[1] + p[4] * q[4], p[3] * q[2] + p[4] * q[5] + p[5]}};
}

/* A turn's map: the inverse of moving, turning (clockwise), stretching and shearing about the middle. */
static map turn_of(const fnn_augment *a, int64_t image, int row, int64_t height, int64_t width) {
  const double radian = 3.14159265358979323846 / 180, *own = fnn_augment_row(a, row) + ROW_FIRST;
  double draw[6];
  for (int i = 0; i < 6; i++) draw[i] = fnn_augment_draw(a, image, row, i);
  const double angle = fnn_augment_between(a, row, ROW_FIRST, draw[0]) * radian;
  const double right = (2 * draw[1] - 1) * own[2] * (double)width;
  const double down = (2 * draw[2] - 1) * own[3] * (double)height;
  const double scale = fnn_augment_between(a, row, ROW_FIRST + 4, draw[3]);
  const double shear = fnn_augment_between(a, row, ROW_FIRST + 6, draw[4]) * radian;
  const double slope = fnn_augment_between(a, row, ROW_FIRST + 8, draw[5]) * radian;
  /* The forward matrix is scale [p q; r s] with p s - q r = 1. */
  const double p = cos(angle - slope) / cos(slope), r = sin(angle - slope) / cos(slope);
  const double q = -p * tan(shear) - sin(angle), s = -r * tan(shear) + cos(angle);
  const double x = (double)(width - 1) / 2, y = (double)(height - 1) / 2;
  map found = {{s / scale, -q / scale, 0, -r / scale, p / scale, 0}};
  double *m = found.m;
  m[2] = x - m[0] * (x + right) - m[1] * (y + down);
  m[5] = y - m[3] * (x + right) - m[4] * (y + down);
  return found;
}

static map map_of(const fnn_augment *a, const fnn_augment_stage *s, int64_t image) {
  map all = {{1, 0, 0, 0, 1, 0}};
  int64_t height = s->in_height, width = s->in_width;
  for (int row = s->first; row < s->end; row++) {
    const double *r = fnn_augment_row(a, row), *own = r + ROW_FIRST;
    map one = {{1, 0, 0, 0, 1, 0}};
    if (r[ROW_KIND] == AUGMENT_CROP) {
      one.m[2] = own[3];
      one.m[5] = own[2];
      if (own[4] != 1 || own[5] != 1) {
        one.m[2] += floor(fnn_augment_draw(a, image, row, 1) * own[5]);
        one.m[5] += floor(fnn_augment_draw(a, image, row, 0) * own[4]);
      }
      height = (int64_t)own[0];
      width = (int64_t)own[1];
    } else if (r[ROW_KIND] == AUGMENT_TURN) {
      one = turn_of(a, image, row, height, width);
    } else if (fnn_augment_draw(a, image, row, 0) < own[1]) {
      const int axis = own[0] != 0; /* 1 is up and down */
      one.m[axis ? 4 : 0] = -1;
      one.m[axis ? 5 : 2] = (double)((axis ? height : width) - 1);
    }
    all = after(&all, &one);
  }
  return all;
}

/* Whether pixels come from pixels, unturned. */
static int is_whole_map(const map *p) {
  const double *m = p->m;
  return fabs(m[0]) == 1 && m[1] == 0 && m[3] == 0 && fabs(m[4]) == 1 && m[2] == floor(m[2]) &&
         m[5] == floor(m[5]) && fabs(m[2]) < 0x1p30 && fabs(m[5]) < 0x1p30;
}

/* The pixel among n that is seen at a place; -1 for the fill. */
static int64_t pixel_at(int64_t place, int64_t n, fnn_outside outside) {
  if (place >= 0 && place < n) return place;
  if (outside == FNN_OUTSIDE_FILL) return -1;
  if (outside == FNN_OUTSIDE_EDGE || n == 1) return place < 0 ? 0 : n - 1;
  const int64_t round = 2 * (n - 1), rest = ((place % round) + round) % round;
  return rest < n ? rest : round - rest;
}

/* --- a source: an image as the stage finds it --- */

typedef struct {
  const fnn_augment *a;
  const fnn_augment_stage *s;
  const fnn_augment_room *room;
  const char *x, *scale, *shift;
  int dtype;
  int64_t row_bytes, pixel; /* bytes */
  int plain;                /* reals that stay as they are */
} source;

/* n pixels of the source's type as reals. */
static void convert(const source *from, int64_t n, const char *x, char *y) {
  const fnn_augment *a = from->a;
  const fnn_augment_kernels *k = &a->kernels->augment;
  n *= a->channels;
  if (from->plain)
    memcpy(y, x, (size_t)(n * fnn_itemsize(from->dtype)));
  else if (from->dtype == FNN_U8)
    k->from_bytes(n, a->period, (const uint8_t *)x, from->scale, from->shift, y);
  else
    k->affine(n, a->period, x, from->scale, from->shift, y);
}

/* The fill as a pixel of the source's type. */
static void put_fill(const source *from, char *to) {
  const fnn_augment *a = from->a;
  for (int64_t c = 0; c < a->channels; c++) {
    const double value = from->s->fill < 0 ? 0 : a->values[from->s->fill + c];
    if (from->dtype == FNN_U8)
      ((uint8_t *)to)[c] = (uint8_t)(value > 0 ? value < 255 ? value + 0.5 : 255 : 0);
    else if (from->dtype == FNN_F32)
      ((float *)(void *)to)[c] = (float)value;
    else
      ((double *)(void *)to)[c] = value;
  }
}

/* Pixels begin to end of a line, each from its own column; those without one are the fill. */
static void copy_pixels(const source *from, const char *row, int64_t begin, int64_t end,
                        char *line) {
  const int32_t *columns = from->room->columns;
  const int64_t pixel = from->pixel;
  if (end > begin && columns[begin] < 0) {
    memcpy(line + begin * pixel, from->room->fill, (size_t)((end - begin) * pixel));
    return;
  }
  for (int64_t i = begin; i < end; i++)
    for (int64_t b = 0; b < pixel; b++) line[i * pixel + b] = row[columns[i] * pixel + b];
}

static void mirror_pixels(const source *from, int64_t n, const char *row, char *line) {
  from->a->kernels->augment.mirror(n, from->pixel, (const uint8_t *)row, (uint8_t *)line);
}

/* Rows that are copied. Columns begin to end lie within the image, one after another. */
static void copy_rows(const source *from, const map *p, char *y) {
  const fnn_augment_stage *s = from->s;
  int32_t *columns = from->room->columns;
  char *line = from->room->line;
  const int64_t row_bytes = s->width * from->a->channels * fnn_itemsize(from->a->y->dtype);
  const int back = p->m[0] < 0;
  const int same = !back && p->m[2] == 0 && p->m[4] > 0 && p->m[5] == 0;
  if (same && s->height <= s->in_height && s->width == s->in_width &&
      from->row_bytes == s->width * from->pixel) {
    convert(from, s->height * s->width, from->x, y);
    return;
  }
  const int64_t shift = (int64_t)p->m[2];
  int64_t begin = back ? shift - s->in_width + 1 : -shift,
          end = back ? shift + 1 : s->in_width - shift;
  begin = begin < 0 ? 0 : begin < s->width ? begin : s->width;
  end = end > s->width ? s->width : end > begin ? end : begin;
  for (int64_t i = 0; i < s->width; i++)
    columns[i] = (int32_t)pixel_at(shift + (back ? -i : i), s->in_width, s->outside);
  if (s->outside == FNN_OUTSIDE_FILL)
    for (int64_t i = 0; i < s->width; i++) put_fill(from, from->room->fill + i * from->pixel);
  for (int64_t i = 0; i < s->height; i++, y += row_bytes) {
    const int64_t place = (int64_t)p->m[5] + (p->m[4] < 0 ? -i : i);
    const int64_t at = pixel_at(place, s->in_height, s->outside);
    const char *row = from->x + at * from->row_bytes;
    if (at < 0) {
      convert(from, s->width, from->room->fill, y);
      continue;
    } else if (!back && begin == 0 && end == s->width) {
      convert(from, s->width, row + shift * from->pixel, y);
      continue;
    } else {
      const int64_t n = end - begin;
      if (n > 0 && back)
        mirror_pixels(from, n, row + columns[end - 1] * from->pixel, line + begin * from->pixel);
      else if (n > 0)
        memcpy(line + begin * from->pixel, row + columns[begin] * from->pixel,
               (size_t)(n * from->pixel));
      copy_pixels(from, row, 0, begin, line);
      copy_pixels(from, row, end, s->width, line);
    }
    convert(from, s->width, line, y);
  }
}

/* A row of the plane: what lies outside, the pixels, what lies outside again. */
static void plane_row(const source *from, const char *row, const char *fill, int64_t channels,
                      char *to) {
  const int64_t size = fnn_itemsize(from->a->y->dtype), wanted = from->a->channels,
                n = from->s->in_width;
  const int64_t step = channels * size;
  char *reals = channels == wanted ? to + step : from->room->reals;
  convert(from, n, row, reals);
  if (channels != wanted) from->a->kernels->augment.widen(n, reals, to + step);
  const char *left = fill ? fill : to + step, *right = fill ? fill : to + n * step;
  memcpy(to, left, (size_t)step);
  memcpy(to + (n + 1) * step, right, (size_t)step);
}

/* Rows of a picture that is turned. */
static void resample_rows(const source *from, const map *p, char *y) {
  const fnn_augment *a = from->a;
  const fnn_augment_stage *s = from->s;
  const int64_t size = fnn_itemsize(a->y->dtype);
  const int64_t channels = a->channels == 3 ? 4 : a->channels,
                row = (s->in_width + 2) * channels * size;
  char *plane = from->room->plane, *fill = NULL;
  if (s->outside == FNN_OUTSIDE_FILL) { /* the row above is all fill, and so is the one below */
    fill = plane;
    memset(fill, 0, (size_t)(channels * size));
    put_fill(from, from->room->line);
    convert(from, 1, from->room->line, fill);
    for (int64_t i = 1; i < s->in_width + 2; i++)
      memcpy(plane + i * channels * size, fill, (size_t)(channels * size));
    memcpy(plane + (s->in_height + 1) * row, plane, (size_t)row);
  }
  for (int64_t i = 0; i < s->in_height; i++)
    plane_row(from, from->x + i * from->row_bytes, fill, channels, plane + (i + 1) * row);
  if (!fill) {
    memcpy(plane, plane + row, (size_t)row);
    memcpy(plane + (s->in_height + 1) * row, plane + s->in_height * row, (size_t)row);
  }
  const fnn_plane picture = {plane, s->in_height, s->in_width, channels, a->channels, s->outside};
  for (int64_t i = 0; i < s->height; i++, y += s->width * a->channels * size) {
    const double m[4] = {p->m[0], p->m[1] * (double)i + p->m[2], p->m[3],
                         p->m[4] * (double)i + p->m[5]};
    a->kernels->augment.resample(s->width, &picture, m, y);
  }
}

void fnn_augment_place(const fnn_augment *a, int stage, int64_t image, const fnn_augment_room *room,
                       int dtype, const char *x, int64_t row_stride, char *y) {
  const fnn_augment_stage *s = &a->stage[stage];
  const int64_t size = fnn_itemsize(a->y->dtype);
  const char *patterns = room->patterns + (int64_t)stage * 2 * a->period * size;
  const source from = {.a = a,
                       .s = s,
                       .room = room,
                       .x = x,
                       .scale = patterns,
                       .shift = patterns + a->period * size,
                       .dtype = dtype,
                       .row_bytes = row_stride * fnn_itemsize(dtype),
                       .pixel = a->channels * fnn_itemsize(dtype),
                       .plain = dtype != FNN_U8 && s->scale < 0};
  const map p = map_of(a, s, image);
  if (is_whole_map(&p))
    copy_rows(&from, &p, y);
  else
    resample_rows(&from, &p, y);
}
