/* team.c: teams of threads: who is in, the barrier, failures, the subnormal mode.
 *
 * Workers wait for a job to be posted, spinning briefly, then asleep. The caller posts one, waits a little
 * for workers to join, closes the gate and works with those that came, be it nobody: results are the same
 * at any size, so a worker that is asleep, or that another library's thread keeps from running, costs
 * its share of the speed and not a wait.
 *
 * One team exists at a time in a process. A caller that finds it taken, or that is itself a member, runs
 * its work alone: cores are not oversubscribed. */
#include "team.h"

#include <stdatomic.h>
#include <string.h>
#if !defined(_WIN32)
#include <pthread.h>
#endif

#include "backend.h"
#include "placement.h"
#include "wait.h"

typedef struct {
  fnn_team_fn fn;
  const void *arg;
  char *workspace;
  atomic_int size;       /* of the team, 0 until the gate is closed */
  atomic_int unfinished; /* workers that joined and are not done */
  fnn_meeting meeting;
} team_job;

/* The gate: a flag, how many workers may pass, how many have. */
#define GATE_OPEN 0x80000000u
#define GATE_WANTED(gate) ((gate) >> 16 & 0x7fffu)
#define GATE_JOINED(gate) ((gate) & 0xffffu)

static atomic_flag team_taken = ATOMIC_FLAG_INIT;
static _Alignas(64) fnn_event posted;
static _Alignas(64) atomic_uint gate;
static _Alignas(64) fnn_event finished;
static team_job *posted_job;      /* read by those that joined */
static _Atomic int64_t posted_at; /* in fnn_nanoseconds */
static int workers;               /* started so far */
static int absent;                /* not all that the last job wanted came */
static unsigned jobs;
static _Thread_local int inside_team;

#if !defined(_WIN32)
/* The threads of a team do not exist in a child, nor does the caller that had taken it. */
static void in_child(void) {
  fnn_place_none();
  workers = absent = 0;
  atomic_store(&gate, 0);
  atomic_store(&posted.sleepers, 0);
  atomic_store(&finished.sleepers, 0);
  atomic_flag_clear(&team_taken);
}
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

static void run_member(team_job *job, int id, int size) {
  fnn_team team = {.id = id, .size = size, .workspace = job->workspace, .meeting = &job->meeting};
  fp_mode callers = fp_get();
  fp_set(KERNEL_MODE);
  inside_team++;
  job->fn(job->arg, &team);
  inside_team--;
  fp_set(callers);
}

/* Pass the gate. Returns the member's number, 0 when it is closed or enough have passed. */
static int join(void) {
  unsigned now = atomic_load(&gate);
  do {
    if (!(now & GATE_OPEN) || GATE_JOINED(now) == GATE_WANTED(now)) return 0;
  } while (!atomic_compare_exchange_weak(&gate, &now, now + 1));
  return (int)GATE_JOINED(now) + 1;
}

/* How long a worker without a job stays awake: LONG while jobs keep coming within that time, which saves
 * the 10 to 50 us of a wake, else SHORT, as whoever has the turn wants this core. After a wait in vain it
 * takes some short gaps in a row to believe in LONG again, and each time more. */
enum { LONG = 60000, SHORT = 2000, FEW = 8, MANY = 256 };
typedef struct {
  int64_t awake;
  int short_gaps, needed;
} idle_habit;

static void learn(idle_habit *habit, int64_t gap) {
  if (gap <= LONG) {
    if (++habit->short_gaps >= habit->needed) habit->awake = LONG;
    if (habit->short_gaps >= MANY) habit->needed = FEW;
  } else {
    if (habit->awake == LONG && habit->needed < MANY) habit->needed *= 2;
    habit->awake = SHORT;
    habit->short_gaps = 0;
  }
}

static void work(void) {
  idle_habit habit = {.awake = LONG, .needed = FEW};
  int64_t idle_since = fnn_nanoseconds();
  fnn_prompt_thread();
  fnn_place_worker();
  for (unsigned seen = 0;;) {
    int id = join(), size;
    if (!id) {
      fnn_event_wait(&posted, seen, habit.awake);
      seen = fnn_event_now(&posted);
      learn(&habit, atomic_load(&posted_at) - idle_since);
      idle_since = fnn_nanoseconds();
      continue;
    }
    team_job *job = posted_job;
    while (!(size = atomic_load(&job->size))) fnn_relax();
    run_member(job, id, size);
    if (atomic_fetch_sub(&job->unfinished, 1) == 1) fnn_event_signal(&finished, 1);
    idle_since = fnn_nanoseconds();
  }
}

/* Open the gate for `wanted` workers and close it when they are in or patience ends. Returns how many. */
static int assemble(team_job *job, int wanted, int64_t patience) {
  posted_job = job;
  fnn_place_caller();
  atomic_store(&gate, GATE_OPEN | (unsigned)wanted << 16);
  atomic_store(&posted_at, fnn_nanoseconds());
  fnn_event_signal(&posted, wanted);
  if (absent && jobs++ % 32) patience /= 8; /* now and then with full patience */
  int64_t until = 0;
  for (int turn = 1; (int)GATE_JOINED(atomic_load(&gate)) < wanted; turn++) {
    fnn_relax();
    if (turn % 8) continue;
    int64_t now = fnn_nanoseconds();
    if (!until) until = now + patience;
    if (now > until) break;
  }
  int joined = (int)GATE_JOINED(atomic_fetch_and(&gate, ~GATE_OPEN));
  absent = joined < wanted;
  return joined;
}

fnn_status fnn_team_run(int threads, int64_t patience, fnn_team_fn fn, const void *arg,
                        char *workspace, fnn_failure *why) {
  team_job job = {.fn = fn, .arg = arg, .workspace = workspace};
  fnn_meeting_reset(&job.meeting, LONG);
  if (threads > FNN_MOST_THREADS) threads = FNN_MOST_THREADS;
  if (threads > 1 && !inside_team && !fnn_backend_nested() &&
      !atomic_flag_test_and_set(&team_taken)) {
    if (workers < threads - 1) workers += fnn_backend_start(threads - 1 - workers, work);
    static int cores;
    if (!cores) cores = fnn_cores();
    unsigned before = fnn_event_now(&finished);
    int wanted = workers < threads - 1 ? workers : threads - 1;
    int joined = wanted ? assemble(&job, wanted, patience) : 0;
    if (joined >= cores) job.meeting.awake = 0;
    atomic_store(&job.unfinished, joined);
    atomic_store(&job.size, joined + 1);
    run_member(&job, 0, joined + 1);
    if (joined) fnn_event_wait(&finished, before, LONG);
    atomic_flag_clear(&team_taken);
  } else {
    run_member(&job, 0, 1);
  }
  return fnn_meeting_status(&job.meeting, why);
}

/* --- meetings --- */

void fnn_meeting_reset(fnn_meeting *meeting, int64_t awake) {
  memset(meeting, 0, sizeof *meeting);
  meeting->awake = awake;
  meeting->position = INT64_MAX;
}

fnn_status fnn_meeting_status(const fnn_meeting *meeting, fnn_failure *why) {
  fnn_status status = (fnn_status)atomic_load(&meeting->status);
  if (status != FNN_OK) *why = meeting->failure;
  return status;
}

void fnn_team_barrier(fnn_team *team) {
  fnn_meeting *meeting = team->meeting;
  if (team->size == 1) return;
  unsigned phase = fnn_event_now(&meeting->phase);
  if (atomic_fetch_add(&meeting->arrived, 1) == team->size - 1) {
    atomic_store(&meeting->arrived, 0);
    fnn_event_signal(&meeting->phase, team->size);
  } else {
    fnn_event_wait(&meeting->phase, phase, meeting->awake);
  }
}

void fnn_team_fail(fnn_team *team, fnn_status status, int64_t position, const char *message,
                   int64_t seen, int64_t limit) {
  fnn_meeting *meeting = team->meeting;
  while (atomic_flag_test_and_set(&meeting->lock)) fnn_relax();
  if (position < meeting->position || atomic_load(&meeting->status) == FNN_OK) {
    meeting->position = position;
    meeting->failure = (fnn_failure){message, seen, limit};
    atomic_store(&meeting->status, status);
  }
  atomic_flag_clear(&meeting->lock);
}

int fnn_team_failed(const fnn_team *team) { return atomic_load(&team->meeting->status) != FNN_OK; }
