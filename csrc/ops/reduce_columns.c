/* reduce_columns.c: reductions whose innermost axis is kept; see reduce.c. A task is a block of rows by a strip
 * of columns. Rows of few columns that touch are taken together, r->fold of them as one, which fills vectors;
 * the columns of such a row are joined at the end of the block. */
#include <string.h>

#include "reduction.h"

#define STRIP FNN_REDUCTION_STRIP
#define GATHERED \
  (FNN_REDUCE_ROWS * FNN_REDUCTION_STRIP_GATHER) /* elements that are copied together */

typedef struct {
  int64_t output, block;   /* which */
  int64_t m, begin, width; /* rows; the first column and how many */
} tile;

static tile tile_of(const fnn_reduction *r, int64_t t) {
  tile b;
  b.begin = t % r->strips * r->strip, t /= r->strips;
  b.block = t % r->blocks, b.output = t / r->blocks;
  b.m = r->count - b.block * r->per_block;
  if (b.m > r->per_block) b.m = r->per_block;
  b.width = r->inner - b.begin < r->strip ? r->inner - b.begin : r->strip;
  return b;
}

/* Kinds whose state is one real number: blocks' states stay of the real type, side by side as the columns
 * are, and kernels fold them too. */
static int plain(const fnn_reduction *r) {
  return r->work != FNN_I64 && fnn_reduction_numbers(r->kind) == 1;
}

/* The kernel may write straight into y. */
static int direct(const fnn_reduction *r) { return r->inner_y == 1 && r->out.dtype == r->work; }

/* What joins states of the kind. */
static int merge_of(int kind) { return kind == FNN_REDUCE_SUMSQ ? FNN_REDUCE_SUM : kind; }

/* --- the rows of a tile --- */
#define GATHER(type)                                                      \
  for (int64_t j = 0; j < b->width; j++) {                                \
    const type *from = (const type *)rows[0] + j * columns;               \
    type *to = (type *)buffer + j;                                        \
    for (int64_t i = 0; i < b->m; i++) to[i * r->strip] = from[i * step]; \
  }

/* The tile's columns, each contiguous or not, copied side by side to the buffer; so the rows. */
static void gather(const fnn_reduction *r, const tile *b, const void **rows, void *buffer) {
  int64_t step = r->reduced.stride[0], columns = r->inner_x, size = fnn_itemsize(r->read);
  if (size > 1 && step == 1)
    fnn_kernels_of(size == 4 ? FNN_F32 : FNN_F64)
        ->move.transpose(b->width, b->m, rows[0], columns, buffer, r->strip);
  else if (size == 1)
    GATHER(uint8_t)
  else if (size == 4)
    GATHER(uint32_t)
  else
    GATHER(uint64_t)
  for (int64_t i = 0; i < b->m; i++) rows[i] = (char *)buffer + i * r->strip * size;
}

/* Where the tile begins. */
static const char *corner(const fnn_reduction *r, const tile *b) {
  return (const char *)r->reduced.data +
         (fnn_offset(&r->kept, b->output) + b->begin * r->inner_x) * fnn_itemsize(r->reduced.dtype);
}

/* Where each row of the tile begins; rows that are not contiguous, or not of the type that is read, are copied
 * to the buffer first. */
static void tile_rows(const fnn_reduction *r, const tile *b, const void **rows, int64_t *buffer) {
  int64_t size = fnn_itemsize(r->reduced.dtype), first = b->block * r->per_block;
  const char *x = corner(r, b);
  if (r->reduced.ndim <= 1) {
    int64_t step = r->reduced.ndim ? r->reduced.stride[0] : 0;
    for (int64_t i = 0; i < b->m; i++) rows[i] = x + (first + i) * step * size;
  } else {
    for (int64_t i = 0; i < b->m; i++) rows[i] = x + fnn_offset(&r->reduced, first + i) * size;
  }
  if (r->strip == STRIP) return;
  if (r->read == r->reduced.dtype && r->reduced.ndim == 1) {
    gather(r, b, rows, buffer);
    return;
  }
  fnn_array line = {
      .ndim = 1, .dtype = r->reduced.dtype, .shape = {b->width}, .stride = {r->inner_x}};
  const int same = r->read == r->reduced.dtype;
  for (int64_t i = 0; i < b->m; i++) {
    int64_t copy[FNN_REDUCTION_STRIP_SHORT], *to = buffer + i * r->strip;
    line.data = (void *)rows[i];
    rows[i] =
        fnn_reduction_as_read(r, b->width, fnn_read(&line, 0, b->width, same ? to : copy), to);
  }
}

/* --- rows that touch, taken together --- */
typedef struct {
  const char *x;      /* rows of `wide` numbers one after another, */
  int64_t rows, wide; /* so many */
  int64_t left;       /* and the numbers of one that is not whole */
} folded;

static folded fold(const fnn_reduction *r, const tile *b) {
  int64_t first = b->block * r->per_block * r->inner;
  return (folded){.x = corner(r, b) + first * fnn_itemsize(r->work),
                  .rows = b->m / r->fold,
                  .wide = r->fold * r->inner,
                  .left = b->m % r->fold * r->inner};
}

/* s[inner] = n numbers, `inner` of each row that was folded, joined by a kind. */
static void unfold(const fnn_reduction *r, int kind, int64_t n, const void *wide, void *s) {
  const void *rows[FNN_REDUCE_ROWS];
  for (int64_t i = 0; i * r->inner < n; i++)
    rows[i] = (const char *)wide + i * r->inner * fnn_itemsize(r->work);
  fnn_kernels_of(r->work)->reduce.cols[kind](n / r->inner, r->inner, rows, s, NULL);
}

static void folded_tile(const fnn_reduction *r, int kind, const folded *f, void *s) {
  const fnn_reduce_kernels *k = &fnn_kernels_of(r->work)->reduce;
  const int64_t step = f->wide * fnn_itemsize(r->work);
  int64_t state[FNN_REDUCTION_FOLDED], more[FNN_REDUCTION_FOLDED];
  const void *rows[FNN_REDUCE_ROWS], *rest = f->x + f->rows * step, *both[2] = {state, more};
  for (int64_t i = 0; i < f->rows; i++) rows[i] = f->x + i * step;
  if (f->rows) k->cols[kind](f->rows, f->wide, rows, state, NULL);
  if (f->left) k->cols[kind](1, f->left, &rest, f->rows ? more : state, NULL);
  if (f->rows && f->left) k->cols[merge_of(kind)](2, f->left, both, state, NULL);
  unfold(r, merge_of(kind), f->rows ? f->wide : f->left, state, s);
}

/* The means and the squares around them, by sums of what is left after the rounded mean is taken away (Chan, Golub
 * and LeVeque 1983, the corrected two-pass algorithm). */
static void folded_moments(const fnn_reduction *r, const folded *f, int64_t m, fnn_scalar *states) {
  const fnn_kernels *k = fnn_kernels_of(r->work);
  const int64_t size = fnn_itemsize(r->work);
  double shift[FNN_CHANNELS_WIDE] = {0}, wide[2][FNN_CHANNELS_WIDE] = {{0}};
  double sum[FNN_REDUCTION_FOLDED], square[FNN_REDUCTION_FOLDED];
  fnn_array means = {.data = shift, .dtype = r->work}, sums = {.data = sum, .dtype = r->work};
  fnn_array squares = {.data = square, .dtype = r->work};
  folded_tile(r, FNN_REDUCE_SUM, f, shift);
  for (int64_t j = 0; j < r->inner; j++)
    fnn_real_put(&means, j, fnn_real_at(&means, j) / (double)m);
  for (int64_t i = 1; i < r->fold; i++)
    memcpy((char *)shift + i * r->inner * size, shift, (size_t)(r->inner * size));
  if (f->rows) k->channels.moments(f->rows, f->wide, f->wide, f->x, shift, wide[0], wide[1]);
  if (f->left)
    k->channels.moments(1, f->left, 0, f->x + f->rows * f->wide * size, shift, wide[0], wide[1]);
  unfold(r, FNN_REDUCE_SUM, f->wide, wide[0], sum);
  unfold(r, FNN_REDUCE_SUM, f->wide, wide[1], square);
  for (int64_t j = 0; j < r->inner; j++) {
    double d = fnn_real_at(&sums, j), around = fnn_real_at(&squares, j) - d * d / (double)m;
    states[2 * j].f = fnn_real_at(&means, j) + d / (double)m;
    states[2 * j + 1].f = around < 0 ? 0 : around;
  }
}

/* --- tiles --- */

/* The tile's states, `step` numbers apart. */
static void tile_states(const fnn_reduction *r, const tile *b, const void *const *rows,
                        fnn_scalar *states, int64_t step) {
  int64_t s0[STRIP], s1[STRIP], first = b->block * r->per_block;
  if (r->work == FNN_I64) {
    fnn_kernels_of(FNN_F32)->integer->cols[r->read - FNN_I64][r->kind](b->m, b->width, rows, s0,
                                                                       s1);
    for (int64_t j = 0; j < b->width; j++) {
      states[j * step].i = s0[j];
      if (fnn_reduction_is_arg(r->kind)) states[j * step + 1].i = s1[j] + first;
    }
    return;
  }
  int single = r->work == FNN_F32, single0 = single && r->kind != FNN_REDUCE_MOMENTS;
  fnn_kernels_of(r->work)->reduce.cols[r->kind](b->m, b->width, rows, s0, s1);
  for (int64_t j = 0; j < b->width; j++) {
    states[j * step].f = single0 ? (double)((float *)s0)[j] : ((double *)s0)[j];
    if (fnn_reduction_is_arg(r->kind))
      states[j * step + 1].i = first + (single ? ((int32_t *)s1)[j] : s1[j]);
    else if (step == 2)
      states[j * step + 1].f = single ? (double)((float *)s1)[j] : ((double *)s1)[j];
  }
}

/* The tile's columns reduced: of a plain kind to the real numbers s[width], else to states. */
static void reduce_tile(const fnn_reduction *r, const tile *b, int64_t *buffer, void *s) {
  const void *rows[FNN_REDUCE_ROWS];
  if (r->fold > 1) {
    folded f = fold(r, b);
    if (plain(r))
      folded_tile(r, r->kind, &f, s);
    else
      folded_moments(r, &f, b->m, s);
    return;
  }
  tile_rows(r, b, rows, buffer);
  if (plain(r))
    fnn_kernels_of(r->work)->reduce.cols[r->kind](b->m, b->width, rows, s, NULL);
  else
    tile_states(r, b, rows, s, fnn_reduction_numbers(r->kind));
}

/* y = s[n], states of a plain kind, from element `at` on; where s is y's memory, only what is left to do. */
static void finish_plain(const fnn_reduction *r, int64_t n, void *s, int64_t at) {
  fnn_array all = {.data = s, .dtype = r->work};
  if (!direct(r)) {
    for (int64_t j = 0; j < n; j++) {
      fnn_state one = {{.f = fnn_real_at(&all, j)}, {0}};
      fnn_reduction_finish(r, one, at + j * r->inner_y);
    }
  } else if (r->op == FNN_OP_mean) {
    double count;
    const void *in[] = {s, &count};
    const int64_t step[] = {1, 0};
    fnn_real_put(&(fnn_array){.data = &count, .dtype = r->work}, 0, (double)r->count);
    fnn_kernels_of(r->work)->map[FNN_OP_div](n, in, step, s, NULL);
  }
}

/* Where the states of a plain kind go that are element `at` of y and those after it. */
static void *room(const fnn_reduction *r, int64_t at, void *otherwise) {
  return direct(r) ? (char *)r->out.data + at * fnn_itemsize(r->work) : otherwise;
}

/* y = the blocks' states of every column, folded, FNN_REDUCE_ROWS of them at a time; in place. */
static void join_plain(const fnn_reduction *r, fnn_team *team) {
  const fnn_reduce_kernels *k = &fnn_kernels_of(r->work)->reduce;
  int64_t size = fnn_itemsize(r->work), strips = (r->inner + STRIP - 1) / STRIP;
  fnn_range mine = fnn_share(r->outputs / r->inner * strips, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t begin = t % strips * STRIP, output = t / strips, step = r->inner * size;
    int64_t n = r->inner - begin < STRIP ? r->inner - begin : STRIP;
    int64_t at = fnn_offset(&r->out, output) + begin * r->inner_y, last[STRIP];
    char *states = team->workspace + (output * r->blocks * r->inner + begin) * size;
    void *y = room(r, at, last);
    for (int64_t count = r->blocks; count > 1; step *= FNN_REDUCE_ROWS) {
      int64_t groups = (count + FNN_REDUCE_ROWS - 1) / FNN_REDUCE_ROWS;
      for (int64_t g = 0; g < groups; g++) {
        const void *rows[FNN_REDUCE_ROWS];
        int64_t m = count - g * FNN_REDUCE_ROWS < FNN_REDUCE_ROWS ? count - g * FNN_REDUCE_ROWS
                                                                  : FNN_REDUCE_ROWS;
        char *first = states + g * FNN_REDUCE_ROWS * step;
        for (int64_t i = 0; i < m; i++) rows[i] = first + i * step;
        k->cols[merge_of(r->kind)](m, n, rows, groups == 1 ? y : first, NULL);
      }
      count = groups;
    }
    finish_plain(r, n, y, at);
  }
}

static void join_states(const fnn_reduction *r, fnn_team *team) {
  const fnn_scalar *all = (const fnn_scalar *)team->workspace;
  const int64_t numbers = fnn_reduction_numbers(r->kind);
  fnn_range mine = fnn_share(r->outputs, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t k = i / r->inner, j = i % r->inner;
    fnn_state s;
    fnn_reduction_fold(r, all + (k * r->blocks * r->inner + j) * numbers, r->inner * numbers, 0,
                       r->blocks, s);
    fnn_reduction_finish(r, s, fnn_offset(&r->out, k) + j * r->inner_y);
  }
}

void fnn_reduction_columns(const fnn_reduction *r, fnn_team *team) {
  const int numbers = fnn_reduction_numbers(r->kind);
  const int64_t bytes = plain(r) ? fnn_itemsize(r->work) : numbers * (int64_t)sizeof(fnn_scalar);
  int64_t buffer[GATHERED];
  fnn_scalar strip[2 * STRIP];
  fnn_range mine = fnn_share(r->outputs / r->inner * r->blocks * r->strips, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    tile b = tile_of(r, t);
    int64_t y = fnn_offset(&r->out, b.output) + b.begin * r->inner_y;
    if (r->blocks > 1) {
      int64_t place = (b.output * r->blocks + b.block) * r->inner + b.begin;
      reduce_tile(r, &b, buffer, team->workspace + place * bytes);
    } else if (plain(r)) {
      void *s = room(r, y, strip);
      reduce_tile(r, &b, buffer, s);
      finish_plain(r, b.width, s, y);
    } else {
      reduce_tile(r, &b, buffer, strip);
      for (int64_t j = 0; j < b.width; j++)
        fnn_reduction_finish(r, strip + j * numbers, y + j * r->inner_y);
    }
  }
  if (r->blocks == 1) return;
  fnn_team_barrier(team);
  if (plain(r))
    join_plain(r, team);
  else
    join_states(r, team);
}
