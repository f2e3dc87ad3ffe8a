# Measuring what this machine can do.

PROBES = {
    "fma": FNN_PROBE_FMA, "read": FNN_PROBE_READ, "write": FNN_PROBE_WRITE,
    "update": FNN_PROBE_UPDATE, "triad": FNN_PROBE_TRIAD, "meet": FNN_PROBE_MEET, "start": FNN_PROBE_START,
}


def probe(str what not None, int code, int threads, Array memory, int64_t size, int64_t rounds):
    """(seconds, threads that came) of `rounds` rounds; see csrc/fastnn.h. Memory is contiguous uint8."""
    cdef fnn_probe kind = PROBES[what]
    cdef void *data = NULL
    cdef double seconds
    cdef int came = threads
    if code > FNN_F64 or threads < 1 or size < 0 or rounds < 0:
        raise ValueError(f"probe: dtype code {code}, {threads} threads, {size} bytes, {rounds} rounds")
    if FNN_PROBE_READ <= kind <= FNN_PROBE_TRIAD:
        if memory is None or memory.a.dtype != FNN_U8 or memory.locked or not contiguous(&memory.a) \
                or count(&memory.a) < threads * size:
            raise ValueError(f"probe: {threads} threads need {threads * size} bytes that can be written")
        data = memory.a.data
    with nogil:
        seconds = fnn_probe_seconds(kind, code, &came, data, size, rounds)
    return seconds, came


def probe_flops(int code):
    """Operations of one thread in a round of "fma"."""
    return fnn_probe_flops(code)
