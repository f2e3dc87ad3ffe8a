/* reduction.h: a reduction as reduce.c runs it: the axes sorted out, and the states of blocks. */
#ifndef FNN_OPS_REDUCTION_H
#define FNN_OPS_REDUCTION_H

#include "lines.h"

#define FNN_REDUCTION_BLOCK 2048      /* elements of a row that make a block */
#define FNN_REDUCTION_STRIP 512       /* columns that lie side by side, read where they are */
#define FNN_REDUCTION_STRIP_GATHER 64 /* columns that are copied together first, */
#define FNN_REDUCTION_STRIP_SHORT 256 /* or so many of short rows */
#define FNN_REDUCTION_SHORT 32 /* rows up to this length are copied and reduced as columns, */
#define FNN_REDUCTION_PLAIN_SHORT 128 /* and up to this where a state is one number */
#define FNN_REDUCTION_FOLDED 256      /* columns of rows taken together, at most, */
#define FNN_REDUCTION_FOLDED_ROWS 64  /* and such rows of a block */

typedef fnn_scalar fnn_state[2];

typedef struct {
  int op, kind, work; /* work: FNN_F32 or FNN_F64, or FNN_I64 for every integer type */
  int truth;          /* any, all: elements count as 0 or 1 */
  int read;           /* the dtype that kernels are given: x's, or bool for any and all */
  int columns;
  fnn_array reduced, kept, out; /* the reduced axes of x; the kept ones as x and as y have them */
  int64_t inner, inner_x, inner_y; /* columns: the kept axis taken out of kept and out */
  int64_t fold;                    /* columns: so many rows, which touch, are taken as one */
  int64_t count;                   /* elements that make one output */
  int64_t per_block, blocks, strip, strips, outputs;
  double ddof; /* var */
  void *means; /* moments: where the means go, laid out as out */
} fnn_reduction;

/* The call's axes sorted, joined and cut. False when the shapes do not fit. */
int fnn_reduction_of(const fnn_call *call, fnn_reduction *r);

static inline int fnn_reduction_is_arg(int kind) {
  return kind == FNN_REDUCE_ARGMAX || kind == FNN_REDUCE_ARGMIN;
}

/* How many numbers a state has. */
static inline int fnn_reduction_numbers(int kind) { return kind >= FNN_REDUCE_ARGMAX ? 2 : 1; }

/* n contiguous elements of x as r->read, in place where they are that. */
const void *fnn_reduction_as_read(const fnn_reduction *r, int64_t n, const void *x, void *buffer);

void fnn_reduction_columns(const fnn_reduction *r, fnn_team *team);

/* The states of blocks [begin, end), `step` numbers apart, as one: a balanced tree. */
void fnn_reduction_fold(const fnn_reduction *r, const fnn_scalar *states, int64_t step,
                        int64_t begin, int64_t end, fnn_scalar *result);

/* Element `at` of y becomes what the state says. */
void fnn_reduction_finish(const fnn_reduction *r, const fnn_scalar *s, int64_t at);

/* All of y where nothing is reduced: the sum of none is 0, their product 1, all of them are true. */
void fnn_reduction_finish_empty(const fnn_reduction *r, fnn_team *team);

#endif
