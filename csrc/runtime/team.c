/* team.c: teams of threads, whichever library starts them: the barrier, failures, the subnormal mode.
 *
 * One team exists at a time in a process. A caller that finds it taken, or that is itself a member, runs
 * its work alone: results are the same at any size, and cores are never oversubscribed. */
#include "team.h"

#include <stdatomic.h>
#include <string.h>
#if !defined(_WIN32)
#include <pthread.h>
#endif

#include "backend.h"
#include "wait.h"

struct fnn_team_shared {
  fnn_team_fn fn;
  const void *arg;
  char *workspace;
  _Alignas(64) atomic_int arrived; /* at the barrier */
  _Alignas(64) fnn_event phase;    /* how often the barrier has opened */
  _Alignas(64) atomic_flag lock;   /* guards the failure */
  atomic_int status;
  int64_t position;
  fnn_failure failure;
};

static atomic_flag team_taken = ATOMIC_FLAG_INIT;
static _Thread_local int inside_team;

#if !defined(_WIN32)
/* A team that another thread was running while the process forked does not exist in the child. */
static void in_child(void) { atomic_flag_clear(&team_taken); }
__attribute__((constructor)) static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }
#endif

/* --- floating point mode: subnormals flush to zero, default rounding, no traps --- */
#if defined(__x86_64__)
#include <xmmintrin.h>
typedef unsigned fp_mode;
#define KERNEL_MODE 0x9fc0u /* the default 0x1f80 with FTZ and DAZ */
static inline fp_mode fp_get(void) { return _mm_getcsr(); }
static inline void fp_set(fp_mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
typedef uint64_t fp_mode;
#define KERNEL_MODE (UINT64_C(1) << 24) /* FZ */
static inline fp_mode fp_get(void) {
  fp_mode mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
static inline void fp_set(fp_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
typedef int fp_mode;
#define KERNEL_MODE 0
static inline fp_mode fp_get(void) { return 0; }
static inline void fp_set(fp_mode mode) { (void)mode; }
#endif

static void run_member(void *context, int id, int size) {
  fnn_team_shared *shared = context;
  fnn_team team = {.id = id, .size = size, .workspace = shared->workspace, .shared = shared};
  fp_mode callers = fp_get();
  fp_set(KERNEL_MODE);
  inside_team++;
  shared->fn(shared->arg, &team);
  inside_team--;
  fp_set(callers);
}

fnn_status fnn_team_run(int threads, fnn_team_fn fn, const void *arg, char *workspace,
                        fnn_failure *why) {
  fnn_team_shared shared = {.fn = fn, .arg = arg, .workspace = workspace, .position = INT64_MAX};
  int parallel = 0;
  if (threads > 1 && !inside_team && !atomic_flag_test_and_set(&team_taken)) {
    parallel = fnn_backend_run(threads, run_member, &shared);
    atomic_flag_clear(&team_taken);
  }
  if (!parallel) run_member(&shared, 0, 1);
  fnn_status status = (fnn_status)atomic_load(&shared.status);
  if (status != FNN_OK) *why = shared.failure;
  return status;
}

void fnn_team_barrier(fnn_team *team) {
  fnn_team_shared *shared = team->shared;
  if (team->size == 1) return;
  unsigned phase = fnn_event_now(&shared->phase);
  if (atomic_fetch_add(&shared->arrived, 1) == team->size - 1) {
    atomic_store(&shared->arrived, 0);
    fnn_event_signal(&shared->phase);
  } else {
    fnn_event_wait(&shared->phase, phase);
  }
}

void fnn_team_fail(fnn_team *team, fnn_status status, int64_t position, const char *message,
                   int64_t seen, int64_t limit) {
  fnn_team_shared *shared = team->shared;
  while (atomic_flag_test_and_set(&shared->lock)) fnn_relax();
  if (position < shared->position || atomic_load(&shared->status) == FNN_OK) {
    shared->position = position;
    shared->failure = (fnn_failure){message, seen, limit};
    atomic_store(&shared->status, status);
  }
  atomic_flag_clear(&shared->lock);
}

int fnn_team_failed(const fnn_team *team) { return atomic_load(&team->shared->status) != FNN_OK; }
