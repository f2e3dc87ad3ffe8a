/* team.c: teams of threads: who is in, the barrier, failures, the subnormal mode.
 *
 * Workers wait for a job to be posted, spinning briefly, then asleep. The caller posts one, waits a little
 * for workers to join, closes the gate and works with those that came, be it nobody: results are the same
 * at any size, so a worker that is asleep, or that another library's thread keeps from running, costs
 * its share of the speed and not a wait. Work of many steps does not wait at all: the gate stays open and
 * whoever comes joins at the next step.
 *
 * One team exists at a time in a process. A caller that finds it taken, or that is itself a member, runs
 * its work alone, and callers at the same time share the cores: they are not oversubscribed. */
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
  fnn_event entry; /* signalled when size has changed */
  atomic_int size; /* of the team: members below it may begin; LEAVE: those that wait may not */
  /* Workers that joined and are not done; until the gate is closed, less those that joined. */
  atomic_int unfinished;
  fnn_meeting meeting;
} team_job;
enum { LEAVE = -1 };

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
static atomic_int callers; /* at work that is long or for several threads */
static _Thread_local int inside_team;

#if !defined(_WIN32)
/* The threads of a team do not exist in a child, nor does the caller that had taken it. */
static void in_child(void) {
  fnn_place_none();
  workers = absent = 0;
  atomic_store(&gate, 0);
  atomic_store(&callers, 0);
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

static void run_member(team_job *job, int id, int size, int joining) {
  fnn_team team = {.id = id,
                   .size = size,
                   .workspace = job->workspace,
                   .meeting = &job->meeting,
                   .job = joining ? job : NULL};
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
 * the 10 to 50 us of a wake, else SHORT, as whoever has the turn wants this core:
 * a loop in Python that predicts row after row comes back within that. After a wait in vain it
 * takes some short gaps in a row to believe in LONG again, and each time more. */
enum { LONG = 60000, SHORT = 6000, FEW = 8, MANY = 256 };
/* Work this much worth waiting for is brief, and seldom when it comes this much later than the last, in ns. */
enum { BRIEF = 15000, SELDOM = 2 * LONG };
/* From this patience on, in ns, a wait is a small part of the work. */
enum { LENIENT = 500000 };
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

/* Wait to be admitted. Returns the size of the team then, or LEAVE. */
static int admitted(team_job *job, int id) {
  for (;;) {
    unsigned seen = fnn_event_now(&job->entry);
    int size = atomic_load(&job->size);
    if (size > id || size == LEAVE) return size;
    fnn_event_wait(&job->entry, seen, LONG);
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
    if ((size = admitted(job, id)) != LEAVE) run_member(job, id, size, 0);
    if (atomic_fetch_sub(&job->unfinished, 1) == 1) fnn_event_signal(&finished, 1);
    idle_since = fnn_nanoseconds();
  }
}

static int cores(void) {
  static atomic_int known;
  if (!atomic_load(&known)) atomic_store(&known, fnn_cores());
  return atomic_load(&known);
}

/* Workers that have passed the gate, after a wait of up to `patience` ns for the number to reach `enough`. */
static int joined_after(int64_t patience, int enough) {
  int64_t until = 0;
  for (int turn = 1;; turn++) {
    int joined = (int)GATE_JOINED(atomic_load(&gate));
    if (joined >= enough || !patience) return joined;
    fnn_relax();
    if (turn % 8) continue;
    int64_t now = fnn_nanoseconds();
    if (!until) until = now + patience;
    if (now > until) return joined;
  }
}

/* Call up to `wanted` workers, starting what is missing. Returns how many are called.
 *
 * Waking a worker costs the caller some 5 us and brings it 10 to 50 us later: for `brief` work that comes
 * seldom, as one prediction now and then, it is let sleep. */
static int call_workers(team_job *job, int wanted, int brief) {
  if (workers < wanted) workers += fnn_backend_start(wanted - workers, work);
  if (workers < wanted) wanted = workers;
  if (!wanted) return 0;
  int64_t now = fnn_nanoseconds(), before = atomic_exchange(&posted_at, now);
  if (brief && now - before > SELDOM && atomic_load(&posted.sleepers)) return 0;
  posted_job = job;
  fnn_place_caller();
  atomic_store(&gate, GATE_OPEN | (unsigned)wanted << 16);
  fnn_event_signal(&posted, wanted);
  return wanted;
}

static int close_gate(void) { return (int)GATE_JOINED(atomic_fetch_and(&gate, ~GATE_OPEN)); }

static void set_size(team_job *job, int size) {
  atomic_store(&job->size, size);
  fnn_event_signal(&job->entry, FNN_MOST_THREADS);
}

/* Wait until those that joined are done. `before`: of the event, from before they could be. */
static void see_off(team_job *job, int joined, unsigned before) {
  if (atomic_fetch_add(&job->unfinished, joined) + joined > 0)
    fnn_event_wait(&finished, before, LONG);
}

/* A job on the team, which is the caller's: with those that come within `patience` ns. */
static void run_together(team_job *job, int threads, int64_t patience) {
  unsigned before = fnn_event_now(&finished);
  int joined = 0, called = call_workers(job, threads - 1, patience < BRIEF);
  if (called) {
    /* Where another's threads keep a worker from running, only now and then with full patience; but long
     * work always waits for the wake of a core that slept, which takes a virtual one 100 us and more. */
    if (absent && jobs++ % 32) patience /= patience < LENIENT ? 8 : 2;
    joined_after(patience, called);
    joined = close_gate();
    absent = joined < called;
    if (joined >= cores()) job->meeting.awake = 0;
    set_size(job, joined + 1);
  }
  run_member(job, 0, joined + 1, 0);
  if (joined) see_off(job, joined, before);
}

/* A job on the team, which is the caller's: others join it while it runs. */
static void run_joining(team_job *job, int threads, int brief) {
  unsigned before = fnn_event_now(&finished);
  int called = call_workers(job, threads - 1, brief);
  if (called >= cores()) job->meeting.awake = 0;
  run_member(job, 0, 1, called > 0);
  int joined = called ? close_gate() : 0;
  if (!joined) return;
  set_size(job, LEAVE);
  see_off(job, joined, before);
}

/* What of `threads` one of the callers at this time may have. Alone it may have more than there are cores. */
static int share(int threads) {
  int sharing = atomic_load(&callers), fair = cores() / (sharing > 1 ? sharing : 1);
  if (threads > FNN_MOST_THREADS) threads = FNN_MOST_THREADS;
  if (sharing < 2 || threads <= fair) return threads;
  return fair > 1 ? fair : 1;
}

/* Run a job on the team if that is free. `counts`: whether it is long enough to matter to other callers. */
static void run_job(team_job *job, int threads, int64_t patience, int joining, int counts) {
  counts = counts && !inside_team && !fnn_backend_nested();
  if (counts) atomic_fetch_add(&callers, 1);
  if (counts && (threads = share(threads)) > 1 && !atomic_flag_test_and_set(&team_taken)) {
    if (joining)
      run_joining(job, threads, patience < BRIEF);
    else
      run_together(job, threads, patience);
    atomic_flag_clear(&team_taken);
  } else {
    run_member(job, 0, 1, 0);
  }
  if (counts) atomic_fetch_sub(&callers, 1);
}

fnn_status fnn_team_run(int threads, int64_t patience, fnn_team_fn fn, const void *arg,
                        char *workspace, fnn_failure *why) {
  team_job job = {.fn = fn, .arg = arg, .workspace = workspace};
  fnn_meeting_reset(&job.meeting, LONG);
  run_job(&job, threads, patience, 0, threads > 1 || patience > BRIEF);
  return fnn_meeting_status(&job.meeting, why);
}

void fnn_team_run_joining(int threads, int64_t patience, fnn_team_fn fn, const void *arg) {
  team_job job = {.fn = fn, .arg = arg};
  fnn_meeting_reset(&job.meeting, LONG);
  run_job(&job, threads, patience, 1, threads > 1 || patience > BRIEF);
}

int64_t fnn_patience(double time) {
  double most = time / 64 > 4e6 ? 4e6 : time / 64;
  return (int64_t)(time < 1e6 ? time / 2 : most < 5e5 ? 5e5 : most);
}

int fnn_team_present(const fnn_team *team, int64_t patience) {
  return team->job ? joined_after(patience, team->size) + 1 : team->size;
}

void fnn_team_admit(fnn_team *team, int size) {
  team->size = size;
  set_size(team->job, size);
}

/* How long a team goes without asking again where the team was another caller's when it began. */
enum { AGAIN = 500000 };

int fnn_team_outlived(const fnn_team *team, int threads, int64_t age) {
  int fair = share(threads);
  return team->size > fair || (!team->job && team->size < fair && age > AGAIN);
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

void fnn_progress(fnn_team *team, int which) {
  fnn_event_signal(&team->meeting->progress[which], team->size);
}

void fnn_progress_wait(fnn_team *team, int which, int64_t n) {
  fnn_meeting *meeting = team->meeting;
  for (unsigned now; (int)((now = fnn_event_now(&meeting->progress[which])) - (unsigned)n) < 0;)
    fnn_event_wait(&meeting->progress[which], now, meeting->awake);
}

void fnn_progress_end(fnn_team *team) {
  fnn_meeting *meeting = team->meeting;
  if (atomic_fetch_add(&meeting->leaving, 1) < team->size - 1) return;
  for (int i = 0; i < FNN_PROGRESS; i++) atomic_store(&meeting->progress[i].count, 0);
  atomic_store(&meeting->leaving, 0);
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
