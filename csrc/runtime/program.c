/* program.c: readying and replaying recorded calls. */
#include <stdlib.h>
#include <string.h>

#include "../ops/op.h"
#include "dispatch.h"
#include "program.h"
#include "timing.h"
#include "wait.h"

/* How long a thread spins at a meeting before it sleeps, in ns. */
enum { AWAKE = 60000 };

/* What a thread should have to do in a call, in ns. A meeting takes 0.2 us; measured in chains of calls, a
 * second thread gains from 1 us of pointwise work on, and from 4 us where data moves between the threads. */
enum { WORTH_A_MEETING = 1000 };

typedef struct {
  fnn_call call;
  fnn_plan plan;
  fnn_run_fn run;
  int threads, meets;
  char *workspace;
  fnn_meeting meeting; /* of the threads that run it */
  int64_t taken[2];    /* tickets drawn before, by the parity of the repetition */
  int64_t patience;    /* how long it may wait for threads that are asleep, in ns */
  int size;            /* of the team from the meeting before it on */
} step;

struct fnn_program {
  int64_t n;
  int threads;     /* the most that a call wants */
  int allowed;     /* of them in the run under way */
  double time;     /* about how long one repetition takes on one thread, in ns */
  char *workspace; /* of calls run by the team, then of those run by thread 0 */
  int64_t workspace_bytes;
  fnn_timing *timing; /* NULL: off */
  /* the run under way */
  int64_t repeats, done, failed_at;
  int64_t begun, until;            /* in fnn_nanoseconds; until is 0 for no limit */
  int ended;                       /* not to be gone on with by another team */
  int64_t entry_step, entry_round; /* where threads that are admitted begin */
  int stop[2];                     /* by the parity of the repetition */
  step steps[];
};

/* --- where calls touch memory --- */

typedef struct {
  fnn_span at;
  int writes, team; /* team: run by more than one thread */
} touch;

fnn_span fnn_span_of(const fnn_array *a) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < a->ndim; i++) {
    int64_t reach = (a->shape[i] - 1) * a->stride[i];
    if (a->shape[i] == 0) return (fnn_span){NULL, NULL};
    if (reach < 0)
      low += reach;
    else
      high += reach;
  }
  int64_t size = fnn_itemsize(a->dtype);
  return (fnn_span){(char *)a->data + low * size, (char *)a->data + (high + 1) * size};
}

/* Whether one must be over before the other begins, and does not follow it on the same thread anyway. */
static int clash(const touch *a, const touch *b) {
  return (a->writes || b->writes) && (a->team || b->team) && a->at.begin < b->at.end &&
         b->at.begin < a->at.end;
}

/* The touches of a call are put behind the n in list. Returns the new number. */
static int64_t add_touches(const step *s, touch *list, int64_t n) {
  int inputs = fnn_op_inputs(s->call.op), team = s->threads > 1;
  for (int i = 0; i < s->call.n_arrays; i++)
    if (fnn_present(&s->call.arrays[i]))
      list[n++] = (touch){fnn_span_of(&s->call.arrays[i]), i >= inputs, team};
  if (s->workspace) list[n++] = (touch){{s->workspace, s->workspace + s->plan.workspace}, 1, team};
  return n;
}

/* Which calls the threads must meet before: those that clash with what was touched since the last meeting. */
static int place_meetings(fnn_program *p) {
  touch *list = malloc(sizeof(touch) * (size_t)(p->n + 1) * (FNN_MAX_ARRAYS + 1));
  if (!list) return 0;
  int64_t n = 0;
  for (int64_t k = 0; k < p->n; k++) {
    step *s = &p->steps[k];
    int64_t more = add_touches(s, list, n);
    for (int64_t i = 0; i < n && !s->meets; i++)
      for (int64_t j = n; j < more && !s->meets; j++) s->meets = clash(&list[i], &list[j]);
    if (s->meets) {
      memmove(list, list + n, sizeof(touch) * (size_t)(more - n));
      more -= n;
    }
    n = more;
  }
  free(list);
  return 1;
}

/* --- making a program --- */

static int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

/* Two pieces of scratch memory: one for the team's calls, which meet before they use it anew, one for those
 * of thread 0. */
static int give_workspace(fnn_program *p) {
  int64_t team = 0, alone = 0;
  for (int64_t k = 0; k < p->n; k++) {
    int64_t bytes = rounded(p->steps[k].plan.workspace);
    if (p->steps[k].threads > 1)
      team = bytes > team ? bytes : team;
    else
      alone = bytes > alone ? bytes : alone;
  }
  p->workspace_bytes = team + alone;
  if (p->workspace_bytes && !(p->workspace = fnn_alloc(p->workspace_bytes))) return 0;
  for (int64_t k = 0; k < p->n; k++)
    if (p->steps[k].plan.workspace)
      p->steps[k].workspace = p->workspace + (p->steps[k].threads > 1 ? 0 : team);
  return 1;
}

fnn_status fnn_program_new(const fnn_call *calls, int64_t n, fnn_program **program, int64_t *at,
                           fnn_failure *why) {
  *program = NULL;
  *at = 0;
  fnn_program *p =
      aligned_alloc(64, (size_t)rounded((int64_t)(sizeof *p + (size_t)n * sizeof(step))));
  if (!p) return fnn_fail(why, FNN_ERR_MEMORY, "no memory for a program");
  memset(p, 0, sizeof *p + (size_t)n * sizeof(step));
  p->n = n;
  p->threads = 1;
  /* The limit may be another when it runs, up or down. */
  int most = fnn_threads() > fnn_cores() ? fnn_threads() : fnn_cores();
  for (int64_t k = 0; k < n; k++) {
    step *s = &p->steps[k];
    s->call = calls[k];
    fnn_status status = fnn_plan_call(&calls[k], &s->plan, why);
    if (status != FNN_OK) {
      *at = k;
      fnn_program_free(p);
      return status;
    }
    s->run = fnn_op_run(calls[k].op);
    s->threads = fnn_threads_for(&s->plan, WORTH_A_MEETING, most);
    s->patience = s->threads > 1 ? fnn_patience(fnn_serial_time(&s->plan) / 4) : 0;
    p->time += fnn_serial_time(&s->plan);
    if (s->threads > p->threads) p->threads = s->threads;
  }
  if (!give_workspace(p) || !place_meetings(p)) {
    fnn_program_free(p);
    return fnn_fail(why, FNN_ERR_MEMORY, "no memory for a program's workspace");
  }
  *program = p;
  return FNN_OK;
}

void fnn_program_free(fnn_program *p) {
  if (!p) return;
  if (p->workspace) fnn_free(p->workspace, p->workspace_bytes);
  fnn_timing_free(p->timing);
  free(p);
}

/* --- running it --- */

/* One call, by those members of the team that take part. */
static void run_step(const fnn_program *p, int64_t k, int64_t round, const fnn_team *team,
                     fnn_lane *lane) {
  step *s = (step *)&p->steps[k];
  int size = s->threads < team->size ? s->threads : team->size;
  if (team->id >= size) return;
  fnn_team part = {.id = team->id,
                   .size = size,
                   .workspace = s->workspace,
                   .meeting = &s->meeting,
                   .taken = s->taken[round & 1]};
  s->run(&s->call, &part);
  if (team->id == 0) s->taken[~round & 1] = part.taken;
  fnn_note_call(p->timing, lane, k);
}

/* The meeting before a call, where threads that have come are admitted: from there on the team is larger.
 * Thread 0 tells the others before they meet; alone, it looks for them before every call. Returns whether
 * it may have waited. */
static int meet(fnn_program *p, int64_t k, int64_t round, fnn_team *team) {
  step *s = &p->steps[k];
  if (!s->meets && team->size > 1) return 0;
  if (team->id == 0) {
    int size = team->size < p->allowed ? fnn_team_present(team, s->patience) : team->size;
    if (s->size != size) s->size = size;
  }
  fnn_team_barrier(team);
  if (team->size == s->size) return p->allowed > 1;
  if (team->id == 0) {
    p->entry_step = k;
    p->entry_round = round;
    fnn_team_admit(team, s->size);
  }
  team->size = s->size;
  return 1;
}

/* At the end of a repetition: whether this team goes on. */
static int over(fnn_program *p, const fnn_team *team) {
  p->ended = ++p->done == p->repeats;
  if (p->ended || (p->allowed == 1 && !p->until)) return p->ended;
  int64_t now = fnn_nanoseconds();
  p->ended = p->until && now >= p->until;
  return p->ended || (p->allowed > 1 && fnn_team_outlived(team, p->allowed, now - p->begun));
}

/* Repetitions, all that are left unless another team should go on. What one thread tells the others before
 * a meeting must not change before all have read it: a failure is told by the step's own meeting, which is
 * used again only in the next repetition, and the end by one of two flags, which take turns. */
static void member(const void *arg, fnn_team *team) {
  fnn_program *p = (fnn_program *)arg;
  int64_t round = team->id ? p->entry_round : 0, k = team->id ? p->entry_step : 0;
  int met = team->id > 0;
  fnn_lane *lane = fnn_lane_of(p->timing, team->id);
  for (;; round++, k = 0) {
    for (; k < p->n; k++, met = 0) {
      step *s = &p->steps[k];
      if (!met && meet(p, k, round, team)) fnn_note_wait(lane, k);
      run_step(p, k, round, team, lane);
      if (!s->plan.may_fail) continue;
      fnn_team_barrier(team);
      fnn_note_wait(lane, k + 1);
      if (atomic_load(&s->meeting.status) == FNN_OK) continue;
      if (team->id == 0) p->failed_at = k;
      return;
    }
    if (team->id == 0) p->stop[round & 1] = over(p, team);
    fnn_team_barrier(team);
    fnn_note_wait(lane, p->n);
    if (p->stop[round & 1]) return;
  }
}

/* The time that all repetitions take on one thread, as far as it is known. */
static double expected(const fnn_program *p, double seconds) {
  double time = p->time * (double)p->repeats;
  return seconds > 0 && time > seconds * 1e9 ? seconds * 1e9 : time;
}

static fnn_status run_all(fnn_program *p, int64_t repeats, double seconds, int64_t *done,
                          int64_t *at, fnn_failure *why) {
  *done = *at = 0;
  if (repeats < 1 || p->n == 0) return FNN_OK;
  p->repeats = repeats;
  p->done = 0;
  p->failed_at = -1;
  p->ended = 0;
  p->allowed = p->threads > 1 && fnn_threads() < p->threads ? fnn_threads() : p->threads;
  p->begun = seconds > 0 || p->allowed > 1 ? fnn_nanoseconds() : 0;
  p->until = seconds > 0 ? p->begun + (int64_t)(seconds * 1e9) : 0;
  int64_t patience = fnn_patience(expected(p, seconds));
  while (!p->ended && p->failed_at < 0) {
    for (int64_t k = 0; k < p->n; k++) {
      fnn_meeting_reset(&p->steps[k].meeting, AWAKE);
      p->steps[k].taken[0] = p->steps[k].taken[1] = 0;
    }
    fnn_team_run_joining(p->allowed, patience, member, p);
    if (!p->ended) p->begun = fnn_nanoseconds();
  }
  *done = p->done;
  if (p->failed_at < 0) return FNN_OK;
  *at = p->failed_at;
  return fnn_meeting_status(&p->steps[*at].meeting, why);
}

double fnn_program_expected(const fnn_program *p) { return p->time; }

int64_t fnn_program_workspace(const fnn_program *p) { return p->workspace_bytes; }

fnn_status fnn_program_run(fnn_program *p, int64_t repeats, double seconds, int64_t *done,
                           int64_t *at, fnn_failure *why) {
  int64_t begin = p->timing ? fnn_nanoseconds() : 0;
  fnn_status status = run_all(p, repeats, seconds, done, at, why);
  if (!p->timing) return status;
  p->timing->inside += fnn_nanoseconds() - begin;
  p->timing->repeats += *done;
  return status;
}

int64_t fnn_program_size(const fnn_program *p) { return p->n; }

fnn_call *fnn_program_call(fnn_program *p, int64_t i) { return &p->steps[i].call; }

fnn_program_step fnn_program_step_at(const fnn_program *p, int64_t i) {
  const step *s = &p->steps[i];
  int threads = s->threads > 1 && fnn_threads() < s->threads ? fnn_threads() : s->threads;
  return (fnn_program_step){s->plan, threads, s->meets && p->threads > 1};
}

int fnn_program_time(fnn_program *p, int64_t stamps) {
  fnn_timing_free(p->timing);
  p->timing = stamps < 0 ? NULL : fnn_timing_new(p->n, p->threads, stamps);
  return stamps < 0 || p->timing;
}

fnn_times fnn_program_times(const fnn_program *p) {
  const fnn_timing *t = p->timing;
  return t ? (fnn_times){t->repeats, t->inside, t->threads} : (fnn_times){0};
}

const int64_t *fnn_program_busy(const fnn_program *p, int64_t thread) {
  return p->timing->lanes[thread].busy;
}

const int64_t *fnn_program_waiting(const fnn_program *p, int64_t thread) {
  return p->timing->lanes[thread].waiting;
}

fnn_stamp fnn_program_stamp(const fnn_program *p, int64_t thread, int64_t i, int64_t *n) {
  const fnn_lane *lane = &p->timing->lanes[thread];
  int64_t room = p->timing->room, first = lane->stamped > room ? lane->stamped - room : 0;
  *n = lane->stamped - first;
  return i < *n ? lane->stamps[(first + i) % room] : (fnn_stamp){0};
}
