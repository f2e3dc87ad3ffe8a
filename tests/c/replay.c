/* replay.c: recorded programs, without Python: the same bits as launches one by one, at any number of threads,
 * whoever joins, from several threads at once, and on memory that is elsewhere for a run; also run under ThreadSanitizer. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/fastnn.h"
#include "check.h"

enum { ROWS = 160, WIDTH = 192, CALLS = 8, REPEATS = 40 };

/* Memory of one network whose step reads what the step before wrote. */
typedef struct {
  float x[ROWS * WIDTH], w[WIDTH * WIDTH], h[ROWS * WIDTH], g[WIDTH * WIDTH], column[WIDTH];
  float total, scale;
  int64_t labels[ROWS];
  float loss, weight, stats[2 * ROWS];
} net;

static fnn_array matrix(float *data, int64_t rows, int64_t cols) {
  return (fnn_array){.data = data, .ndim = 2, .shape = {rows, cols}, .stride = {cols, 1}};
}

static fnn_array turned(float *data, int64_t rows, int64_t cols) {
  return (fnn_array){.data = data, .ndim = 2, .shape = {cols, rows}, .stride = {1, cols}};
}

static fnn_array scalar(float *data) { return (fnn_array){.data = data}; }

static const fnn_array absent = {.ndim = -1};

static fnn_call call_of(int op, int n, const fnn_array *arrays) {
  fnn_call call = {.op = op, .n_arrays = n};
  memcpy(call.arrays, arrays, sizeof *arrays * (size_t)n);
  return call;
}

#define CALL(op, ...)                                                                 \
  call_of(FNN_OP_##op, (int)(sizeof((fnn_array[]){__VA_ARGS__}) / sizeof(fnn_array)), \
          (fnn_array[]){__VA_ARGS__})

/* Calls with and without tickets, meetings inside, too small for two threads, and one that may fail. */
static void record(net *n, fnn_call *calls) {
  fnn_array x = matrix(n->x, ROWS, WIDTH), w = matrix(n->w, WIDTH, WIDTH),
            h = matrix(n->h, ROWS, WIDTH), g = matrix(n->g, WIDTH, WIDTH),
            column = matrix(n->column, 1, WIDTH), total = matrix(&n->total, 1, 1);
  fnn_array each = w;
  each.stride[0] = each.stride[1] = 0;
  each.data = &n->scale;
  fnn_array labels = {
      .data = n->labels, .ndim = 1, .shape = {ROWS}, .stride = {1}, .dtype = FNN_I64};
  fnn_array stats = matrix(n->stats, ROWS, 2);
  calls[0] = CALL(matmul, x, w, absent, h);
  calls[1] = CALL(tanh, h, h);
  calls[2] =
      CALL(cross_entropy, h, labels, absent, absent, scalar(&n->loss), scalar(&n->weight), stats);
  calls[2].scalars[1].i = -100;
  calls[2].scalars[2].i = 2;
  calls[3] = CALL(matmul, turned(n->h, ROWS, WIDTH), x, absent, g);
  calls[4] = CALL(sum, h, column);
  calls[5] = CALL(sum, column, total);
  calls[6] = CALL(mul, g, each, g);
  calls[7] = CALL(add, w, g, w);
}

static void fill(net *n, int seed) {
  memset(n, 0, sizeof *n);
  unsigned state = 12345u + (unsigned)seed;
  for (int i = 0; i < ROWS * WIDTH; i++)
    n->x[i] = (float)((state = state * 1664525u + 1013904223u) >> 16) / 32768.0f - 1.0f;
  for (int i = 0; i < WIDTH * WIDTH; i++)
    n->w[i] = (float)((state = state * 1664525u + 1013904223u) >> 16) / 327680.0f - 0.1f;
  for (int i = 0; i < ROWS; i++) n->labels[i] = i % WIDTH;
  n->scale = 1e-3f;
}

static void launch_all(net *n, int repeats) {
  fnn_call calls[CALLS];
  fnn_failure why;
  record(n, calls);
  for (int i = 0; i < repeats; i++)
    for (int k = 0; k < CALLS; k++) CHECK(fnn_launch(&calls[k], &why) == FNN_OK);
}

static fnn_program *program_of(net *n) {
  fnn_call calls[CALLS];
  fnn_program *program;
  fnn_failure why;
  int64_t at;
  record(n, calls);
  CHECK(fnn_program_new(calls, CALLS, &program, &at, &why) == FNN_OK);
  return program;
}

static void run(fnn_program *program, int64_t repeats) {
  fnn_failure why;
  int64_t done, at;
  CHECK(fnn_program_run(program, repeats, 0, &done, &at, &why) == FNN_OK && done == repeats);
}

static void same_bits_as_launches(void) {
  net *eager = malloc(sizeof *eager), *replayed = malloc(sizeof *replayed);
  fnn_set_threads(1);
  fill(eager, 0);
  launch_all(eager, REPEATS);
  for (int threads = 1; threads <= 4; threads++) {
    for (int stretch = 1; stretch <= REPEATS; stretch *= 10) {
      fnn_set_threads(threads);
      fill(replayed, 0);
      fnn_program *program = program_of(replayed);
      for (int done = 0; done < REPEATS; done += stretch) run(program, stretch);
      fnn_program_free(program);
      CHECK(memcmp(eager, replayed, sizeof *eager) == 0);
    }
  }
  free(eager), free(replayed);
}

static void a_failure_ends_the_run(void) {
  net *n = malloc(sizeof *n);
  for (int threads = 1; threads <= 3; threads++) {
    fnn_set_threads(threads);
    fill(n, 1);
    fnn_program *program = program_of(n);
    run(program, 2);
    float before = n->total;
    n->labels[7] = WIDTH;
    fnn_failure why;
    int64_t done, at;
    CHECK(fnn_program_run(program, 5, 0, &done, &at, &why) == FNN_ERR_VALUE);
    CHECK(done == 0 && at == 2 && why.seen == WIDTH && n->total == before);
    n->labels[7] = 7;
    run(program, 3);
    fnn_program_free(program);
  }
  free(n);
}

static float *copied(const float *x, size_t size) {
  float *copy = malloc(size);
  CHECK(copy != NULL);
  return memcpy(copy, x, size);
}

/* What is read and what is made lie elsewhere for a run, and memory that is gone afterwards is used no more. */
static void on_other_memory(void) {
  net *eager = malloc(sizeof *eager), *own = malloc(sizeof *own), *before = malloc(sizeof *before);
  fill(eager, 0), fill(own, 0);
  memset(own->x, 0, sizeof own->x);
  fnn_set_threads(2);
  fnn_program *program = program_of(own);
  fnn_loans *loans = fnn_loans_new(program, (void *[]){own->x, own->h},
                                   (int64_t[]){sizeof own->x, sizeof own->h}, 2);
  CHECK(loans != NULL && !fnn_loan_written(loans, 0) && fnn_loan_written(loans, 1));
  CHECK(fnn_loan_taken(loans, own->w, 4) && fnn_loan_taken(loans, own->x + 1, 4));
  CHECK(fnn_loan_taken(loans, (char *)own->g + sizeof own->g - 1, 1));
  CHECK(!fnn_loan_taken(loans, eager, sizeof *eager));
  CHECK(!fnn_loan_taken(loans, own->labels, sizeof own->labels));
  for (int round = 0; round < 3; round++) {
    float *x = copied(eager->x, sizeof eager->x), *h = malloc(sizeof eager->h);
    fnn_loan_move(loans, 0, x);
    fnn_loan_move(loans, 1, h);
    launch_all(eager, 1);
    run(program, 1);
    fnn_loans_return(loans);
    CHECK(memcmp(h, eager->h, sizeof eager->h) == 0);
    CHECK(memcmp(own->w, eager->w, sizeof eager->w) == 0 && own->total == eager->total);
    free(x), free(h);
  }
  memset(before->h, 0, sizeof before->h);
  CHECK(memcmp(own->h, before->h, sizeof own->h) == 0);
  memcpy(own->x, eager->x, sizeof own->x);
  launch_all(eager, 1);
  run(program, 1); /* on its own memory again */
  CHECK(memcmp(own->h, eager->h, sizeof own->h) == 0 && own->loss == eager->loss);
  fnn_loans_free(loans);
  fnn_program_free(program);
  free(eager), free(own), free(before);
}

static void *train(void *arg) {
  net *n = arg;
  fnn_program *program = program_of(n);
  for (int done = 0; done < REPEATS; done += 4) run(program, 4);
  fnn_program_free(program);
  return NULL;
}

static void several_at_once(void) {
  enum { CALLERS = 3 };
  net *expected = malloc(sizeof *expected), *own[CALLERS];
  pthread_t thread[CALLERS];
  fnn_set_threads(2);
  for (int i = 0; i < CALLERS; i++) {
    own[i] = malloc(sizeof *own[i]);
    fill(own[i], i);
    CHECK(pthread_create(&thread[i], NULL, train, own[i]) == 0);
  }
  for (int i = 0; i < CALLERS; i++) {
    CHECK(pthread_join(thread[i], NULL) == 0);
    fill(expected, i);
    launch_all(expected, REPEATS);
    CHECK(memcmp(expected, own[i], sizeof *expected) == 0);
    free(own[i]);
  }
  free(expected);
}

int main(void) {
  same_bits_as_launches();
  a_failure_ends_the_run();
  on_other_memory();
  several_at_once();
  printf("replay: all passed (%s)\n", fnn_threads_backend());
  return 0;
}
