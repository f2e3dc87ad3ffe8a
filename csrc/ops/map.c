/* map.c: pointwise ops, and copies between any strides and dtypes.
 *
 * The output's axes are put in the order of its memory and merged where every operand allows, then
 * cut into tiles: a long run of the last axis, or a small block of the last two. A tile whose
 * elements lie one after another goes to the kernel as it is; any other is gathered into a buffer
 * on the stack first, or scattered from one. Since a kernel treats each element alike, the cut does
 * not show in the result. */
#include <stdatomic.h>

#include "copy_lanes.h"
#include "lines.h"
#include "map.h"

#define BUFFERED 1024 /* elements of a tile that goes through a buffer: all of them stay in L1 */
#define LONGEST 8192  /* elements of a tile that does not */
#define LONG_ROW 512  /* rows from here on are tiles of their own */
#define SPREAD_ROW \
  48 /* rows from here on are worth a call where a number is spread over each (measured) */
#define BLOCK 32 /* side of a tile that is transposed */

/* An operand's place in the loop: byte address, element size and a stride (in elements) for each
 * axis. */
typedef struct {
  char *data;
  int64_t stride[FNN_MAX_DIMS];
  int64_t size;
} operand;

typedef struct {
  int n_in, ndim;
  int64_t shape[FNN_MAX_DIMS];
  operand arrays[FNN_MAP_INPUTS + 1]; /* inputs, then the output */
  int64_t rows, cols;                 /* of a tile */
  int by_rows;                        /* each row of a tile goes to the kernel as it lies */
  int64_t row_tiles, col_tiles, tiles;
} loop;

/* --- types --- */

/* The letters after the colons of an op's row, T where there is none; the k-th array's is byte k.
 * Read from the row at the op's first call. */
static uint32_t array_kinds(int op) {
  static _Atomic uint32_t known[FNN_OPS];
  uint32_t kinds = atomic_load_explicit(&known[op], memory_order_relaxed);
  if (kinds) return kinds;
  int k = 0;
  for (const char *p = fnn_op(op)->arrays; *p;) {
    const char *word = p;
    char kind = 'T';
    for (; *p && *p != ' '; p++)
      if (*p == ':') kind = p[1];
    if (*word != '-') kinds |= (uint32_t)kind << 8 * k++;
    while (*p == ' ') p++;
  }
  atomic_store_explicit(&known[op], kinds, memory_order_relaxed);
  return kinds;
}

/* The dtype that chooses the kernel, or -1 if the arrays' types are not the row's. */
static int call_dtype(const fnn_call *call) {
  uint32_t kinds = array_kinds(call->op);
  int common = -1;
  for (int k = 0; k < call->n_arrays; k++) {
    int dtype = call->arrays[k].dtype;
    char kind = (char)(kinds >> 8 * k & 255);
    if (kind == '*') continue;
    if (kind == 'b') {
      if (dtype != FNN_BOOL) return -1;
      continue;
    }
    if (common < 0) common = dtype;
    if (dtype != common) return -1;
    if ((kind == 'T' && !fnn_is_real(dtype)) || (kind == 'n' && dtype == FNN_BOOL)) return -1;
  }
  return common < 0 ? FNN_BOOL : common;
}

static fnn_map_kernel find_kernel(const fnn_call *call) {
  int dtype = call_dtype(call);
  if (dtype < 0) return NULL;
  return fnn_is_real(dtype) ? fnn_kernels_of(dtype)->map[call->op]
                            : fnn_map_integer(dtype, call->op);
}

/* --- loops --- */

static int64_t absolute(int64_t x) { return x < 0 ? -x : x; }

static void swap_axes(loop *l, int i, int j) {
  int64_t t = l->shape[i];
  l->shape[i] = l->shape[j];
  l->shape[j] = t;
  for (int k = 0; k <= l->n_in; k++) {
    int64_t *stride = l->arrays[k].stride;
    t = stride[i];
    stride[i] = stride[j];
    stride[j] = t;
  }
}

/* Whether axis i is axis j continued, for every operand. */
static int mergeable(const loop *l, int i, int j) {
  for (int k = 0; k <= l->n_in; k++)
    if (l->arrays[k].stride[i] != l->arrays[k].stride[j] * l->shape[j]) return 0;
  return 1;
}

/* Largest output stride first; then neighbours are merged. */
static void order_axes(loop *l) {
  const int64_t *out = l->arrays[l->n_in].stride;
  for (int i = 1; i < l->ndim; i++)
    for (int j = i; j > 0 && absolute(out[j - 1]) < absolute(out[j]); j--) swap_axes(l, j - 1, j);
  int last = 0;
  for (int i = 1; i < l->ndim; i++) {
    if (mergeable(l, last, i)) {
      l->shape[last] *= l->shape[i];
    } else {
      last++;
      l->shape[last] = l->shape[i];
    }
    for (int k = 0; k <= l->n_in; k++) l->arrays[k].stride[last] = l->arrays[k].stride[i];
  }
  if (l->ndim > 0) l->ndim = last + 1;
}

/* Axes of the output longer than 1, with the inputs' strides broadcast to them. */
static void gather_axes(loop *l, const fnn_call *call) {
  const fnn_array *y = &call->arrays[l->n_in];
  l->ndim = 0;
  for (int i = 0; i < y->ndim; i++) {
    if (y->shape[i] == 1) continue;
    l->shape[l->ndim] = y->shape[i];
    for (int k = 0; k <= l->n_in; k++) {
      const fnn_array *a = &call->arrays[k];
      int own = i - (y->ndim - a->ndim);
      l->arrays[k].stride[l->ndim] = own < 0 || a->shape[own] == 1 ? 0 : a->stride[own];
    }
    l->ndim++;
  }
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void choose_tile(loop *l) {
  int64_t cols = l->shape[l->ndim - 1], rows = l->ndim > 1 ? l->shape[l->ndim - 2] : 1;
  int direct = 1, crossed = 0, spread = 0;
  for (int k = 0; k <= l->n_in; k++) {
    const int64_t *stride = l->arrays[k].stride + l->ndim - 1;
    if (l->ndim > 1 && *stride == 0 && stride[-1] != 0) spread = 1;
    if (*stride != 1 && !(*stride == 0 && k < l->n_in)) direct = 0;
    if (l->ndim > 1 && stride[-1] != 0 && absolute(stride[-1]) < absolute(*stride)) crossed = 1;
  }
  if (direct && (cols >= LONG_ROW || rows == 1)) {
    l->cols = smaller(cols, LONGEST);
    l->rows = 1;
  } else if (direct && spread && cols >= SPREAD_ROW) {
    l->cols = cols;
    l->rows = smaller(rows, LONGEST / cols);
    l->by_rows = 1;
  } else if (crossed && rows >= 8 && cols > BLOCK) {
    l->cols = BLOCK;
    l->rows = smaller(rows, BLOCK);
  } else {
    l->cols = smaller(cols, BUFFERED);
    l->rows = smaller(rows, BUFFERED / l->cols);
  }
  l->row_tiles = (rows + l->rows - 1) / l->rows;
  l->col_tiles = (cols + l->cols - 1) / l->cols;
  l->tiles = l->row_tiles * l->col_tiles;
  for (int i = 0; i < l->ndim - 2; i++) l->tiles *= l->shape[i];
}

/* The common case: all contiguous and of the output's shape, or one value. */
static int all_flat(const fnn_call *call) {
  const fnn_array *y = &call->arrays[call->n_arrays - 1];
  for (int k = 0; k < call->n_arrays; k++) {
    const fnn_array *a = &call->arrays[k];
    if (a->ndim == 0 && a != y) continue;
    if (!fnn_same_shape(a, y) || !fnn_contiguous(a)) return 0;
  }
  return 1;
}

static void make_loop(loop *l, const fnn_call *call) {
  int64_t n = fnn_size(&call->arrays[call->n_arrays - 1]);
  l->n_in = call->n_arrays - 1;
  for (int k = 0; k <= l->n_in; k++) {
    l->arrays[k].data = call->arrays[k].data;
    l->arrays[k].size = fnn_itemsize(call->arrays[k].dtype);
  }
  l->tiles = l->by_rows = 0;
  if (n == 0) return;
  if (all_flat(call)) {
    l->ndim = 1;
    l->shape[0] = n;
    for (int k = 0; k <= l->n_in; k++)
      l->arrays[k].stride[0] = k == l->n_in || call->arrays[k].ndim > 0;
  } else {
    gather_axes(l, call);
    order_axes(l);
  }
  if (l->ndim == 0) {
    l->ndim = 1;
    l->shape[0] = 1;
    for (int k = 0; k <= l->n_in; k++) l->arrays[k].stride[0] = k < l->n_in ? 0 : 1;
  }
  choose_tile(l);
}

typedef struct {
  char *data[FNN_MAP_INPUTS + 1];
  int64_t rows, cols;
  int64_t across[FNN_MAP_INPUTS + 1],
      along[FNN_MAP_INPUTS + 1]; /* strides between rows, within a row */
} tile;

static void find_tile(const loop *l, int64_t number, tile *t) {
  int64_t index[FNN_MAX_DIMS];
  int inner = l->ndim - 1, outer = l->ndim - 2;
  index[inner] = number % l->col_tiles * l->cols;
  number /= l->col_tiles;
  t->cols = smaller(l->shape[inner] - index[inner], l->cols);
  t->rows = 1;
  if (outer >= 0) {
    index[outer] = number % l->row_tiles * l->rows;
    number /= l->row_tiles;
    t->rows = smaller(l->shape[outer] - index[outer], l->rows);
  }
  for (int i = outer - 1; i >= 0; i--) {
    index[i] = number % l->shape[i];
    number /= l->shape[i];
  }
  for (int k = 0; k <= l->n_in; k++) {
    const operand *a = &l->arrays[k];
    int64_t at = 0;
    for (int i = 0; i < l->ndim; i++) at += index[i] * a->stride[i];
    t->data[k] = a->data + at * a->size;
    t->along[k] = a->stride[inner];
    t->across[k] = outer >= 0 ? a->stride[outer] : 0;
  }
}

/* A tile whose rows go to the kernel one by one. */
static void run_by_rows(const loop *l, const tile *t, fnn_map_kernel kernel,
                        const fnn_scalar *scalars) {
  const void *in[FNN_MAP_INPUTS];
  int64_t y = l->n_in;
  for (int64_t i = 0; i < t->rows; i++) {
    for (int k = 0; k < l->n_in; k++) in[k] = t->data[k] + i * t->across[k] * l->arrays[k].size;
    kernel(t->cols, in, t->along, t->data[y] + i * t->across[y] * l->arrays[y].size, scalars);
  }
}

/* True when the tile's elements of operand k lie one after another. */
static int lies_flat(const tile *t, int k) {
  return (t->along[k] == 1 || t->cols == 1) && (t->rows == 1 || t->across[k] == t->cols);
}

/* One tile of a kernel. buffers has BUFFERED elements for each operand; held remembers what was
 * gathered there, so that a row that is broadcast over many tiles is gathered once. */
static void run_tile(const loop *l, const tile *t, fnn_map_kernel kernel, const fnn_scalar *scalars,
                     double (*buffers)[BUFFERED], tile *held) {
  const void *in[FNN_MAP_INPUTS];
  int64_t step[FNN_MAP_INPUTS];
  int y = l->n_in, flat = lies_flat(t, y);
  void *out = flat ? (void *)t->data[y] : (void *)buffers[y];
  for (int k = 0; k < l->n_in; k++) {
    step[k] = 1;
    in[k] = t->data[k];
    if (lies_flat(t, k)) continue;
    if ((t->along[k] == 0 || t->cols == 1) && (t->across[k] == 0 || t->rows == 1)) {
      step[k] = 0;
      continue;
    }
    in[k] = buffers[k];
    if (held->data[k] == t->data[k] && held->rows == t->rows && held->cols == t->cols) continue;
    held->data[k] = t->data[k];
    fnn_copy_block(l->arrays[k].size, t->rows, t->cols, t->data[k], t->across[k], t->along[k],
                   (char *)buffers[k], t->cols, 1);
  }
  held->rows = t->rows;
  held->cols = t->cols;
  kernel(t->rows * t->cols, in, step, out, scalars);
  if (!flat)
    fnn_copy_block(l->arrays[y].size, t->rows, t->cols, (const char *)out, t->cols, 1, t->data[y],
                   t->across[y], t->along[y]);
}

/* --- the family --- */

static int checks_divisors(const fnn_call *call) {
  return (call->op == FNN_OP_floor_divide || call->op == FNN_OP_mod) &&
         !fnn_is_real(call->arrays[1].dtype) && fnn_size(&call->arrays[2]) > 0;
}

/* Whether the call only moves elements, a few lanes of every pixel. */
static int find_lanes(fnn_lanes *lanes, const loop *l, const fnn_call *call) {
  return call->op == FNN_OP_copy && call->arrays[0].dtype == call->arrays[1].dtype &&
         l->tiles > 0 &&
         fnn_lanes_fit(lanes, l->arrays[0].size, l->ndim, l->shape, l->arrays[0].stride,
                       l->arrays[1].stride);
}

/* y = op(a, b ...): every input has y's shape after numpy's broadcasting; y may be an input's own
 * memory, element by element, and otherwise overlaps none. y is overwritten. Integers wrap around;
 * a / 0 among integers is an error. */
fnn_status fnn_map_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  int n_in = call->n_arrays - 1;
  const fnn_array *y = &call->arrays[n_in];
  if (n_in < 1 || n_in > FNN_MAP_INPUTS)
    return fnn_fail(why, FNN_ERR_SHAPE, "a pointwise op takes one to three inputs");
  for (int k = 0; k < n_in; k++) {
    const fnn_array *a = &call->arrays[k];
    int lead = y->ndim - a->ndim;
    if (lead < 0) return fnn_fail(why, FNN_ERR_SHAPE, "an input has more axes than the output");
    for (int i = 0; i < a->ndim; i++)
      if (a->shape[i] != 1 && a->shape[i] != y->shape[lead + i]) {
        why->seen = a->shape[i];
        why->limit = y->shape[lead + i];
        return fnn_fail(why, FNN_ERR_SHAPE, "an input does not broadcast to the output's shape");
      }
    plan->bytes += fnn_bytes(a);
  }
  if (call->op != FNN_OP_copy && !find_kernel(call))
    return fnn_fail(why, FNN_ERR_DTYPE, "the arrays' dtypes differ, or the op does not take them");
  loop l;
  make_loop(&l, call);
  double n = (double)fnn_size(y);
  fnn_lanes lanes;
  if (find_lanes(&lanes, &l, call)) l.tiles = lanes.tiles;
  plan->tasks = l.tiles > 0 ? l.tiles : 1;
  plan->flops = n * fnn_map_cost(call->op);
  plan->may_fail = checks_divisors(call);
  plan->bytes += n * (double)fnn_itemsize(y->dtype);
  return FNN_OK;
}

/* Before anything is written: no integer divisor is 0. Returns whether all is well, to all threads
 * alike. */
static int divisors_fit(const fnn_call *call, fnn_team *team) {
  if (!checks_divisors(call)) return 1;
  const fnn_array *b = &call->arrays[1];
  fnn_range share = fnn_share(fnn_size(b), team);
  int64_t at = fnn_find_zero(b, share.begin, share.end);
  if (at >= 0) fnn_team_fail(team, FNN_ERR_VALUE, at, "integer division by zero", 0, 0);
  fnn_team_barrier(team);
  return !fnn_team_failed(team);
}

void fnn_map_run(const fnn_call *call, fnn_team *team) {
  loop l;
  if (!divisors_fit(call, team)) return;
  make_loop(&l, call);
  fnn_lanes lanes;
  if (find_lanes(&lanes, &l, call)) {
    fnn_lanes_copy(&lanes, fnn_share(lanes.tiles, team), l.arrays[0].data, l.arrays[1].data);
    return;
  }
  fnn_range share = fnn_share(l.tiles, team);
  if (share.begin >= share.end) return;
  int same = 0;
  fnn_map_kernel kernel;
  if (call->op == FNN_OP_copy) {
    same = call->arrays[0].dtype == call->arrays[1].dtype;
    kernel = fnn_convert_kernel(call->arrays[0].dtype, call->arrays[1].dtype);
  } else {
    kernel = find_kernel(call);
  }
  double buffers[FNN_MAP_INPUTS + 1][BUFFERED];
  tile t, held = {.rows = -1};
  for (int64_t i = share.begin; i < share.end; i++) {
    find_tile(&l, i, &t);
    if (same)
      fnn_copy_block(l.arrays[0].size, t.rows, t.cols, t.data[0], t.across[0], t.along[0],
                     t.data[1], t.across[1], t.along[1]);
    else if (l.by_rows)
      run_by_rows(&l, &t, kernel, call->scalars);
    else
      run_tile(&l, &t, kernel, call->scalars, buffers, &held);
  }
}
