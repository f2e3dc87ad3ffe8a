/* fastnn.h: the C library's public interface, all that a binding sees.
 *
 * An op is called with a fnn_call: an op number, its arrays (inputs, then outputs) and its scalars.
 * fnn_launch checks the call, chooses the number of threads from its cost and runs it to the end.
 * Nothing here knows of Python, prints, exits or keeps a pointer after it returns. */
#ifndef FASTNN_H
#define FASTNN_H

#include <stddef.h>
#include <stdint.h>

#define FNN_MAX_DIMS 8
#define FNN_MAX_ARRAYS 13
#define FNN_MAX_SCALARS 12

typedef enum { FNN_F32, FNN_F64, FNN_I64, FNN_I32, FNN_U8, FNN_BOOL, FNN_DTYPES } fnn_dtype;

typedef enum {
  FNN_OK,
  FNN_ERR_DTYPE,  /* an array's element type is not one the op takes */
  FNN_ERR_SHAPE,  /* shapes do not fit together */
  FNN_ERR_VALUE,  /* a scalar or an element is out of its range (labels) */
  FNN_ERR_MEMORY, /* no memory for the workspace */
  FNN_ERR_INDEX,  /* an index is out of range */
} fnn_status;

/* A view of memory. Strides count elements and may be 0 (broadcast) or negative; data points at the
 * element of index 0 and is aligned for its type. An optional array that is absent has data NULL and
 * ndim -1. The element of a FNN_BOOL is one byte, 0 or 1. */
typedef struct {
  void *data;
  int64_t shape[FNN_MAX_DIMS];
  int64_t stride[FNN_MAX_DIMS];
  int32_t ndim;
  int32_t dtype;
} fnn_array;

typedef union {
  double f;
  int64_t i;
} fnn_scalar;

typedef struct {
  int32_t op;
  int32_t n_arrays;
  fnn_array arrays[FNN_MAX_ARRAYS];
  fnn_scalar scalars[FNN_MAX_SCALARS];
} fnn_call;

/* Why a call failed: a static sentence, and up to two numbers that it speaks of. */
typedef struct {
  const char *message;
  int64_t seen, limit;
} fnn_failure;

/* What a call costs, known from its shapes alone. */
typedef struct {
  int64_t workspace; /* bytes of scratch, shared by the team, 64-byte aligned */
  int64_t tasks;     /* more threads than this are of no use */
  double flops;      /* arithmetic, a fused multiply-add counts two */
  double bytes;      /* memory read and written, each element once */
  int may_fail;      /* whether the data can make it fail: an index out of range */
} fnn_plan;

/* One row of ops.def. */
typedef struct {
  const char *name;    /* "layer_norm" */
  const char *family;  /* the shape family that runs it: "map", "reduce", "gemm" ... */
  const char *arrays;  /* "x weight? -> y mean": a question mark is optional */
  const char *scalars; /* "eps:f axis:i" */
} fnn_op_info;

enum {
#define OP(name, family, arrays, scalars) FNN_OP_##name,
#include "ops.def"
#undef OP
  FNN_OPS
};

const fnn_op_info *fnn_op(int op);

/* Check a call and tell its cost. */
fnn_status fnn_plan_call(const fnn_call *call, fnn_plan *plan, fnn_failure *why);

/* Check and run a call. Its outputs are untouched when the status is not FNN_OK. */
fnn_status fnn_launch(const fnn_call *call, fnn_failure *why);

/* The number of elements of gemm_pack's result with which a matmul (a call that fnn_plan_call accepts) does
 * better in place of its b, 0 where it would not: see gemm_pack. Its result has the same bits. */
int64_t fnn_gemm_packs(const fnn_call *matmul);

/* The same for conv, conv_chain and conv_grad_x and their w: the rank of conv_pack's result, 0 where w had
 * better stay as it is, and its shape. */
int fnn_conv_packs(const fnn_call *conv, int64_t shape[FNN_MAX_DIMS]);

/* --- programs: calls recorded once and replayed in C, all in one parallel region ---
 *
 * Threads meet only where one call needs what another wrote. A call that is too small for two threads is run
 * by thread 0; a program in which all are never starts a second one. */
typedef struct fnn_program fnn_program;

/* How one call of a program runs. */
typedef struct {
  fnn_plan plan;
  int threads;
  int meets; /* whether the threads meet before it */
} fnn_program_step;

/* Check n calls and ready them to run in order. The calls are copied; the memory that they speak of must
 * live as long as the program. On failure *program is NULL and *at tells the call. */
fnn_status fnn_program_new(const fnn_call *calls, int64_t n, fnn_program **program, int64_t *at,
                           fnn_failure *why);
void fnn_program_free(fnn_program *program);

/* Run the calls `repeats` times, or fewer when `seconds` (0: no limit) have passed at the end of one; *done
 * tells how often. A call that fails ends the run: what came before it was done, it and what follows was
 * not; *at tells the call. One thread at a time may run a program. */
fnn_status fnn_program_run(fnn_program *program, int64_t repeats, double seconds, int64_t *done,
                           int64_t *at, fnn_failure *why);

/* About how long one repetition takes on one thread, in nanoseconds. */
double fnn_program_expected(const fnn_program *program);

/* Bytes of scratch that the calls share. */
int64_t fnn_program_workspace(const fnn_program *program);

/* Number of calls, and how the i-th runs. */
int64_t fnn_program_size(const fnn_program *program);
fnn_program_step fnn_program_step_at(const fnn_program *program, int64_t i);

/* --- running a program on other memory ---
 *
 * A piece is memory that calls of a program touch, all of an array. For a run it may lie elsewhere, where
 * each array in it begins as many bytes from its beginning as ever. */
typedef struct fnn_loans fnn_loans;

/* For n pieces of so many bytes, of which no two overlap. NULL when there is no memory. The program must live
 * as long. */
fnn_loans *fnn_loans_new(fnn_program *program, void *const *memory, const int64_t *bytes,
                         int64_t n);
void fnn_loans_free(fnn_loans *loans);

/* Whether a call writes the i-th piece. */
int fnn_loan_written(const fnn_loans *loans, int64_t i);
/* Whether memory has a byte in common with a piece or with what a call writes: what is only read may be put
 * anywhere else. */
int fnn_loan_taken(const fnn_loans *loans, const void *memory, int64_t bytes);
/* Put the i-th piece there, until all pieces return to their own memory. Not while the program runs. */
void fnn_loan_move(fnn_loans *loans, int64_t i, void *memory);
void fnn_loans_return(fnn_loans *loans);

/* --- timing a program: a look at the clock where a call or a wait ends; nothing when it is off --- */

/* When a thread ran call `call`, in nanoseconds of a steady clock. */
typedef struct {
  int64_t call, begin, end;
} fnn_stamp;

/* Sums over all runs since the timing began, in nanoseconds. */
typedef struct {
  int64_t repeats; /* of the program */
  int64_t inside;  /* fnn_program_run from end to end */
  int64_t threads; /* those that may have taken part */
} fnn_times;

/* Begin anew, with room for the latest `stamps` (0 or more) of each thread, or end with stamps < 0. Not
 * while the program runs. Returns 0 when there is no memory. */
int fnn_program_time(fnn_program *program, int64_t stamps);
fnn_times fnn_program_times(const fnn_program *program); /* zeros when it is off */

/* What one thread spent in each call, and waited before each and, the last, at the end of a repetition:
 * size and size + 1 numbers. */
const int64_t *fnn_program_busy(const fnn_program *program, int64_t thread);
const int64_t *fnn_program_waiting(const fnn_program *program, int64_t thread);
/* The i-th of the *n stamps of a thread that are kept, the oldest first. */
fnn_stamp fnn_program_stamp(const fnn_program *program, int64_t thread, int64_t i, int64_t *n);

/* --- measuring the machine: what the speed of a call is held against --- */
typedef enum {
  FNN_PROBE_FMA,    /* rounds of fnn_probe_flops(dtype) operations in registers, each thread */
  FNN_PROBE_READ,   /* rounds of passes of each thread over its own `bytes` bytes: loads, */
  FNN_PROBE_WRITE,  /* stores, */
  FNN_PROBE_UPDATE, /* loads and stores of the same, */
  FNN_PROBE_TRIAD,  /* or y = a + s b in three parts */
  FNN_PROBE_MEET,   /* rounds of meetings of all threads */
  FNN_PROBE_START,  /* rounds of starting a team that has nothing to do */
} fnn_probe;

/* Seconds that `rounds` rounds took a team, besides one to warm up, until its last thread was done. `dtype`
 * is a real one; memory has threads * bytes bytes, aligned to 64. *threads becomes the number that came. */
double fnn_probe_seconds(fnn_probe what, int dtype, int *threads, void *memory, int64_t bytes,
                         int64_t rounds);
int fnn_probe_flops(int dtype);

/* --- runtime --- */

/* Choose the kernels: name is "portable", "avx2", "avx512", "neon", or NULL for the best that this CPU
 * has. Returns 0, -1 for a name that was not compiled in, -2 for one that the CPU lacks. Not thread-safe:
 * call it before the first launch (tests call it between launches). */
int fnn_isa_select(const char *name);
const char *fnn_isa_name(void); /* the one chosen */
int fnn_isa_compiled(int i, const char **name,
                     int *supported); /* i-th compiled ISA; 0 past the last */
const char *fnn_cpu_name(void);
const char *fnn_compiler(void);

/* Threads: the count that launches may use, and why it is what it is ("OMP_NUM_THREADS=4", ...). */
int fnn_threads(void);
void fnn_set_threads(int n); /* n >= 1 */
const char *fnn_threads_reason(void);
const char *fnn_threads_backend(void); /* "openmp" or "pthread" */
int fnn_cores(void);

/* Memory for arrays: 64-byte aligned, kept in a pool of sizes so that a step allocates nothing after
 * the first. NULL when there is none. Thread-safe. */
void *fnn_alloc(int64_t bytes);
void fnn_free(void *memory, int64_t bytes);
void fnn_alloc_trim(void); /* give the pool's idle memory back */
int64_t fnn_alloc_in_use(void);

#endif
