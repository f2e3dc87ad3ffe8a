/* gemm.h: the kernels of the gemm family, one struct a real type.
 *
 * A tile kernel computes a small block of C with its sums in registers. The block is rows x (cols vectors);
 * there is one function for each number of rows and vectors, so that an edge costs what it computes. What
 * is beyond the edge of C in the last vector is neither read nor written. ops/gemm.c cuts C into tiles. */
#ifndef FNN_KERNELS_GEMM_H
#define FNN_KERNELS_GEMM_H

#include <stdint.h>

/* Where a further part of a sum begins, in elements from a and b: see taps. */
typedef struct {
  int64_t a, b;
} fnn_gemm_tap;

/* c[i][j] = sum over p of a[i * a_row + p * a_step] * b[p * b_step + j], plus add[i * add_row + j] when
 * add is not NULL; add may be c itself. Sums run over p in order, starting from 0, whatever the tile.
 * Strides count elements; j < (cols - 1) * lanes + last.
 * With taps > 0 the sum runs on over as many parts of k steps each, part t at a + tap[t].a and b + tap[t].b:
 * the rows of a convolution's kernel, say. `packed` knows nothing of taps.
 * A dot kernel reads rows of K: a[i * a_row + p] and b[j * b_step + p], with j < cols. */
typedef struct {
  int64_t k;
  const void *a, *b, *add;
  void *c;
  int64_t a_row, a_step, b_step, c_row, add_row;
  const void
      *next; /* memory that will be wanted soon: next_step bytes of it are prefetched at each p */
  int64_t next_step;
  int64_t last; /* elements in the last vector of a row, 1 to lanes */
  int64_t taps; /* 0: one part, at a and b */
  const fnn_gemm_tap *tap;
} fnn_gemm_tile;

typedef void (*fnn_gemm_kernel)(const fnn_gemm_tile *tile);

typedef struct {
  int rows, cols;           /* the largest tile of `packed`; `direct` has as many columns, */
  int direct_rows;          /* and at least as many rows, */
  int single_rows;          /* more of one vector */
  int wide_rows, wide_cols; /* of `wide` */
  int triple_rows;          /* of `triple`, which has three vectors */
  int dot_rows, dot_cols;   /* of `dot`, whose columns are single elements */
  int dot_wide_cols;        /* of `dot_wide`, which has one row */
  /* Tables by [(rows - 1) * largest_cols + cols - 1]. */
  const fnn_gemm_kernel
      *packed; /* a from a panel (a_row is 1); b from a panel, read to the vector's end */
  const fnn_gemm_kernel
      *direct;                 /* a with any strides, b's rows of unit stride anywhere in memory */
  const fnn_gemm_kernel *wide; /* as direct, for few rows */
  const fnn_gemm_kernel *triple; /* as wide, of three vectors, with more rows; by rows - 1 */
  const fnn_gemm_kernel *dot;    /* both with unit stride along k */
  const fnn_gemm_kernel *dot_wide;
  /* ceil(n / width) panels one after another, of width * k elements each; in the first of them
   * dst[p * width + i] = src[i * stride_i + p * stride_p]. What is beyond n in the last panel's rows is
   * some other number of src, or is not written to at all if a whole vector of it is beyond. */
  void (*pack)(int64_t width, int64_t n, int64_t k, const void *src, int64_t stride_i,
               int64_t stride_p, void *dst);
} fnn_gemm_kernels;

#define FNN_GEMM_KERNELS(real)          \
  {.rows = GEMM_ROWS,                   \
   .cols = GEMM_COLS,                   \
   .direct_rows = GEMM_DIRECT_ROWS,     \
   .single_rows = GEMM_SINGLE_ROWS,     \
   .wide_rows = GEMM_WIDE_ROWS,         \
   .wide_cols = GEMM_WIDE_COLS,         \
   .triple_rows = GEMM_TRIPLE_ROWS,     \
   .dot_rows = GEMM_DOT_ROWS,           \
   .dot_cols = GEMM_DOT_COLS,           \
   .dot_wide_cols = GEMM_DOT_WIDE_COLS, \
   .packed = gemm_packed_##real,        \
   .direct = gemm_direct_##real,        \
   .wide = gemm_wide_##real,            \
   .triple = gemm_triple_##real,        \
   .dot = gemm_dot_##real,              \
   .dot_wide = gemm_dot_wide_##real,    \
   .pack = gemm_pack_##real}

#endif
