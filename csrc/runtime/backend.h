/* backend.h: what team_openmp.c and team_pthread.c provide: threads, and the limit on their number. */
#ifndef FNN_BACKEND_H
#define FNN_BACKEND_H

enum { FNN_MOST_THREADS = 1024 };

/* Start n more threads that call work once each, which does not return. They may start later than this
 * returns. Returns how many were asked for with success: n or 0. Called by one thread at a time. */
int fnn_backend_start(int n, void (*work)(void));

/* True where the calling thread had better not ask for help: inside another user's parallel region. */
int fnn_backend_nested(void);

/* What the calling thread may use of the `count` threads wished for; `version` changes with count. */
int fnn_backend_threads(int count, unsigned version);

#endif
