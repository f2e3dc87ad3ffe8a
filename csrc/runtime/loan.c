/* loan.c: where a program's calls touch pieces of memory, so that other memory takes their place for a run.
 *
 * A plan knows shapes and not addresses, and threads meet by what calls have in common. So a call may find
 * its arrays elsewhere, as long as what was apart stays apart: that is what fnn_loan_taken is asked for. */
#include <stdlib.h>

#include "../ops/op.h"
#include "dispatch.h"
#include "program.h"

/* An array of a call that lies in a piece, and at which byte of it. */
typedef struct {
  fnn_array *array;
  int64_t offset;
} place;

typedef struct {
  char *home;
  int64_t bytes;
  place *places;
  int64_t n;
  int written, away;
} piece;

struct fnn_loans {
  int64_t n;
  fnn_span *taken; /* what calls write, and the pieces: sorted, with what touches joined */
  int64_t n_taken;
  place *places;
  piece pieces[];
};

static int by_begin(const void *a, const void *b) {
  const char *x = ((const fnn_span *)a)->begin, *y = ((const fnn_span *)b)->begin;
  return (x > y) - (x < y);
}

/* Sorted spans, of which no two touch. Returns how many are left of n. */
static int64_t joined(fnn_span *spans, int64_t n) {
  int64_t last = -1;
  qsort(spans, (size_t)n, sizeof *spans, by_begin);
  for (int64_t i = 0; i < n; i++) {
    if (last < 0 || spans[i].begin > spans[last].end)
      spans[++last] = spans[i];
    else if (spans[i].end > spans[last].end)
      spans[last].end = spans[i].end;
  }
  return last + 1;
}

static int within(const piece *p, const void *memory) {
  return (uintptr_t)memory - (uintptr_t)p->home < (uintptr_t)p->bytes;
}

/* Find the arrays of one call that lie in the pieces, of which each lies in one at most. They are put behind
 * those in `at`, or counted where that is NULL. */
static int64_t find_places(fnn_call *call, piece *p, place *at) {
  int64_t found = 0;
  int inputs = fnn_op_inputs(call->op);
  for (int i = 0; i < call->n_arrays; i++) {
    fnn_array *a = &call->arrays[i];
    if (!fnn_present(a) || !within(p, a->data)) continue;
    if (at) at[found] = (place){a, (char *)a->data - p->home};
    p->written |= i >= inputs;
    found++;
  }
  return found;
}

static int64_t all_places(fnn_program *program, piece *p, place *at) {
  int64_t found = 0;
  for (int64_t k = 0; k < fnn_program_size(program); k++)
    found += find_places(fnn_program_call(program, k), p, at ? at + found : NULL);
  return found;
}

static int64_t all_taken(const fnn_loans *loans, fnn_program *program, fnn_span *at) {
  int64_t n = 0;
  for (int64_t k = 0; k < fnn_program_size(program); k++) {
    const fnn_call *call = fnn_program_call(program, k);
    for (int i = fnn_op_inputs(call->op); i < call->n_arrays; i++)
      if (fnn_present(&call->arrays[i])) at[n++] = fnn_span_of(&call->arrays[i]);
  }
  for (int64_t i = 0; i < loans->n; i++) {
    const piece *p = &loans->pieces[i];
    at[n++] = (fnn_span){p->home, p->home + p->bytes};
  }
  return joined(at, n);
}

fnn_loans *fnn_loans_new(fnn_program *program, void *const *memory, const int64_t *bytes,
                         int64_t n) {
  int64_t spans = fnn_program_size(program) * FNN_MAX_ARRAYS + n, places = 0;
  fnn_loans *loans = calloc(1, sizeof *loans + (size_t)n * sizeof(piece));
  if (!loans) return NULL;
  loans->n = n;
  for (int64_t i = 0; i < n; i++) {
    loans->pieces[i] = (piece){.home = memory[i], .bytes = bytes[i]};
    places += loans->pieces[i].n = all_places(program, &loans->pieces[i], NULL);
  }
  loans->taken = malloc((size_t)(spans + 1) * sizeof(fnn_span));
  loans->places = malloc((size_t)(places + 1) * sizeof(place));
  if (!loans->taken || !loans->places) {
    fnn_loans_free(loans);
    return NULL;
  }
  loans->n_taken = all_taken(loans, program, loans->taken);
  place *at = loans->places;
  for (int64_t i = 0; i < n; i++) {
    loans->pieces[i].places = at;
    at += all_places(program, &loans->pieces[i], at);
  }
  return loans;
}

void fnn_loans_free(fnn_loans *loans) {
  if (!loans) return;
  free(loans->taken);
  free(loans->places);
  free(loans);
}

int fnn_loan_written(const fnn_loans *loans, int64_t i) { return loans->pieces[i].written; }

int fnn_loan_taken(const fnn_loans *loans, const void *memory, int64_t bytes) {
  const char *begin = memory, *end = begin + bytes;
  int64_t low = 0, high = loans->n_taken; /* the first that ends behind the beginning */
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (loans->taken[middle].end > begin)
      high = middle;
    else
      low = middle + 1;
  }
  return low < loans->n_taken && loans->taken[low].begin < end;
}

static void move_to(const piece *p, char *memory) {
  for (int64_t k = 0; k < p->n; k++) p->places[k].array->data = memory + p->places[k].offset;
}

void fnn_loan_move(fnn_loans *loans, int64_t i, void *memory) {
  move_to(&loans->pieces[i], memory);
  loans->pieces[i].away = 1;
}

void fnn_loans_return(fnn_loans *loans) {
  for (int64_t i = 0; i < loans->n; i++) {
    piece *p = &loans->pieces[i];
    if (p->away) move_to(p, p->home);
    p->away = 0;
  }
}
