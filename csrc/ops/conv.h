/* conv.h: what the ways of a convolution share: what a call convolves, and which way it goes. */
#ifndef FNN_OPS_CONV_H
#define FNN_OPS_CONV_H

#include "gemm.h"

/* The scalars of every op of the family, and the bits of `ways`: what is allowed besides sums in order. */
enum {
  FNN_CONV_STRIDE, /* h, then w, as of the next two */
  FNN_CONV_PAD = 2,
  FNN_CONV_DILATION = 4,
  FNN_CONV_GROUPS = 6,
  FNN_CONV_WAYS = 7,
};
enum {
  FNN_CONV_ALLOW_WINOGRAD = 1, /* where it is faster */
  FNN_CONV_WINOGRAD_2 = 2,     /* wherever it can be, in tiles of 2 x 2: for tests, benchmarks */
  FNN_CONV_WINOGRAD_4 = 4,
};

typedef enum {
  CONV_DIRECT,    /* tiles of sums over taps: conv_direct.c */
  CONV_PRODUCT,   /* a product of two matrices: kernels of one element, for few pixels */
  CONV_DEPTHWISE, /* channel by channel: groups of few channels, see depthwise.h */
  CONV_WINOGRAD,  /* short convolutions: winograd.c */
} fnn_conv_way;

/* A convolution of x (N, H, W, C) with w (O, KH, KW, C / groups) to y (N, OH, OW, O), as the call has it;
 * in conv_grad_x y is what is given and x what is made. Index 0 of a pair is that of rows, 1 of columns. */
typedef struct {
  fnn_array x, w, bias, y;
  int op, dtype;
  int64_t images, channels, outputs, groups;
  int64_t in[2], out[2], kernel[2], stride[2], pad[2], dilation[2];
  int packed; /* w is what conv_pack made */
  int whole;  /* a kernel as large as the image: fnn_conv_read has folded both to one pixel */
  unsigned ways;
} fnn_conv;

/* Read a call of conv, conv_chain, conv_grad_x or conv_grad_w and check dtypes, shapes and scalars, so that an
 * index that is cut to 0 <= i < in[] is inside x. */
fnn_status fnn_conv_read(const fnn_call *call, fnn_conv *conv, fnn_failure *why);

/* How conv, conv_chain and conv_grad_x compute it. */
fnn_conv_way fnn_conv_choose(const fnn_conv *conv);

/* A length at most, so that no sum of two products of two of them overflows, and elements of anything that
 * fits a memory. */
#define FNN_CONV_MOST ((int64_t)1 << 30)
#define FNN_CONV_LIMIT 0x1p46

/* Elements of what a call of these three makes. */
static inline int64_t fnn_conv_made(const fnn_conv *c) {
  return fnn_size(c->op == FNN_OP_conv_grad_x ? &c->x : &c->y);
}

/* Is it a product of two matrices, pixels by channels: a kernel of one element without stride or padding, of
 * pixels that lie evenly? Then the images can be one row of pixels, which is what flatten makes of them. */
int fnn_conv_is_flat(const fnn_conv *conv);
void fnn_conv_flatten(fnn_conv *conv);

/* A kernel as large as the image is one long vector of weights an output, which the elements of an image are
 * multiplied with: a product of two matrices, again. Whether the last three axes of an array lie evenly, as one
 * of `length` elements with this step, and an array that does with them folded to the last. */
int fnn_conv_even(const fnn_array *a, int64_t *length, int64_t *step);
void fnn_conv_fold(fnn_array *a);

/* CONV_PRODUCT as a call of matmul; a folded conv_grad_w is one, too. Weights (O, 1, 1, C) as its right matrix, (C, O) or for grad_x (O, C). */
fnn_call fnn_conv_product(const fnn_conv *conv);
fnn_array fnn_conv_matrix(const fnn_array *w, int grad_x);

/* Arithmetic of the whole, products with padding counted. */
static inline double fnn_conv_flops(const fnn_conv *c) {
  return 2.0 * (double)c->images * (double)(c->out[0] * c->out[1]) * (double)c->outputs *
         (double)(c->kernel[0] * c->kernel[1]) * (double)(c->channels / c->groups);
}

/* Columns of a panel of packed weights, for so many outputs. */
static inline int64_t fnn_conv_width(int dtype, int64_t outputs) {
  const fnn_kernels *kernels = fnn_kernels_of(dtype);
  return at_most(kernels->gemm.cols, at_least(1, ceil_div(outputs, kernels->lanes))) *
         kernels->lanes;
}

/* Whether what is made has so few channels that its elements had better be dot products: vectors along what is
 * read, sums across lanes at the end (conv_dots.c). Panels of weights are then of one output each. */
int fnn_conv_dots(int dtype, int64_t outputs, int64_t channels, const int64_t kernel[2]);

/* More threads than this are of no use to anybody: what each of them needs is in the workspace so often. */
int64_t fnn_conv_threads(void);

/* --- the chain that a convolution ends with (conv_chain.c) --- */
fnn_status fnn_conv_chain_read(const fnn_call *call, fnn_chain *chain, fnn_failure *why);
void fnn_conv_chain_cost(const fnn_call *call, const fnn_chain *chain, fnn_plan *plan);

/* --- weights packed once (conv_pack.c) --- */
fnn_status fnn_conv_pack_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_conv_pack_run(const fnn_call *call, fnn_team *team);

/* --- direct (conv_direct.c, its shape in conv_shape.c) --- */
fnn_status fnn_conv_direct_plan(const fnn_conv *conv, fnn_plan *plan, fnn_failure *why);
void fnn_conv_direct_run(const fnn_conv *conv, const fnn_chain *chain, fnn_team *team);

/* --- Winograd's short convolutions (winograd.c, winograd_pack.c, winograd_grad_w.c) --- */

/* The side of the tiles with which they are faster than sums over taps, 0 if they are not. Follows from shapes
 * alone. */
int fnn_winograd_tile(const fnn_conv *conv);
void fnn_winograd_plan(const fnn_conv *conv, fnn_plan *plan);
void fnn_winograd_run(const fnn_conv *conv, const fnn_chain *chain, fnn_team *team);
void fnn_winograd_grad_w_plan(const fnn_conv *conv, fnn_plan *plan);
void fnn_winograd_grad_w_run(const fnn_conv *conv, fnn_team *team);

/* The shape of packed weights and its rank, 2, or 0 where they had better stay as they are. */
int fnn_winograd_packs(const fnn_conv *conv, int64_t shape[FNN_MAX_DIMS]);
/* Packing weights alone; returns 0 if `packed` has not the shape of any tiles. */
int fnn_winograd_pack_plan(const fnn_conv *weights, const fnn_array *packed, fnn_plan *plan);
void fnn_winograd_pack_run(const fnn_conv *weights, const fnn_array *packed, fnn_team *team);

#endif
