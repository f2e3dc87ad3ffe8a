/* dispatch.h: what launch.c knows of ops, for program.c. */
#ifndef FNN_DISPATCH_H
#define FNN_DISPATCH_H

#include "../ops/op.h"

fnn_run_fn fnn_op_run(int op);

/* How many of the op's arrays are inputs; they come first. */
int fnn_op_inputs(int op);

/* About how long a call takes on one thread, in ns. */
double fnn_serial_time(const fnn_plan *plan);

/* Threads for a call that costs this, where each should have `least` ns to do: up to `most`. */
int fnn_threads_for(const fnn_plan *plan, double least, int most);

#endif
