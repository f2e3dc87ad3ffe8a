/* op.h: what a family of ops provides, and what it may use. */
#ifndef FNN_OPS_OP_H
#define FNN_OPS_OP_H

#include "../fastnn.h"
#include "../kernels/table.h"
#include "../runtime/team.h"

/* Each family named in ops.def has these two functions:
 *   fnn_<family>_plan  checks dtypes, ranks and shapes (a call that passes cannot make run touch memory
 *                      outside its arrays) and fills the plan, which comes in zeroed with tasks 1.
 *   fnn_<family>_run   does the work, called by every thread of the team. */
typedef fnn_status (*fnn_plan_fn)(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
typedef void (*fnn_run_fn)(const fnn_call *call, fnn_team *team);

#define FNN_FAMILY(family)                                                                \
  fnn_status fnn_##family##_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why); \
  void fnn_##family##_run(const fnn_call *call, fnn_team *team);
#include "families.def"
#undef FNN_FAMILY

/* The kernels of the chosen ISA for a real type (FNN_F32 or FNN_F64). */
const fnn_kernels *fnn_kernels_of(int dtype);

static inline int64_t fnn_itemsize(int dtype) {
  static const uint8_t size[FNN_DTYPES] = {4, 8, 8, 4, 1, 1};
  return size[dtype];
}

static inline int fnn_is_real(int dtype) { return dtype == FNN_F32 || dtype == FNN_F64; }

static inline int fnn_present(const fnn_array *a) { return a->data != NULL || a->ndim >= 0; }

static inline int64_t fnn_size(const fnn_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->ndim; i++) n *= a->shape[i];
  return n;
}

/* The bytes of the elements that an array has: one that is repeated by a stride of 0 is there once. */
static inline double fnn_bytes(const fnn_array *a) {
  double n = fnn_itemsize(a->dtype);
  for (int i = 0; i < a->ndim; i++)
    if (a->stride[i] != 0 || a->shape[i] == 0) n *= (double)a->shape[i];
  return n;
}

static inline int fnn_same_shape(const fnn_array *a, const fnn_array *b) {
  if (a->ndim != b->ndim) return 0;
  for (int i = 0; i < a->ndim; i++)
    if (a->shape[i] != b->shape[i]) return 0;
  return 1;
}

/* True when a's elements lie one after another in row-major order (dimensions of length 1 do not count). */
static inline int fnn_contiguous(const fnn_array *a) {
  int64_t expect = 1;
  if (fnn_size(a) == 0) return 1;
  for (int i = a->ndim - 1; i >= 0; i--) {
    if (a->shape[i] != 1 && a->stride[i] != expect) return 0;
    expect *= a->shape[i];
  }
  return 1;
}

/* The status, with its sentence put into why. */
static inline fnn_status fnn_fail(fnn_failure *why, fnn_status status, const char *message) {
  why->message = message;
  return status;
}

#endif
