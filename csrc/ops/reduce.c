/* reduce.c: sum, mean, max ... over any axes, and cumsum.
 *
 * y has x's rank; an axis is reduced where y's length is 1 and x's is not. Contract: x any strides, y any
 * strides without overlap, overwritten; x and y do not share memory.
 *
 * The axes are sorted by x's strides (argmax keeps those it reduces in order, as it counts along them),
 * joined where they can be, and cut: with a reduced axis innermost ("rows") into blocks of BLOCK
 * elements of one output, with a kept axis innermost ("columns") into blocks of FNN_REDUCE_ROWS rows
 * by strips of columns. Short rows are turned into columns by copying. Each block gives a state (kernels/reduce.h); an output of several blocks is the
 * fold of their states as a balanced tree. So the bits depend on the shape, not on the team. */
#include <math.h>
#include <stdlib.h>

#include "lines.h"

#define BLOCK 2048
#define STRIP 512       /* columns that lie side by side, read where they are */
#define STRIP_GATHER 64 /* columns that are copied together first */
#define SHORT 32        /* rows up to this length are copied and reduced as columns */
#define NARROW 32       /* of so few columns, 16 rows are reduced as one */

typedef fnn_scalar state[2];

typedef struct {
  int op, kind, work; /* work: FNN_F32 or FNN_F64, or FNN_I64 for every integer type */
  int truth;          /* any, all: elements count as 0 or 1 */
  int columns;
  fnn_array reduced, kept, out; /* the reduced axes of x; the kept ones as x and as y have them */
  int64_t inner, inner_x, inner_y; /* columns: the kept axis taken out of kept and out */
  int64_t count;                   /* elements that make one output */
  int64_t per_block, blocks, strip, strips, outputs;
  void *means; /* moments: where the means go, laid out as out */
} reduction;

static int kind_of(int op) {
  switch (op) {
    case FNN_OP_sum_squares:
      return FNN_REDUCE_SUMSQ;
    case FNN_OP_prod:
      return FNN_REDUCE_PROD;
    case FNN_OP_max:
    case FNN_OP_any:
      return FNN_REDUCE_MAX;
    case FNN_OP_min:
    case FNN_OP_all:
      return FNN_REDUCE_MIN;
    case FNN_OP_argmax:
      return FNN_REDUCE_ARGMAX;
    case FNN_OP_argmin:
      return FNN_REDUCE_ARGMIN;
    case FNN_OP_var:
    case FNN_OP_moments:
      return FNN_REDUCE_MOMENTS;
    case FNN_OP_logsumexp:
      return FNN_REDUCE_LSE;
    default:
      return FNN_REDUCE_SUM;
  }
}

static int is_arg(int kind) { return kind == FNN_REDUCE_ARGMAX || kind == FNN_REDUCE_ARGMIN; }

static void swap(int64_t *a, int64_t *b) {
  int64_t t = *a;
  *a = *b, *b = t;
}

/* Put a's axes in the order of its strides, the longest first, and b's alike when there is a b. */
static void sort_axes(fnn_array *a, fnn_array *b) {
  for (int i = 1; i < a->ndim; i++)
    for (int j = i; j > 0 && llabs(a->stride[j - 1]) < llabs(a->stride[j]); j--) {
      swap(&a->shape[j], &a->shape[j - 1]);
      swap(&a->stride[j], &a->stride[j - 1]);
      if (b) swap(&b->stride[j], &b->stride[j - 1]), swap(&b->shape[j], &b->shape[j - 1]);
    }
}

/* Walk axis d of a, and of b, from its other end where a's stride is negative. */
static void flip_axis(fnn_array *a, fnn_array *b, int d) {
  if (a->stride[d] >= 0) return;
  fnn_array *both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    if (!both[i]) continue;
    both[i]->data = (char *)both[i]->data +
                    (both[i]->shape[d] - 1) * both[i]->stride[d] * fnn_itemsize(both[i]->dtype);
    both[i]->stride[d] = -both[i]->stride[d];
  }
}

static void join_kept(fnn_array *a, fnn_array *b) {
  int n = 0;
  for (int d = 0; d < a->ndim; d++) {
    if (n && a->stride[n - 1] == a->stride[d] * a->shape[d] &&
        b->stride[n - 1] == b->stride[d] * b->shape[d]) {
      a->shape[n - 1] *= a->shape[d], b->shape[n - 1] *= b->shape[d];
      a->stride[n - 1] = a->stride[d], b->stride[n - 1] = b->stride[d];
    } else {
      a->shape[n] = a->shape[d], b->shape[n] = b->shape[d];
      a->stride[n] = a->stride[d], b->stride[n] = b->stride[d];
      n++;
    }
  }
  a->ndim = b->ndim = n;
}

static void add_axis(fnn_array *to, const fnn_array *from, int d) {
  to->shape[to->ndim] = from->shape[d];
  to->stride[to->ndim++] = from->stride[d];
}

/* The axes of x and y sorted into r->reduced, r->kept and r->out. False when the shapes do not fit. */
static int split_axes(const fnn_array *x, const fnn_array *y, reduction *r) {
  r->reduced = r->kept = *x;
  r->out = *y;
  r->reduced.ndim = r->kept.ndim = r->out.ndim = 0;
  r->count = r->outputs = 1;
  if (x->ndim != y->ndim) return 0;
  for (int d = 0; d < x->ndim; d++) {
    if (x->shape[d] == 1 && y->shape[d] == 1) continue;
    if (y->shape[d] == x->shape[d]) {
      add_axis(&r->kept, x, d);
      add_axis(&r->out, y, d);
      r->outputs *= x->shape[d];
    } else if (y->shape[d] == 1) {
      add_axis(&r->reduced, x, d);
      r->count *= x->shape[d];
    } else {
      return 0;
    }
  }
  return 1;
}

static int describe(const fnn_call *call, reduction *r) {
  const fnn_array *x = &call->arrays[0], *y = &call->arrays[1];
  r->op = call->op;
  r->means = call->op == FNN_OP_moments ? call->arrays[2].data : NULL;
  r->kind = kind_of(call->op);
  r->truth = call->op == FNN_OP_any || call->op == FNN_OP_all;
  r->work = fnn_is_real(x->dtype) && !r->truth ? x->dtype : FNN_I64;
  if (!split_axes(x, y, r)) return 0;
  r->columns = 0, r->blocks = r->strips = 0;
  if (r->outputs == 0 || r->count == 0) return 1;

  fnn_array *reduced = &r->reduced, *kept = &r->kept;
  if (!is_arg(r->kind)) {
    for (int d = 0; d < reduced->ndim; d++) flip_axis(reduced, NULL, d);
    sort_axes(reduced, NULL);
  }
  *reduced = fnn_joined(reduced);
  for (int d = 0; d < kept->ndim; d++) flip_axis(kept, &r->out, d);
  sort_axes(kept, &r->out);
  join_kept(kept, &r->out);
  if (r->means) r->means = (char *)r->means + ((char *)r->out.data - (char *)y->data);
  /* Both walked from x's data: what flipping added to kept's moves reduced's too. */
  reduced->data = (char *)reduced->data + ((char *)kept->data - (char *)x->data);

  int k = kept->ndim - 1, d = reduced->ndim - 1;
  r->columns = k >= 0 && (d < 0 || kept->stride[k] < llabs(reduced->stride[d]));
  if (!r->columns && k >= 0 && r->count <= SHORT && kept->shape[k] >= 16) r->columns = 1;
  r->per_block = r->columns ? FNN_REDUCE_ROWS : BLOCK;
  r->blocks = (r->count + r->per_block - 1) / r->per_block;
  r->inner = 1, r->strip = 1;
  if (r->columns) {
    r->inner = kept->shape[k], r->inner_x = kept->stride[k], r->inner_y = r->out.stride[k];
    kept->ndim = r->out.ndim = k;
    int direct = r->inner_x == 1 && r->work == x->dtype && !r->truth;
    r->strip = direct ? STRIP : STRIP_GATHER;
  }
  r->strips = (r->inner + r->strip - 1) / r->strip;
  return 1;
}

/* --- states --- */
static int numbers_of(int kind) { return kind >= FNN_REDUCE_ARGMAX ? 2 : 1; }

static int beats(const reduction *r, fnn_scalar b, fnn_scalar a) {
  int most = r->kind == FNN_REDUCE_MAX || r->kind == FNN_REDUCE_ARGMAX;
  if (r->work == FNN_I64) return most ? b.i > a.i : b.i < a.i;
  if (isnan(a.f) || isnan(b.f)) return !isnan(a.f);
  return most ? b.f > a.f : b.f < a.f;
}

/* a, of na elements, then b, of nb, into a. */
static void combine(const reduction *r, fnn_scalar *a, double na, const fnn_scalar *b, double nb) {
  int whole = r->work == FNN_I64;
  switch (r->kind) {
    case FNN_REDUCE_SUM:
    case FNN_REDUCE_SUMSQ:
      if (whole)
        a->i = (int64_t)((uint64_t)a->i + (uint64_t)b->i);
      else
        a->f += b->f;
      break;
    case FNN_REDUCE_PROD:
      if (whole)
        a->i = (int64_t)((uint64_t)a->i * (uint64_t)b->i);
      else
        a->f *= b->f;
      break;
    case FNN_REDUCE_MOMENTS: { /* Chan, Golub and LeVeque 1979 */
      double d = b[0].f - a[0].f, n = na + nb;
      a[0].f += d * (nb / n);
      a[1].f += b[1].f + d * d * (na * nb / n);
      break;
    }
    case FNN_REDUCE_LSE: {
      double top = isnan(a->f) || a->f > b->f ? a->f : b->f;
      if (isfinite(top))
        a[1].f = a[1].f * exp(a->f - top) + b[1].f * exp(b->f - top);
      else
        a[1].f += b[1].f;
      a->f = top;
      break;
    }
    default:
      if (beats(r, *b, *a)) {
        a[0] = b[0];
        if (is_arg(r->kind)) a[1] = b[1];
      }
  }
}

/* The states of blocks [begin, end), `step` numbers apart, as one. */
static void fold(const reduction *r, const fnn_scalar *states, int64_t step, int64_t begin,
                 int64_t end, fnn_scalar *result) {
  if (end - begin == 1) {
    result[0] = states[begin * step];
    if (numbers_of(r->kind) == 2) result[1] = states[begin * step + 1];
    return;
  }
  state right;
  int64_t middle = begin + (end - begin + 1) / 2, last = end * r->per_block;
  if (last > r->count) last = r->count;
  fold(r, states, step, begin, middle, result);
  fold(r, states, step, middle, end, right);
  combine(r, result, (double)((middle - begin) * r->per_block), right,
          (double)(last - middle * r->per_block));
}

/* Element `at` of y becomes what the state says. */
static void finish(const reduction *r, double ddof, const fnn_scalar *s, int64_t at) {
  void *y = r->out.data;
  double value = s[0].f, n = (double)r->count;
  int64_t whole = is_arg(r->kind) ? s[1].i : s[0].i;
  if (r->op == FNN_OP_mean) value = (r->work == FNN_I64 ? (double)s[0].i : s[0].f) / n;
  if (r->means) {
    fnn_array means = {.data = r->means, .dtype = r->out.dtype};
    fnn_real_put(&means, at, s[0].f);
  }
  if (r->op == FNN_OP_var || r->op == FNN_OP_moments) value = s[1].f / (n > ddof ? n - ddof : 0);
  if (r->op == FNN_OP_logsumexp) value = s[0].f + log(s[1].f);
  switch (r->out.dtype) {
    case FNN_F32:
      ((float *)y)[at] = (float)value;
      break;
    case FNN_F64:
      ((double *)y)[at] = value;
      break;
    case FNN_I64:
      ((int64_t *)y)[at] = whole;
      break;
    case FNN_I32:
      ((int32_t *)y)[at] = (int32_t)whole;
      break;
    default:
      ((uint8_t *)y)[at] = (uint8_t)whole;
  }
}

/* Nothing to reduce: the sum of none is 0, their product 1, all of them are true; plan refuses the rest. */
static void finish_empty(const reduction *r, double ddof, fnn_team *team) {
  int real = r->work != FNN_I64;
  int one = r->op == FNN_OP_prod || r->op == FNN_OP_all;
  state s = {{0}, {0}};
  if (real)
    s[0].f = r->op == FNN_OP_logsumexp ? -INFINITY : one;
  else
    s[0].i = one;
  fnn_range mine = fnn_share(r->outputs, team);
  for (int64_t i = mine.begin; i < mine.end; i++) finish(r, ddof, s, fnn_offset(&r->out, i));
}

/* --- integers: the same kinds in plain C --- */
static void int_row(int kind, int64_t n, const int64_t *x, fnn_scalar *s) {
  uint64_t sum = 0, product = 1;
  int64_t best = x[0], at = 0;
  switch (kind) {
    case FNN_REDUCE_SUM:
      for (int64_t i = 0; i < n; i++) sum += (uint64_t)x[i];
      s->i = (int64_t)sum;
      return;
    case FNN_REDUCE_SUMSQ:
      for (int64_t i = 0; i < n; i++) sum += (uint64_t)x[i] * (uint64_t)x[i];
      s->i = (int64_t)sum;
      return;
    case FNN_REDUCE_PROD:
      for (int64_t i = 0; i < n; i++) product *= (uint64_t)x[i];
      s->i = (int64_t)product;
      return;
    case FNN_REDUCE_MAX:
    case FNN_REDUCE_ARGMAX:
      for (int64_t i = 1; i < n; i++)
        if (x[i] > best) best = x[i], at = i;
      break;
    default:
      for (int64_t i = 1; i < n; i++)
        if (x[i] < best) best = x[i], at = i;
  }
  s[0].i = best;
  if (is_arg(kind)) s[1].i = at;
}

static void reduce_row(const reduction *r, int64_t n, const void *x, fnn_scalar *s) {
  double real[2] = {0, 0};
  if (r->work == FNN_I64) {
    int_row(r->kind, n, x, s);
    return;
  }
  fnn_kernels_of(r->work)->reduce.row[r->kind](n, x, real);
  s[0].f = real[0];
  if (is_arg(r->kind))
    s[1].i = (int64_t)real[1];
  else
    s[1].f = real[1];
}

/* --- rows --- */
static void row_block(const reduction *r, int64_t output, int64_t block, fnn_scalar *s) {
  int64_t buffer[BLOCK], begin = block * BLOCK;
  int64_t n = r->count - begin < BLOCK ? r->count - begin : BLOCK;
  fnn_array x = r->reduced;
  x.data = (char *)x.data + fnn_offset(&r->kept, output) * fnn_itemsize(x.dtype);
  reduce_row(r, n,
             r->work == FNN_I64 ? fnn_read_int(&x, begin, n, r->truth, buffer)
                                : fnn_read(&x, begin, n, buffer),
             s);
  if (is_arg(r->kind)) s[1].i += begin;
}

static void run_rows(const reduction *r, double ddof, fnn_team *team) {
  int numbers = numbers_of(r->kind);
  fnn_scalar *states = (fnn_scalar *)team->workspace;
  fnn_range mine = fnn_share(r->outputs * r->blocks, team);
  state s;
  if (r->blocks == 1) {
    for (int64_t k = mine.begin; k < mine.end; k++) {
      row_block(r, k, 0, s);
      finish(r, ddof, s, fnn_offset(&r->out, k));
    }
    return;
  }
  for (int64_t t = mine.begin; t < mine.end; t++) {
    row_block(r, t / r->blocks, t % r->blocks, s);
    for (int i = 0; i < numbers; i++) states[t * numbers + i] = s[i];
  }
  fnn_team_barrier(team);
  mine = fnn_share(r->outputs, team);
  for (int64_t k = mine.begin; k < mine.end; k++) {
    fold(r, states + k * r->blocks * numbers, numbers, 0, r->blocks, s);
    finish(r, ddof, s, fnn_offset(&r->out, k));
  }
}

/* --- columns --- */
typedef struct {
  int64_t output, block, strip; /* which */
  int64_t m, begin, width;      /* rows; the first column and how many */
} tile;

static tile tile_of(const reduction *r, int64_t t) {
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

/* Where each row of the tile begins; rows that are not contiguous reals are copied to the buffer first. */
static void tile_rows(const reduction *r, const tile *b, const void **rows, int64_t *buffer) {
  int64_t size = fnn_itemsize(r->reduced.dtype), wide = r->work == FNN_F32 ? 4 : 8;
  int64_t first = b->block * FNN_REDUCE_ROWS;
  const char *x = (const char *)r->reduced.data +
                  (fnn_offset(&r->kept, b->output) + b->begin * r->inner_x) * size;
  if (r->reduced.ndim <= 1) {
    int64_t step = r->reduced.ndim ? r->reduced.stride[0] : 0;
    for (int64_t i = 0; i < b->m; i++) rows[i] = x + (first + i) * step * size;
  } else {
    for (int64_t i = 0; i < b->m; i++) rows[i] = x + fnn_offset(&r->reduced, first + i) * size;
  }
  if (r->strip == STRIP) return;
  if (r->work == r->reduced.dtype && !r->truth && r->reduced.ndim == 1 && wide == size) {
    int64_t step = r->reduced.stride[0], columns = r->inner_x;
    if (size == 4)
      GATHER(uint32_t)
    else
      GATHER(uint64_t)
    for (int64_t i = 0; i < b->m; i++) rows[i] = (char *)buffer + i * STRIP_GATHER * size;
    return;
  }
  fnn_array line = {
      .ndim = 1, .dtype = r->reduced.dtype, .shape = {b->width}, .stride = {r->inner_x}};
  for (int64_t i = 0; i < b->m; i++) {
    char *to = (char *)buffer + i * STRIP_GATHER * wide;
    line.data = (void *)rows[i];
    rows[i] = r->work == FNN_I64 ? fnn_read_int(&line, 0, b->width, r->truth, (int64_t *)to)
                                 : fnn_read(&line, 0, b->width, to);
  }
}

static void int_cols(int kind, const tile *b, const void *const *rows, fnn_scalar *states,
                     int64_t step) {
  int64_t column[FNN_REDUCE_ROWS];
  for (int64_t j = 0; j < b->width; j++) {
    for (int64_t i = 0; i < b->m; i++) column[i] = ((const int64_t *)rows[i])[j];
    int_row(kind, b->m, column, states + j * step);
  }
}

/* The tile's states, `step` numbers apart. */
static void tile_states(const reduction *r, const tile *b, const void *const *rows,
                        fnn_scalar *states, int64_t step) {
  int64_t s0[STRIP], s1[STRIP], first = b->block * FNN_REDUCE_ROWS;
  if (r->work == FNN_I64) {
    int_cols(r->kind, b, rows, states, step);
    if (is_arg(r->kind))
      for (int64_t j = 0; j < b->width; j++) states[j * step + 1].i += first;
    return;
  }
  int single = r->work == FNN_F32, single0 = single && r->kind != FNN_REDUCE_MOMENTS;
  fnn_kernels_of(r->work)->reduce.cols[r->kind](b->m, b->width, rows, s0, s1);
  for (int64_t j = 0; j < b->width; j++) {
    states[j * step].f = single0 ? (double)((float *)s0)[j] : ((double *)s0)[j];
    if (is_arg(r->kind))
      states[j * step + 1].i = first + (single ? ((int32_t *)s1)[j] : s1[j]);
    else if (step == 2)
      states[j * step + 1].f = single ? (double)((float *)s1)[j] : ((double *)s1)[j];
  }
}

/* Kinds whose state is one real number: blocks' states stay of the real type, side by side as the columns
 * are, and kernels fold them too. */
static int plain(const reduction *r) { return r->work != FNN_I64 && numbers_of(r->kind) == 1; }

/* The kernel may write straight into y. */
static int direct(const reduction *r) {
  return r->inner_y == 1 && r->op != FNN_OP_mean && r->out.dtype == r->work;
}

/* s[width] = the tile's columns reduced, of a plain kind. */
static void plain_tile(const reduction *r, const tile *b, const void *const *rows, void *s) {
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
static void plain_fold(const reduction *r, fnn_team *team) {
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
      state s = {{.f = fnn_real_at(&all, j)}, {0}};
      finish(r, 0, s, at + j * r->inner_y);
    }
  }
}

static void run_columns(const reduction *r, double ddof, fnn_team *team) {
  int numbers = numbers_of(r->kind);
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
        finish(r, ddof, strip + j * numbers, y + j * r->inner_y);
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
    state s;
    fold(r, all + (k * r->blocks * r->inner + j) * numbers, r->inner * numbers, 0, r->blocks, s);
    finish(r, ddof, s, fnn_offset(&r->out, k) + j * r->inner_y);
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
  reduction r;
  if (!takes(call->op, x->dtype, y->dtype))
    return fnn_fail(why, FNN_ERR_DTYPE, "this reduction does not take these element types");
  if (!describe(call, &r))
    return fnn_fail(why, FNN_ERR_SHAPE, "y is not x's shape with 1 for each axis to reduce");
  if (call->op == FNN_OP_moments) {
    const fnn_array *means = &call->arrays[2];
    int alike = fnn_same_shape(means, y) && means->dtype == y->dtype;
    for (int d = 0; d < y->ndim && alike; d++) alike = means->stride[d] == y->stride[d];
    if (!alike) return fnn_fail(why, FNN_ERR_SHAPE, "the means must be laid out as the variances");
  }
  if (r.outputs > 0 && r.count == 0 && kind_of(call->op) >= FNN_REDUCE_MAX &&
      kind_of(call->op) <= FNN_REDUCE_ARGMIN && !r.truth)
    return fnn_fail(why, FNN_ERR_SHAPE, "the greatest or least of no elements is not defined");
  if (r.blocks > 1) plan->workspace = r.outputs * r.blocks * numbers_of(r.kind) * 8;
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
  reduction r;
  double ddof = call->op == FNN_OP_var ? call->scalars[0].f : 0;
  describe(call, &r);
  if (r.outputs == 0) return;
  if (r.count == 0)
    finish_empty(&r, ddof, team);
  else if (r.columns)
    run_columns(&r, ddof, team);
  else
    run_rows(&r, ddof, team);
}
