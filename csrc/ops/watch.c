/* watch.c: keeping an eye on a number while recorded steps run without Python. */
#include <math.h>

#include "op.h"

fnn_status fnn_watch_plan(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  const fnn_array *in = &call->arrays[0], *slot = &call->arrays[1], *x = &call->arrays[2],
                  *log = &call->arrays[3];
  if (!fnn_is_real(x->dtype) || log->dtype != x->dtype || in->dtype != x->dtype)
    return fnn_fail(why, FNN_ERR_DTYPE, "the number and the log must be float32 or float64, alike");
  if (slot->dtype != FNN_I64) return fnn_fail(why, FNN_ERR_DTYPE, "the slot must be int64");
  if (fnn_size(x) != 1 || fnn_size(slot) != 1)
    return fnn_fail(why, FNN_ERR_SHAPE, "the number and the slot must be one element");
  if (log->ndim != 1 || !fnn_contiguous(log))
    return fnn_fail(why, FNN_ERR_SHAPE, "the log must be contiguous and have one dimension");
  if (in->data != log->data || !fnn_same_shape(in, log))
    return fnn_fail(why, FNN_ERR_VALUE,
                    "the log is written in place: the same array on both sides");
  plan->may_fail = 1;
  return FNN_OK;
}

/* log_value(finite): log[slot] = x. With `finite` a NaN or an infinity is logged too, and then ends the run
 * of calls, so that nothing is computed from it. */
void fnn_watch_run(const fnn_call *call, fnn_team *team) {
  const fnn_array *x = &call->arrays[2], *log = &call->arrays[3];
  int64_t slot = *(const int64_t *)call->arrays[1].data;
  if (team->id != 0) return;
  if (slot < 0 || slot >= log->shape[0]) {
    fnn_team_fail(team, FNN_ERR_VALUE, 0, "slot {seen} of a log of {limit} numbers", slot,
                  log->shape[0]);
    return;
  }
  double value = x->dtype == FNN_F32 ? *(const float *)x->data : *(const double *)x->data;
  if (x->dtype == FNN_F32)
    ((float *)log->data)[slot] = (float)value;
  else
    ((double *)log->data)[slot] = value;
  if (call->scalars[0].i && !isfinite(value))
    fnn_team_fail(team, FNN_ERR_VALUE, 0, "the number in slot {seen} is not finite", slot, 0);
}
