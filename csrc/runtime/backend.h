/* backend.h: what team_openmp.c and team_pthread.c provide to team.c and threads.c. */
#ifndef FNN_BACKEND_H
#define FNN_BACKEND_H

/* What one member of a team runs. */
typedef void (*fnn_member_fn)(void *context, int id, int size);

/* Run member on up to `threads` threads, the caller being number 0, and wait for all of them. Called by
 * one thread at a time, never from inside a team. Returns 0, with nothing run, when there can be no team. */
int fnn_backend_run(int threads, fnn_member_fn member, void *context);

/* The calling thread may use this many threads of the `count` wished for; `version` changes with count. */
int fnn_backend_threads(int count, unsigned version);

#endif
