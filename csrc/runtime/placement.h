/* placement.h: workers keep off the core that the caller runs on.
 *
 * Where another library's idle threads spin on the other cores, the system wakes our workers on the
 * caller's, where they cannot run before the caller sleeps. */
#ifndef FNN_PLACEMENT_H
#define FNN_PLACEMENT_H

/* The calling thread is a worker. */
void fnn_place_worker(void);

/* The calling thread is about to post a job: have the workers run elsewhere within its affinity. */
void fnn_place_caller(void);

/* No workers are left: in a child after fork. */
void fnn_place_none(void);

#endif
