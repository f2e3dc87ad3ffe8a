/* chain.h: pointwise ops run one after another on tiles that stay in L1, so that what lies between them is
 * never written to memory. The kernels are those of the map family: the bits are those of separate calls.
 *
 * The code is a constant int64 array of instructions: a word
 *
 *   op | to << 16 | a << 24 | b << 32 | c << 40
 *
 * and then a word for each of the op's scalars, the bits of a double. `to` and the operands a, b, c are
 * places: 0 to 6 an input, 8 to 15 a register, 16 to 18 an output. A register or an output is read only after
 * it was written; at the end of a matrix product the first output is the product to begin with. In a place
 * are real numbers, of the one real dtype of all arrays, or bools; dropout's second operand is an input that
 * holds a key. */
#ifndef FNN_OPS_CHAIN_H
#define FNN_OPS_CHAIN_H

#include "op.h"

enum {
  FNN_CHAIN_INPUTS = 7,
  FNN_CHAIN_OUTPUTS = 3,
  FNN_CHAIN_REGISTER = 8, /* place of the first register */
  FNN_CHAIN_OUTPUT = 16,  /* place of the first output */
  FNN_CHAIN_PLACES = FNN_CHAIN_OUTPUT + FNN_CHAIN_OUTPUTS,
  FNN_CHAIN_STEPS = 32,
};

/* What a place is to the code. */
typedef enum { CHAIN_NOTHING, CHAIN_REAL, CHAIN_BOOL, CHAIN_KEY } fnn_chain_kind;

/* An array as rows and columns; strides count elements, 0 where it is broadcast. */
typedef struct {
  char *data; /* NULL where there is none */
  int64_t row, col, size;
} fnn_chain_array;

typedef struct {
  fnn_map_kernel kernel;     /* NULL for dropout */
  const fnn_scalar *scalars; /* in the code */
  uint8_t n_in, to, from[FNN_MAP_INPUTS];
} fnn_chain_step;

typedef struct {
  const fnn_random_kernels *random;
  int dtype, n_steps, registers;            /* whether there are any */
  int64_t rows, cols;                       /* of the outputs; set by who lays the arrays out */
  fnn_chain_array arrays[FNN_CHAIN_PLACES]; /* by place, registers left out */
  uint8_t kinds[FNN_CHAIN_PLACES];          /* fnn_chain_kind of what was read or written there */
  int n_used; /* places of arrays that the code reads or writes element by element */
  uint8_t used[FNN_CHAIN_INPUTS + FNN_CHAIN_OUTPUTS];
  uint8_t read[FNN_CHAIN_OUTPUTS];    /* whether what an output holds to begin with is read */
  uint8_t written[FNN_CHAIN_OUTPUTS]; /* whether it is written */
  uint8_t late[FNN_CHAIN_OUTPUTS]; /* put where it belongs at a tile's end, as an input lies there
                                    * that is still read after it was computed */
  fnn_chain_step steps[FNN_CHAIN_STEPS];
  double flops; /* that an element costs */
} fnn_chain;

/* Check the code against the arrays (absent ones may be among them) and ready the chain, but for its shape
 * and the arrays' strides. The first `made` outputs hold something to begin with. */
fnn_status fnn_chain_read(const fnn_array *code, const fnn_array *inputs, int n_in,
                          const fnn_array *outputs, int n_out, int made, fnn_chain *chain,
                          fnn_failure *why);

/* Run it on a rectangle of its rows and columns. Inputs are read where they lie or broadcast; an output may be
 * an input's own memory, element by element. */
void fnn_chain_block(const fnn_chain *chain, int64_t row, int64_t rows, int64_t col, int64_t cols);

/* Bring the inputs of a block nearer. */
void fnn_chain_touch(const fnn_chain *chain, int64_t row, int64_t rows, int64_t col, int64_t cols);

#endif
