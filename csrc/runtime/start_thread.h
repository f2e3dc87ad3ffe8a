/* start_thread.h: start a thread that nobody waits for and that takes no signals. */
#ifndef FNN_START_THREAD_H
#define FNN_START_THREAD_H

#include <stdint.h>
#include <stdlib.h>

typedef struct {
  void (*run)(intptr_t);
  intptr_t arg;
} thread_start;

#if defined(_WIN32)
#include <windows.h>

static DWORD WINAPI thread_main(void *memory) {
  thread_start start = *(thread_start *)memory;
  free(memory);
  start.run(start.arg);
  return 0;
}

static int thread_create(thread_start *start) {
  HANDLE thread = CreateThread(NULL, 0, thread_main, start, 0, NULL);
  if (thread) CloseHandle(thread);
  return thread != NULL;
}
#else
#include <pthread.h>
#include <signal.h>

static void *thread_main(void *memory) {
  thread_start start = *(thread_start *)memory;
  free(memory);
  start.run(start.arg);
  return NULL;
}

/* Signals are for the threads of the program that we are a guest in. */
static int thread_create(thread_start *start) {
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return 0;
  int created = pthread_create(&thread, NULL, thread_main, start) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (created) pthread_detach(thread);
  return created;
}
#endif

static int start_thread(void (*run)(intptr_t), intptr_t arg) {
  thread_start *start = malloc(sizeof *start);
  if (!start) return 0;
  *start = (thread_start){run, arg};
  if (thread_create(start)) return 1;
  free(start);
  return 0;
}

#endif
