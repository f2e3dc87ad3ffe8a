/* norm.h: what layer and batch normalisation share, and the batch half of the norm family. */
#ifndef FNN_OPS_NORM_H
#define FNN_OPS_NORM_H

#include "lines.h"

static inline int64_t fnn_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t fnn_smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline void *fnn_data(const fnn_array *a) { return fnn_present(a) ? a->data : NULL; }
/* Element i of an array that may be absent. */
static inline char *fnn_at(const fnn_array *a, int64_t i) {
  return fnn_present(a) ? (char *)a->data + i * fnn_itemsize(a->dtype) : NULL;
}

fnn_status fnn_batch_norm_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why);
void fnn_batch_norm_run(const fnn_call *call, fnn_team *team);

#endif
