/* launch.c: from a call to its family's plan and run, and the number of threads that it is worth. */
#include <stdatomic.h>

#include "../ops/op.h"
#include "dispatch.h"

typedef struct {
  fnn_op_info info;
  fnn_plan_fn plan;
  fnn_run_fn run;
} op_row;

static const op_row rows[FNN_OPS] = {
#define OP(name, family, arrays, scalars) \
  [FNN_OP_##name] = {{#name, #family, arrays, scalars}, fnn_##family##_plan, fnn_##family##_run},
#include "../ops.def"
#undef OP
};

const fnn_op_info *fnn_op(int op) { return op >= 0 && op < FNN_OPS ? &rows[op].info : NULL; }

/* The arrays of a row: bit i is set when array i must be there; bits from 16 up hold their number.
 * Worked out from the row's text at the first call of each op. */
static unsigned arrays_of(int op) {
  static atomic_uint known[FNN_OPS];
  unsigned arrays = atomic_load_explicit(&known[op], memory_order_relaxed);
  if (arrays) return arrays;
  unsigned count = 0;
  for (const char *p = rows[op].info.arrays; *p;) {
    const char *word = p;
    int optional = 0;
    while (*p && *p != ' ') optional |= *p++ == '?';
    if (p != word && word[0] != '-') {
      arrays |= (unsigned)!optional << count;
      count++;
    }
    while (*p == ' ') p++;
  }
  arrays |= count << 16;
  atomic_store_explicit(&known[op], arrays, memory_order_relaxed);
  return arrays;
}

fnn_run_fn fnn_op_run(int op) { return rows[op].run; }

int fnn_op_inputs(int op) {
  int inputs = 0;
  for (const char *p = rows[op].info.arrays; *p && *p != '-'; p++) inputs += *p == ' ';
  return inputs;
}

static fnn_status fail(fnn_failure *why, fnn_status status, const char *message, int64_t seen,
                       int64_t limit) {
  why->message = message;
  why->seen = seen;
  why->limit = limit;
  return status;
}

fnn_status fnn_plan_call(const fnn_call *call, fnn_plan *plan, fnn_failure *why) {
  *plan = (fnn_plan){.tasks = 1};
  *why = (fnn_failure){0};
  if (call->op < 0 || call->op >= FNN_OPS)
    return fail(why, FNN_ERR_VALUE, "no op has number {seen}", call->op, FNN_OPS);
  unsigned arrays = arrays_of(call->op), count = arrays >> 16;
  if (call->n_arrays != (int32_t)count)
    return fail(why, FNN_ERR_VALUE, "{seen} arrays where {limit} are expected", call->n_arrays,
                count);
  for (int i = 0; i < call->n_arrays; i++) {
    const fnn_array *a = &call->arrays[i];
    if (!fnn_present(a)) {
      if (arrays >> i & 1)
        return fail(why, FNN_ERR_VALUE, "array {seen} of {limit} may not be absent", i, count);
      continue;
    }
    if (a->ndim < 0 || a->ndim > FNN_MAX_DIMS)
      return fail(why, FNN_ERR_SHAPE,
                  "an array has {seen} dimensions, at most {limit} are possible", a->ndim,
                  FNN_MAX_DIMS);
    if (a->dtype < 0 || a->dtype >= FNN_DTYPES)
      return fail(why, FNN_ERR_DTYPE, "an array has the unknown element type {seen}", a->dtype,
                  FNN_DTYPES);
  }
  fnn_status status = rows[call->op].plan(call, plan, why);
  if (plan->bytes == 0) { /* a small one, which leaves it to us */
    for (int i = 0; i < call->n_arrays; i++)
      if (fnn_present(&call->arrays[i])) plan->bytes += fnn_bytes(&call->arrays[i]);
  }
  return status;
}

/* About how long a call takes on one thread, in ns: some 100 flops or 100 bytes a ns, as of data in L2. */
double fnn_serial_time(const fnn_plan *plan) {
  return (plan->flops > plan->bytes ? plan->flops : plan->bytes) / 100;
}

int fnn_threads_for(const fnn_plan *plan, double least, int most) {
  double time = fnn_serial_time(plan);
  if (time < 2 * least || plan->tasks < 2) return 1;
  int64_t threads = time / least < most ? (int64_t)(time / least) : most;
  return (int)(threads < plan->tasks ? threads : plan->tasks);
}

/* What a thread should have to do in a launch, in ns. Measured with a second thread that is awake: a launch
 * of 4 us took 5 with it, one of 8 us 5. */
enum { WORTH_A_START = 4000 };

static void member(const void *arg, fnn_team *team) {
  const fnn_call *call = arg;
  rows[call->op].run(call, team);
}

fnn_status fnn_launch(const fnn_call *call, fnn_failure *why) {
  fnn_plan plan;
  fnn_status status = fnn_plan_call(call, &plan, why);
  if (status != FNN_OK) return status;
  char *workspace = NULL;
  if (plan.workspace > 0) {
    workspace = fnn_alloc(plan.workspace);
    if (!workspace)
      return fail(why, FNN_ERR_MEMORY, "no memory for {seen} bytes of workspace", plan.workspace,
                  0);
  }
  int64_t patience = fnn_patience(fnn_serial_time(&plan));
  int threads = fnn_threads_for(&plan, WORTH_A_START, fnn_threads());
  status = fnn_team_run(threads, patience, member, call, workspace, why);
  if (workspace) fnn_free(workspace, plan.workspace);
  return status;
}
