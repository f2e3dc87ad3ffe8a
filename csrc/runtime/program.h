/* program.h: what the rest of the runtime may know of a program's calls. */
#ifndef FNN_RUNTIME_PROGRAM_H
#define FNN_RUNTIME_PROGRAM_H

#include "../fastnn.h"

/* From the first byte that an array's elements have to the one behind the last. */
typedef struct {
  const char *begin, *end;
} fnn_span;

fnn_span fnn_span_of(const fnn_array *a);

/* The i-th call as it runs. */
fnn_call *fnn_program_call(fnn_program *program, int64_t i);

#endif
