/* chain_run.c: a chain's steps on tiles. A tile's registers, and what has to be gathered or put somewhere
 * else, lie on the stack; all else is read and written in place. */
#include <string.h>

#include "chain.h"
#include "map.h"

/* Bytes of a register: with the two or three that are in use and the pieces of the arrays, they stay in an L1
 * of 32K. Measured on chains of 2 to 20 steps: half or twice as much is within 15 %, a quarter 40 % slower. */
#define TILE_BYTES 4096
#define WITHOUT_REGISTERS (4 * TILE_BYTES)
#define LONG_ROW 256 /* elements; shorter rows share a tile */

typedef char tile_register[TILE_BYTES] __attribute__((aligned(64)));

/* Some elements of every array: where they lie, one after another (step 1) or one for all (0). */
typedef struct {
  int64_t rows, cols, index; /* of the first in the whole; the next row's is chain->cols further */
  char *at[FNN_CHAIN_PLACES];
  int64_t step[FNN_CHAIN_PLACES];
} tile;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static char *element(const fnn_chain_array *a, int64_t row, int64_t col) {
  return a->data + (row * a->row + col * a->col) * a->size;
}

/* --- a tile --- */

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
                        char *out) {
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
    drop(chain, step->scalars, key, t->index + i * chain->cols, cols, x + i * cols * size,
         out + i * cols * size);
}

static void run_steps(const fnn_chain *chain, const tile *t) {
  for (const fnn_chain_step *s = chain->steps; s < chain->steps + chain->n_steps; s++) {
    if (!s->kernel) {
      run_dropout(chain, s, t, t->at[s->to]);
      continue;
    }
    const void *in[FNN_MAP_INPUTS];
    int64_t step[FNN_MAP_INPUTS];
    for (int k = 0; k < s->n_in; k++) {
      in[k] = t->at[s->from[k]];
      step[k] = t->step[s->from[k]];
    }
    s->kernel(t->rows * t->cols, in, step, t->at[s->to], s->scalars);
  }
}

/* --- rows whose elements lie one after another in all arrays, or are one number --- */

/* n elements from the tile's first. */
static void run_line(const fnn_chain *chain, tile *t, int64_t n) {
  const int64_t room =
      (chain->registers ? TILE_BYTES : WITHOUT_REGISTERS) / fnn_itemsize(chain->dtype);
  t->rows = 1;
  for (;; n -= room) {
    t->cols = smaller(room, n);
    run_steps(chain, t);
    if (n <= room) return;
    t->index += room;
    for (int k = 0; k < chain->n_used; k++) {
      int place = chain->used[k];
      t->at[place] += t->step[place] * room * chain->arrays[place].size;
    }
  }
}

static void run_lines(const fnn_chain *chain, tile *t, int64_t row, int64_t rows, int64_t col,
                      int64_t cols) {
  for (; rows > 0; rows--, row++) {
    t->index = row * chain->cols + col;
    for (int k = 0; k < chain->n_used; k++) {
      int place = chain->used[k];
      t->at[place] = element(&chain->arrays[place], row, col);
      t->step[place] = chain->arrays[place].col;
    }
    run_line(chain, t, cols);
  }
}

/* --- anything else: gathered into buffers, and put from them where it belongs --- */

/* Whether the tile's elements of an array lie one after another. */
static int lies_flat(const fnn_chain_array *a, const tile *t) {
  return (a->col == 1 || t->cols == 1) && (t->rows == 1 || a->row == t->cols);
}

static void run_gathered(const fnn_chain *chain, tile *t, int64_t row, int64_t col,
                         tile_register *buffers, const char **spread) {
  uint8_t apart[FNN_CHAIN_PLACES] = {0};
  t->index = row * chain->cols + col;
  for (int k = 0; k < chain->n_used; k++) {
    int place = chain->used[k], out = place - FNN_CHAIN_OUTPUT;
    const fnn_chain_array *a = &chain->arrays[place];
    char *data = t->at[place] = element(a, row, col);
    t->step[place] = 1;
    if (lies_flat(a, t) && (out < 0 || !chain->late[out])) continue;
    if (out < 0 && (a->col == 0 || t->cols == 1) && (a->row == 0 || t->rows == 1)) {
      t->step[place] = 0;
      continue;
    }
    t->at[place] = buffers[k];
    apart[k] = 1;
    /* A row that is broadcast over many tiles is spread once. */
    if ((out >= 0 && !chain->read[out]) || (out < 0 && a->row == 0 && spread[k] == data)) continue;
    spread[k] = data;
    fnn_copy_block(a->size, t->rows, t->cols, data, a->row, a->col, buffers[k], t->cols, 1);
  }
  run_steps(chain, t);
  for (int k = 0; k < chain->n_used; k++) {
    const fnn_chain_array *a = &chain->arrays[chain->used[k]];
    int out = chain->used[k] - FNN_CHAIN_OUTPUT;
    if (apart[k] && out >= 0 && chain->written[out])
      fnn_copy_block(a->size, t->rows, t->cols, buffers[k], t->cols, 1, element(a, row, col),
                     a->row, a->col);
  }
}

static void run_tiles(const fnn_chain *chain, tile *t, int64_t row, int64_t rows, int64_t col,
                      int64_t cols) {
  tile_register buffers[FNN_CHAIN_INPUTS + FNN_CHAIN_OUTPUTS];
  const char *spread[FNN_CHAIN_INPUTS + FNN_CHAIN_OUTPUTS] = {NULL};
  const int64_t room = TILE_BYTES / fnn_itemsize(chain->dtype);
  const int64_t wide = smaller(cols, room), high = room / wide;
  for (int64_t i = 0; i < rows; i += high)
    for (int64_t j = 0; j < cols; j += wide) {
      t->rows = smaller(high, rows - i);
      t->cols = smaller(wide, cols - j);
      run_gathered(chain, t, row + i, col + j, buffers, spread);
    }
}

void fnn_chain_block(const fnn_chain *chain, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  tile_register registers[FNN_CHAIN_OUTPUT - FNN_CHAIN_REGISTER];
  tile t;
  for (int k = FNN_CHAIN_REGISTER; k < FNN_CHAIN_OUTPUT; k++) {
    t.at[k] = registers[k - FNN_CHAIN_REGISTER];
    t.step[k] = 1;
  }
  int direct = 1, joined = cols == chain->cols;
  for (int k = 0; k < chain->n_used; k++) {
    const fnn_chain_array *a = &chain->arrays[chain->used[k]];
    int out = chain->used[k] - FNN_CHAIN_OUTPUT;
    direct &= out < 0 ? (a->col | 1) == 1 : a->col == 1 && !chain->late[out];
    joined &= a->row == cols * a->col;
  }
  if (direct && joined)
    run_lines(chain, &t, 0, 1, row * cols + col, rows * cols);
  else if (direct && (cols >= LONG_ROW || rows == 1))
    run_lines(chain, &t, row, rows, col, cols);
  else
    run_tiles(chain, &t, row, rows, col, cols);
}

void fnn_chain_touch(const fnn_chain *chain, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  for (int k = 0; k < chain->n_used; k++) {
    const fnn_chain_array *a = &chain->arrays[chain->used[k]];
    if (chain->used[k] >= FNN_CHAIN_OUTPUT || a->row == 0 || a->col != 1) continue;
    for (int64_t i = row; i < row + rows; i++) {
      const char *line = element(a, i, col), *end = line + cols * a->size;
      for (; line < end; line += 64) __builtin_prefetch(line);
    }
  }
}
