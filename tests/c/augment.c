/* augment.c: images of any size, strides and number of channels, changed in any way that the library accepts:
 * the same bits with one thread and three, nothing outside of the arrays; crops and flips pixel by pixel. */
#include "harness.h"

#include "../../csrc/ops/augment.h"

/* Numbers that a row of a kind may have, with mixed ones last. */
static void sane_row(double *row, int kind, int64_t *height, int64_t *width, int64_t *draws) {
  static const int uses[AUGMENT_KINDS] = {2, 1, 6, 0, 3, 0, 5, 4, 4};
  memset(row, 0, AUGMENT_NUMBERS * sizeof *row);
  row[ROW_KIND] = kind;
  row[ROW_DRAWS] = (double)*draws;
  *draws += uses[kind];
  double *own = row + ROW_FIRST;
  row[ROW_OUTSIDE] = (double)below(FNN_OUTSIDES);
  row[ROW_FILL] = below(2) ? -1 : 0;
  row[ROW_APART] = (double)(below(3) == 0);
  switch (kind) {
    case AUGMENT_CROP:
      own[2] = (double)(below(7) - 4);
      own[3] = (double)(below(7) - 4);
      own[0] = (double)(*height = 1 + below(*height + 5));
      own[1] = (double)(*width = 1 + below(*width + 5));
      own[4] = (double)(1 + below(9));
      own[5] = (double)(1 + below(9));
      break;
    case AUGMENT_TURN:
      own[0] = -(own[1] = (double)below(200));
      own[2] = own[3] = between(0, 2);
      own[4] = own[5] = below(4) ? between(0.2, 3) : 1e-300;
      own[6] = own[8] = -60;
      own[7] = own[9] = 60;
      break;
    case AUGMENT_ERASE:
      own[0] = 0.7;
      own[2] = between(0, 3);
      own[3] = -2;
      own[4] = 2;
      own[5] = (double)(below(2) * below(12));
      own[6] = below(2) ? -1 : 0;
      break;
    case AUGMENT_MIXUP:
    case AUGMENT_CUTMIX:
      own[0] = 0.6;
      own[2] = 4;
      break;
    default: /* a flip's axis and probability; a deviation; factors */
      own[0] = kind == AUGMENT_FLIP ? (double)below(2) : 0;
      own[1] = between(0, 1);
      own[3] = own[5] = 1.5;
  }
}

typedef struct {
  block x, draws, key, rows, values, y;
  launch l;
} changed;

static changed images_of(int dtype, int loose, int64_t n, int64_t height, int64_t width,
                         int64_t channels, int count, int may_mix) {
  changed c;
  const int source = below(2) ? FNN_U8 : dtype;
  c.x = make(source, 4, (const int64_t[]){n, height, width, channels}, loose);
  c.rows = make(FNN_F64, 2, (const int64_t[]){count, AUGMENT_NUMBERS}, 0);
  int64_t draws = 0;
  for (int i = 0; i < count; i++) {
    int kind = (int)below(AUGMENT_MIXUP);
    if (may_mix && i == count - 1) kind = AUGMENT_MIXUP + (int)below(2);
    if (kind == AUGMENT_TINT && channels != 1 && channels != 3) kind = AUGMENT_FLIP;
    sane_row((double *)c.rows.a.data + i * AUGMENT_NUMBERS, kind, &height, &width, &draws);
  }
  c.draws = make(FNN_F64, 2, (const int64_t[]){n, draws}, 0);
  c.key = make1(FNN_I64, 2, 0);
  c.values = make1(FNN_F64, 2 * channels + 4, 0);
  c.y = make(dtype, 4, (const int64_t[]){n, height, width, channels}, 0);
  fill(&c.x, 0, source == FNN_U8 ? 255.99 : 1);
  fill(&c.draws, 0, 1);
  fill(&c.key, 0, 1000);
  fill(&c.values, 0, 1);
  c.l = of(FNN_OP_augment);
  give(&c.l, &c.x);
  give(&c.l, &c.draws);
  give(&c.l, &c.key);
  give(&c.l, &c.rows);
  give(&c.l, &c.values);
  give(&c.l, &c.y);
  return c;
}

static void drop_all(changed *c) {
  drop(&c->x), drop(&c->draws), drop(&c->key), drop(&c->rows), drop(&c->values), drop(&c->y);
}

static int64_t some(int64_t most) { return 1 + below(most > 4 && below(3) == 0 ? 4 : most); }

static void all_kinds(int dtype) {
  for (int repeat = 0; repeat < 20; repeat++) {
    changed c = images_of(dtype, below(2) > 0, length(60), some(40), some(40), some(6),
                          (int)below(6), below(2) > 0);
    run(&c.l, &c.y);
    for (int64_t i = 0; i < count(&c.y.a); i++) CHECK(isfinite(get(&c.y.a, i)));
    drop_all(&c);
  }
}

/* A crop and flips, without anything outside: each pixel is one of x. */
static void copies(int dtype) {
  const int64_t n = some(20), height = some(30), width = some(70), channels = some(5);
  changed c = images_of(dtype, below(2) > 0, n, height, width, channels, 0, 0);
  const int64_t tall = some(height), wide = some(width), top = below(height - tall + 1);
  const int64_t left = below(width - wide + 1);
  const int back = (int)below(2), over = (int)below(2);
  drop(&c.rows), drop(&c.draws), drop(&c.y);
  c.rows = make(FNN_F64, 2, (const int64_t[]){3, AUGMENT_NUMBERS}, 0);
  const double crop[] = {
      AUGMENT_CROP, 0, (double)tall, (double)wide, (double)top, (double)left, 1, 1};
  const double flips[2][4] = {{AUGMENT_FLIP, 0, 0, back}, {AUGMENT_FLIP, 0, 1, over}};
  fill(&c.rows, 0, 0);
  memcpy(c.rows.a.data, crop, sizeof crop);
  for (int i = 0; i < 2; i++)
    memcpy((double *)c.rows.a.data + (i + 1) * AUGMENT_NUMBERS, flips[i], sizeof flips[i]);
  c.draws = make(FNN_F64, 2, (const int64_t[]){n, 1}, 0);
  fill(&c.draws, 0, 1);
  c.y = make(dtype, 4, (const int64_t[]){n, tall, wide, channels}, 0);
  c.l.call.arrays[1] = c.draws.a;
  c.l.call.arrays[3] = c.rows.a;
  c.l.call.arrays[5] = c.y.a;
  run(&c.l, &c.y);
  const double unit = c.x.a.dtype == FNN_U8 ? 1 / 255.0 : 1;
  for (int64_t i = 0; i < count(&c.y.a); i++) {
    int64_t k = i % channels, w = i / channels % wide, h = i / channels / wide % tall;
    w = left + (back ? wide - 1 - w : w);
    h = top + (over ? tall - 1 - h : h);
    int64_t from = ((i / channels / wide / tall * height + h) * width + w) * channels + k;
    near(&c.y.a, i, get(&c.x.a, from) * unit, 1, 2);
  }
  drop_all(&c);
}

/* Rows of anything: refused, or done within the arrays. */
static void anything(int dtype) {
  static const double odd[] = {0, 1, 2, 3, 5, 8, -1, 0.5, -0.5, 1e6, -1e9, 1e30, INFINITY, NAN};
  for (int repeat = 0; repeat < 200; repeat++) {
    changed c = images_of(dtype, 0, some(12), some(9), some(9), some(4), 1 + (int)below(3), 0);
    double *rows = c.rows.a.data;
    for (int64_t i = below(4); i > 0; i--)
      rows[below(c.rows.a.shape[0] * AUGMENT_NUMBERS)] =
          odd[below((int64_t)(sizeof odd / sizeof *odd))];
    fnn_failure why;
    if (fnn_launch(&c.l.call, &why) == FNN_OK) run(&c.l, &c.y);
    drop_all(&c);
  }
}

static void labels(int dtype) {
  const int64_t n = some(50), classes = some(9);
  block which = make1(FNN_I64, n, 1), draws = make(FNN_F64, 2, (const int64_t[]){n, 4}, 0);
  block rows = make(FNN_F64, 2, (const int64_t[]){1, AUGMENT_NUMBERS}, 0),
        values = make1(FNN_F64, 5, 0);
  block y = make(dtype, 2, (const int64_t[]){n, classes}, 0);
  int64_t side = 8, used = 0;
  sane_row(rows.a.data, AUGMENT_MIXUP + (int)below(2), &side, &side, &used);
  for (int64_t i = 0; i < n; i++) set(&which.a, i, (double)below(classes));
  fill(&draws, 0, 1);
  fill(&values, 0, 1);
  launch l = of(FNN_OP_augment_labels);
  give(&l, &which);
  give(&l, &draws);
  give(&l, &rows);
  give(&l, &values);
  give(&l, &y);
  real(&l, 0.1);
  integer(&l, 8);
  integer(&l, 8);
  run(&l, &y);
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
    for (int64_t c = 0; c < classes; c++) sum += get(&y.a, i * classes + c);
    CHECK(fabs(sum - 1) < 1e-5);
  }
  fnn_failure why;
  set(&which.a, below(n), (double)classes);
  CHECK(fnn_launch(&l.call, &why) == FNN_ERR_INDEX);
  drop(&which), drop(&draws), drop(&rows), drop(&values), drop(&y);
}

int main(int argc, char **argv) {
  static const family_test families[] = {all_kinds, copies, anything, labels};
  return run_families(families, sizeof families / sizeof families[0], argc, argv);
}
