/* reduce.c: sum, mean, max ... over any axes.
 *
 * y has x's rank; an axis is reduced where y's length is 1 and x's is not. Contract: x any strides, y any
 * strides without overlap, overwritten; x and y do not share memory.
 *
 * The axes are sorted by x's strides (argmax keeps those it reduces in order, as it counts along them),
 * joined where they can be, and cut: with a reduced axis innermost ("rows") into blocks of BLOCK
 * elements of one output, with a kept axis innermost ("columns") into blocks of FNN_REDUCE_ROWS rows
 * by strips of columns. Short rows are turned into columns by copying. Each block gives a state
 * (kernels/reduce.h); an output of several blocks is the fold of their states as a balanced tree. So the
 * bits depend on the shape, not on the team. */
#include "reduction.h"

#define BLOCK FNN_REDUCTION_BLOCK
#define STRIP FNN_REDUCTION_STRIP
#define STRIP_GATHER FNN_REDUCTION_STRIP_GATHER
#define NARROW 32 /* of so few columns that touch, 16 rows are reduced as one */

/* --- rows --- */
static const fnn_integer_kernels *integers(void) { return fnn_kernels_of(FNN_F32)->integer; }

/* n contiguous elements of x as r->read, in place where they are that. */
static const void *as_read(const fnn_reduction *r, int64_t n, const void *x, void *buffer) {
  const int64_t step = 1;
  if (r->read == r->reduced.dtype) return x;
  integers()->convert[r->reduced.dtype][r->read](n, &x, &step, buffer, NULL);
  return buffer;
}

static void reduce_row(const fnn_reduction *r, int kind, int64_t n, const void *x, fnn_scalar *s) {
  if (r->work == FNN_I64) {
    int64_t whole[2] = {0, 0};
    integers()->row[r->read - FNN_I64][kind](n, x, whole);
    s[0].i = whole[0], s[1].i = whole[1];
    return;
  }
  double real[2] = {0, 0};
  fnn_kernels_of(r->work)->reduce.row[kind](n, x, real);
  s[0].f = real[0];
  if (fnn_reduction_is_arg(kind))
    s[1].i = (int64_t)real[1];
  else
    s[1].f = real[1];
}

/* The state of one block of a row; of ARGMAX and ARGMIN the place is that in the whole row. */
static void row_block(const fnn_reduction *r, int kind, int64_t output, int64_t block,
                      fnn_scalar *s) {
  const int64_t begin = block * BLOCK, n = r->count - begin < BLOCK ? r->count - begin : BLOCK;
  const int64_t size = fnn_itemsize(r->reduced.dtype);
  char *first = (char *)r->reduced.data + fnn_offset(&r->kept, output) * size;
  if (r->reduced.ndim == 1 && r->reduced.stride[0] == 1 && r->read == r->reduced.dtype) {
    reduce_row(r, kind, n, first + begin * size, s);
  } else {
    int64_t buffer[BLOCK], bytes[BLOCK / 8];
    fnn_array x = r->reduced;
    x.data = first;
    reduce_row(r, kind, n, as_read(r, n, fnn_read(&x, begin, n, buffer), bytes), s);
  }
  if (fnn_reduction_is_arg(kind)) s[1].i += begin;
}

/* Rows of one block that lie as they are read, at even distances: the common case, without the walk. */
static int even(const fnn_reduction *r) {
  return r->blocks == 1 && r->kept.ndim <= 1 && r->reduced.ndim == 1 && r->reduced.stride[0] == 1 &&
         r->read == r->reduced.dtype;
}

static void run_even_rows(const fnn_reduction *r, fnn_range mine) {
  const int64_t size = fnn_itemsize(r->reduced.dtype), arg = fnn_reduction_is_arg(r->kind);
  const int64_t from = r->kept.ndim ? r->kept.stride[0] * size : 0;
  const int64_t to = r->kept.ndim ? r->out.stride[0] : 0;
  const char *x = (const char *)r->reduced.data + mine.begin * from;
  if (r->work == FNN_I64) {
    for (int64_t k = mine.begin; k < mine.end; k++, x += from) {
      fnn_state s;
      reduce_row(r, r->kind, r->count, x, s);
      fnn_reduction_finish(r, s, k * to);
    }
    return;
  }
  void (*row)(int64_t, const void *, double *) = fnn_kernels_of(r->work)->reduce.row[r->kind];
  for (int64_t k = mine.begin; k < mine.end; k++, x += from) {
    double real[2] = {0, 0};
    row(r->count, x, real);
    fnn_state s = {{.f = real[0]}, {.f = real[1]}};
    if (arg) s[1].i = (int64_t)real[1];
    fnn_reduction_finish(r, s, k * to);
  }
}

static void run_rows(const fnn_reduction *r, fnn_team *team) {
  int numbers = fnn_reduction_numbers(r->kind);
  fnn_scalar *states = (fnn_scalar *)team->workspace;
  fnn_range mine = fnn_share(r->outputs * r->blocks, team);
  fnn_state s;
  if (even(r)) {
    run_even_rows(r, mine);
    return;
  }
  if (r->blocks == 1) {
    for (int64_t k = mine.begin; k < mine.end; k++) {
      row_block(r, r->kind, k, 0, s);
      fnn_reduction_finish(r, s, fnn_offset(&r->out, k));
    }
    return;
  }
  /* Which block has the greatest number is known before where in the block it is. */
  const int arg = fnn_reduction_is_arg(r->kind);
  const int kind = arg ? r->kind - FNN_REDUCE_ARGMAX + FNN_REDUCE_MAX : r->kind;
  for (int64_t t = mine.begin; t < mine.end; t++) {
    row_block(r, kind, t / r->blocks, t % r->blocks, s);
    if (arg) s[1].i = t % r->blocks;
    for (int i = 0; i < numbers; i++) states[t * numbers + i] = s[i];
  }
  fnn_team_barrier(team);
  mine = fnn_share(r->outputs, team);
  for (int64_t k = mine.begin; k < mine.end; k++) {
    fnn_reduction_fold(r, states + k * r->blocks * numbers, numbers, 0, r->blocks, s);
    if (arg) row_block(r, r->kind, k, s[1].i, s);
    fnn_reduction_finish(r, s, fnn_offset(&r->out, k));
  }
}

/* --- columns --- */
typedef struct {
  int64_t output, block, strip; /* which */
  int64_t m, begin, width;      /* rows; the first column and how many */
} tile;

static tile tile_of(const fnn_reduction *r, int64_t t) {
  tile b;
  b.strip = t % r->strips, t /= r->strips;
  b.block = t % r->blocks, b.output = t / r->blocks;
  b.m = r->count - b.block * FNN_REDUCE_ROWS;
  if (b.m > FNN_REDUCE_ROWS) b.m = FNN_REDUCE_ROWS;
  b.begin = b.strip * r->strip;
  b.width = r->inner - b.begin < r->strip ? r->inner - b.begin : r->strip;
  return b;
}

#define GATHER(type)                                                          \
  for (int64_t j = 0; j < b->width; j++) {                                    \
    const type *from = (const type *)rows[0] + j * columns;                   \
    type *to = (type *)buffer + j;                                            \
    for (int64_t i = 0; i < b->m; i++) to[i * STRIP_GATHER] = from[i * step]; \
  }

/* The tile's columns, each contiguous or not, copied side by side to the buffer; so the rows. */
static void gather(const fnn_reduction *r, const tile *b, const void **rows, void *buffer) {
  int64_t step = r->reduced.stride[0], columns = r->inner_x, size = fnn_itemsize(r->read);
  if (size > 1 && step == 1)
    fnn_kernels_of(size == 4 ? FNN_F32 : FNN_F64)
        ->move.transpose(b->width, b->m, rows[0], columns, buffer, STRIP_GATHER);
  else if (size == 1)
    GATHER(uint8_t)
  else if (size == 4)
    GATHER(uint32_t)
  else
    GATHER(uint64_t)
  for (int64_t i = 0; i < b->m; i++) rows[i] = (char *)buffer + i * STRIP_GATHER * size;
}

/* Where each row of the tile begins; rows that are not contiguous, or not of the type that is read, are copied
 * to the buffer first. */
static void tile_rows(const fnn_reduction *r, const tile *b, const void **rows, int64_t *buffer) {
  int64_t size = fnn_itemsize(r->reduced.dtype), first = b->block * FNN_REDUCE_ROWS;
  const char *x = (const char *)r->reduced.data +
                  (fnn_offset(&r->kept, b->output) + b->begin * r->inner_x) * size;
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
    int64_t copy[STRIP_GATHER], *to = buffer + i * STRIP_GATHER;
    line.data = (void *)rows[i];
    rows[i] = as_read(r, b->width, fnn_read(&line, 0, b->width, same ? to : copy), to);
  }
}

/* The tile's states, `step` numbers apart. */
static void tile_states(const fnn_reduction *r, const tile *b, const void *const *rows,
                        fnn_scalar *states, int64_t step) {
  int64_t s0[STRIP], s1[STRIP], first = b->block * FNN_REDUCE_ROWS;
  if (r->work == FNN_I64) {
    integers()->cols[r->read - FNN_I64][r->kind](b->m, b->width, rows, s0, s1);
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

/* Kinds whose state is one real number: blocks' states stay of the real type, side by side as the columns
 * are, and kernels fold them too. */
static int plain(const fnn_reduction *r) {
  return r->work != FNN_I64 && fnn_reduction_numbers(r->kind) == 1;
}

/* The kernel may write straight into y. */
static int direct(const fnn_reduction *r) {
  return r->inner_y == 1 && r->op != FNN_OP_mean && r->out.dtype == r->work;
}

/* s[width] = the tile's columns reduced, of a plain kind. */
static void plain_tile(const fnn_reduction *r, const tile *b, const void *const *rows, void *s) {
  const fnn_reduce_kernels *k = &fnn_kernels_of(r->work)->reduce;
  int merge = r->kind == FNN_REDUCE_SUMSQ ? FNN_REDUCE_SUM : r->kind;
  int packed = r->reduced.ndim == 1 && r->reduced.stride[0] == b->width && r->strip == STRIP;
  if (!packed || b->width > NARROW || b->m != FNN_REDUCE_ROWS) {
    k->cols[r->kind](b->m, b->width, rows, s, NULL);
    return;
  }
  /* Narrow rows that touch: 16 of them are one row of 16 times as many columns, which fills vectors. */
  int64_t wide[16 * NARROW], size = fnn_itemsize(r->work);
  const void *parts[16];
  for (int64_t i = 0; i < FNN_REDUCE_ROWS / 16; i++) parts[i] = rows[16 * i];
  k->cols[r->kind](FNN_REDUCE_ROWS / 16, 16 * b->width, parts, wide, NULL);
  for (int64_t i = 0; i < 16; i++) parts[i] = (const char *)wide + i * b->width * size;
  k->cols[merge](16, b->width, parts, s, NULL);
}

/* y = the blocks' states of every column, folded, FNN_REDUCE_ROWS of them at a time; in place. */
static void plain_fold(const fnn_reduction *r, fnn_team *team) {
  const fnn_reduce_kernels *k = &fnn_kernels_of(r->work)->reduce;
  int merge = r->kind == FNN_REDUCE_SUMSQ ? FNN_REDUCE_SUM : r->kind;
  int64_t size = fnn_itemsize(r->work), strips = (r->inner + STRIP - 1) / STRIP;
  fnn_range mine = fnn_share(r->outputs / r->inner * strips, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    int64_t begin = t % strips * STRIP, output = t / strips, step = r->inner * size;
    int64_t n = r->inner - begin < STRIP ? r->inner - begin : STRIP;
    int64_t at = fnn_offset(&r->out, output) + begin * r->inner_y, last[STRIP];
    char *states = team->workspace + (output * r->blocks * r->inner + begin) * size;
    char *y = direct(r) ? (char *)r->out.data + at * size : (char *)last;
    for (int64_t count = r->blocks; count > 1; step *= FNN_REDUCE_ROWS) {
      int64_t groups = (count + FNN_REDUCE_ROWS - 1) / FNN_REDUCE_ROWS;
      for (int64_t g = 0; g < groups; g++) {
        const void *rows[FNN_REDUCE_ROWS];
        int64_t m = count - g * FNN_REDUCE_ROWS < FNN_REDUCE_ROWS ? count - g * FNN_REDUCE_ROWS
                                                                  : FNN_REDUCE_ROWS;
        char *first = states + g * FNN_REDUCE_ROWS * step;
        for (int64_t i = 0; i < m; i++) rows[i] = first + i * step;
        k->cols[merge](m, n, rows, groups == 1 ? y : first, NULL);
      }
      count = groups;
    }
    if (direct(r)) continue;
    fnn_array all = {.data = last, .dtype = r->work};
    for (int64_t j = 0; j < n; j++) {
      fnn_state s = {{.f = fnn_real_at(&all, j)}, {0}};
      fnn_reduction_finish(r, s, at + j * r->inner_y);
    }
  }
}

static void run_columns(const fnn_reduction *r, fnn_team *team) {
  int numbers = fnn_reduction_numbers(r->kind);
  int64_t buffer[FNN_REDUCE_ROWS * STRIP_GATHER];
  const void *rows[FNN_REDUCE_ROWS];
  fnn_scalar *all = (fnn_scalar *)team->workspace, strip[2 * STRIP];
  fnn_range mine = fnn_share(r->outputs / r->inner * r->blocks * r->strips, team);
  for (int64_t t = mine.begin; t < mine.end; t++) {
    tile b = tile_of(r, t);
    int64_t y = fnn_offset(&r->out, b.output) + b.begin * r->inner_y;
    tile_rows(r, &b, rows, buffer);
    if (r->blocks == 1 && plain(r) && direct(r)) {
      plain_tile(r, &b, rows, (char *)r->out.data + y * fnn_itemsize(r->out.dtype));
    } else if (r->blocks > 1 && plain(r)) {
      int64_t place = (b.output * r->blocks + b.block) * r->inner + b.begin;
      plain_tile(r, &b, rows, team->workspace + place * fnn_itemsize(r->work));
    } else if (r->blocks == 1) {
      tile_states(r, &b, rows, strip, numbers);
      for (int64_t j = 0; j < b.width; j++)
        fnn_reduction_finish(r, strip + j * numbers, y + j * r->inner_y);
    } else {
      int64_t place = (b.output * r->blocks + b.block) * r->inner + b.begin;
      tile_states(r, &b, rows, all + place * numbers, numbers);
    }
  }
  if (r->blocks == 1) return;
  fnn_team_barrier(team);
  if (plain(r)) {
    plain_fold(r, team);
    return;
  }
  mine = fnn_share(r->outputs, team);
  for (int64_t i = mine.begin; i < mine.end; i++) {
    int64_t k = i / r->inner, j = i % r->inner;
    fnn_state s;
    fnn_reduction_fold(r, all + (k * r->blocks * r->inner + j) * numbers, r->inner * numbers, 0,
                       r->blocks, s);
    fnn_reduction_finish(r, s, fnn_offset(&r->out, k) + j * r->inner_y);
  }
}

/* sum_squares, mean, var and logsumexp give reals of x's type (mean also of integers); sum and prod int64
 * of integers; max and min x's type; argmax and argmin int64; any and all bool. */
static int takes(int op, int x, int y) {
  switch (op) {
    case FNN_OP_sum:
    case FNN_OP_prod:
      return fnn_is_real(x) ? y == x : y == FNN_I64;
    case FNN_OP_mean:
      return fnn_is_real(x) ? y == x : fnn_is_real(y);
    case FNN_OP_argmax:
    case FNN_OP_argmin:
      return y == FNN_I64;
    case FNN_OP_any:
    case FNN_OP_all:
      return y == FNN_BOOL;
    case FNN_OP_max:
    case FNN_OP_min:
      return y == x;
    default:
      return fnn_is_real(x) && y == x;
  }
}

fnn_status fnn_reduce_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  fnn_reduction r;
  if (!takes(call->op, x->dtype, y->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "this reduction does not take these element types");
  if (!fnn_reduction_of(call, &r))
    return fnn_fail(why, FNN_ERR_SHAPE, "y is not x's shape with 1 for each axis to reduce");
  if (call->op == FNN_OP_moments) {
    const fnn_array *means = &call->arrays[2];
    int alike = fnn_same_shape(means, y) && means->dtype == y->dtype;
    for (int d = 0; d < y->ndim && alike; d++) alike = means->stride[d] == y->stride[d];
    if (!alike) return fnn_fail(why, FNN_ERR_SHAPE, "the means must be laid out as the variances");
  }
  if (r.outputs > 0 && r.count == 0 && r.kind >= FNN_REDUCE_MAX && r.kind <= FNN_REDUCE_ARGMIN &&
      !r.truth)
    return fnn_fail(why, FNN_ERR_SHAPE, "the greatest or least of no elements is not defined");
  if (r.blocks > 1) plan->workspace = r.outputs * r.blocks * fnn_reduction_numbers(r.kind) * 8;
  if (r.blocks > 0) plan->tasks = r.outputs / r.inner * r.blocks * r.strips;
  plan->bytes =
      (double)r.outputs * ((double)r.count * fnn_itemsize(x->dtype) + fnn_itemsize(y->dtype));
  plan->flops = (double)r.outputs * (double)r.count *
                (r.kind == FNN_REDUCE_LSE       ? 20
                 : r.kind == FNN_REDUCE_MOMENTS ? 4
                                                : 1);
  return FNN_OK;
}

void fnn_reduce_run(const fnn_call *call, fnn_team *team) {
  fnn_reduction r;
  fnn_reduction_of(call, &r);
  if (r.outputs == 0) return;
  if (r.count == 0)
    fnn_reduction_finish_empty(&r, team);
  else if (r.columns)
    run_columns(&r, team);
  else
    run_rows(&r, team);
}
