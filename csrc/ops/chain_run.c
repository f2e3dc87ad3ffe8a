/* chain_run.c: a chain's steps on tiles. A tile's registers, and what has to be gathered or put somewhere
 * else, lie on the stack; all else is read and written in place. */
#include <string.h>

#include "chain.h"
#include "map.h"

/* Bytes of a register: with the two or three that are in use and the pieces of the arrays, they stay in an L1
 * of 32K. Measured on chains of 2 to 20 steps: half or twice as much is within 15 %, a quarter 40 % slower. */
#define TILE_BYTES 4096
#define LONG_ROW 256 /* elements; shorter rows share a tile */

typedef char tile_register[TILE_BYTES] __attribute__((aligned(64)));

typedef struct {
  int64_t row, col, rows, cols;
  const void *at[FNN_CHAIN_PLACES];
  int64_t step[FNN_CHAIN_PLACES];
  const char *spread[FNN_CHAIN_INPUTS]; /* the row that a gathered input was spread from */
} tile;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static char *element(const fnn_chain_array *a, int64_t row, int64_t col) {
  return a->data + (row * a->row + col * a->col) * a->size;
}

/* Whether the tile's elements of an array lie one after another. */
static int lies_flat(const fnn_chain_array *a, const tile *t) {
  return (a->col == 1 || t->cols == 1) && (t->rows == 1 || a->row == t->cols);
}

static void find_inputs(const fnn_chain *chain, tile *t, tile_register *gathered) {
  for (int k = 0; k < FNN_CHAIN_INPUTS; k++) {
    const fnn_chain_array *a = &chain->arrays[k];
    if (!a->data || chain->kinds[k] == CHAIN_KEY) continue;
    const char *data = element(a, t->row, t->col);
    t->at[k] = data;
    t->step[k] = 1;
    if (lies_flat(a, t)) continue;
    if ((a->col == 0 || t->cols == 1) && (a->row == 0 || t->rows == 1)) {
      t->step[k] = 0;
      continue;
    }
    t->at[k] = gathered[k];
    if (a->row == 0 && t->spread[k] == data) continue;
    fnn_copy_block(a->size, t->rows, t->cols, data, a->row, a->col, gathered[k], t->cols, 1);
    t->spread[k] = a->row == 0 ? data : NULL;
  }
}

/* n elements from element `first` of the whole, as the dropout op would make them. Its kernel begins with
 * whole groups, so what comes before the first goes through a group of its own. */
static void drop(const fnn_chain *chain, const fnn_scalar *s, const int64_t *key, int64_t first,
                 int64_t n, const char *x, char *y) {
  int64_t size = fnn_itemsize(chain->dtype), skip = first % FNN_DROPOUT_GROUP;
  uint64_t block = (uint64_t)key[1] + (uint64_t)(first / FNN_DROPOUT_GROUP) * FNN_RANDOM_BLOCKS;
  fnn_random_key from = {(uint64_t)key[0], block};
  if (skip) {
    double whole_[FNN_DROPOUT_GROUP] = {0};
    char *whole = (char *)whole_;
    int64_t count = smaller(FNN_DROPOUT_GROUP - skip, n);
    memcpy(whole + skip * size, x, (size_t)(count * size));
    chain->random->dropout(from, skip + count, whole, whole, s[0].f, s[1].f, s[2].f, s[3].f);
    memcpy(y, whole + skip * size, (size_t)(count * size));
    from.block += FNN_RANDOM_BLOCKS;
    x += count * size;
    y += count * size;
    n -= count;
  }
  if (n) chain->random->dropout(from, n, x, y, s[0].f, s[1].f, s[2].f, s[3].f);
}

static void run_dropout(const fnn_chain *chain, const fnn_chain_step *step, const tile *t,
                        void *out) {
  const int64_t *key = (const int64_t *)chain->arrays[step->from[1]].data;
  int64_t size = fnn_itemsize(chain->dtype), rows = t->rows, cols = t->cols;
  const char *x = t->at[step->from[0]];
  if (!t->step[step->from[0]]) {
    fnn_copy_block(size, 1, rows * cols, x, 0, 0, out, 0, 1);
    x = out;
  }
  if (cols == chain->cols) {
    cols *= rows;
    rows = 1;
  }
  for (int64_t i = 0; i < rows; i++)
    drop(chain, step->scalars, key, (t->row + i) * chain->cols + t->col, cols, x + i * cols * size,
         (char *)out + i * cols * size);
}

static void run_tile(const fnn_chain *chain, tile *t, tile_register *registers,
                     tile_register *gathered) {
  tile_register *outputs = gathered + FNN_CHAIN_INPUTS;
  int apart[FNN_CHAIN_OUTPUTS];
  find_inputs(chain, t, gathered);
  for (int k = 0; k < FNN_CHAIN_OUTPUTS; k++) {
    const fnn_chain_array *y = &chain->arrays[FNN_CHAIN_OUTPUT + k];
    apart[k] = y->data && (chain->late[k] || !lies_flat(y, t));
    t->at[FNN_CHAIN_OUTPUT + k] = apart[k]  ? outputs[k]
                                  : y->data ? element(y, t->row, t->col)
                                            : NULL;
  }
  for (const fnn_chain_step *s = chain->steps; s < chain->steps + chain->n_steps; s++) {
    const void *in[FNN_MAP_INPUTS];
    int64_t step[FNN_MAP_INPUTS];
    void *out =
        s->to < FNN_CHAIN_OUTPUT ? registers[s->to - FNN_CHAIN_REGISTER] : (void *)t->at[s->to];
    if (!s->kernel) {
      run_dropout(chain, s, t, out);
      continue;
    }
    for (int k = 0; k < s->n_in; k++) {
      in[k] = t->at[s->from[k]];
      step[k] = t->step[s->from[k]];
    }
    s->kernel(t->rows * t->cols, in, step, out, s->scalars);
  }
  for (int k = 0; k < FNN_CHAIN_OUTPUTS; k++)
    if (apart[k]) {
      const fnn_chain_array *y = &chain->arrays[FNN_CHAIN_OUTPUT + k];
      fnn_copy_block(y->size, t->rows, t->cols, outputs[k], t->cols, 1, element(y, t->row, t->col),
                     y->row, y->col);
    }
}

/* Whether all arrays go on from one row to the next as within a row, so that rows may be joined. */
static int rows_join(const fnn_chain *chain) {
  for (int k = 0; k < FNN_CHAIN_PLACES; k++) {
    const fnn_chain_array *a = &chain->arrays[k];
    if (a->data && chain->kinds[k] != CHAIN_KEY && a->row != chain->cols * a->col) return 0;
  }
  return 1;
}

void fnn_chain_block(const fnn_chain *chain, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  tile_register registers[FNN_CHAIN_OUTPUT - FNN_CHAIN_REGISTER];
  tile_register gathered[FNN_CHAIN_INPUTS + FNN_CHAIN_OUTPUTS];
  const int64_t room = TILE_BYTES / fnn_itemsize(chain->dtype);
  tile t;
  memset(t.spread, 0, sizeof t.spread);
  for (int k = FNN_CHAIN_REGISTER; k < FNN_CHAIN_PLACES; k++) {
    t.step[k] = 1;
    if (k < FNN_CHAIN_OUTPUT) t.at[k] = registers[k - FNN_CHAIN_REGISTER];
  }
  if (rows > 1 && cols == chain->cols && rows_join(chain)) { /* as one row */
    col = row * cols;
    cols *= rows;
    row = 0;
    rows = 1;
  }
  const int64_t wide = smaller(cols, room), high = cols < LONG_ROW ? room / cols : 1;
  for (int64_t i = 0; i < rows; i += high)
    for (int64_t j = 0; j < cols; j += wide) {
      t.row = row + i;
      t.rows = smaller(high, rows - i);
      t.col = col + j;
      t.cols = smaller(wide, cols - j);
      run_tile(chain, &t, registers, gathered);
    }
}
