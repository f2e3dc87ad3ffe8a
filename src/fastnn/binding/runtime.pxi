# Instruction sets, threads, memory in use.

def isa_compiled():
    """{name: whether this CPU has it} of the instruction sets compiled in, the best first."""
    cdef const char *name
    cdef int supported, i = 0
    found = {}
    while fnn_isa_compiled(i, &name, &supported):
        found[name.decode()] = bool(supported)
        i += 1
    return found


def isa_select(name=None):
    """Choose the kernels by name, or the best for None. Between launches only: recordings are lost."""
    global isa_choices, moves
    cdef bytes encoded = b"" if name is None else name.encode()
    cdef int status = fnn_isa_select(NULL if name is None else <const char *>encoded)
    if status == -1:
        raise ValueError(f"FASTNN_ISA={name}: not compiled in; there are {', '.join(isa_compiled())}")
    if status == -2:
        usable = [n for n, supported in isa_compiled().items() if supported]
        raise ValueError(f"FASTNN_ISA={name}: this CPU lacks it; it has {', '.join(usable)}")
    isa_choices += 1
    moves += 1


def isa_name():
    """The instruction set in use."""
    return fnn_isa_name().decode()


def runtime_info():
    """What `python -m fastnn info` prints."""
    return {
        "compiler": fnn_compiler().decode(),
        "cpu": fnn_cpu_name().decode(),
        "cores": fnn_cores(),
        "isa": isa_name(),
        "isa_compiled": isa_compiled(),
        "threads": fnn_threads(),
        "threads_reason": fnn_threads_reason().decode(),
        "threads_backend": fnn_threads_backend().decode(),
    }


def get_num_threads():
    """How many threads a launch may use."""
    return fnn_threads()


def set_num_threads(int n):
    """Use at most n threads in a launch; the results are the same bits for any n."""
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    fnn_set_threads(n)


def memory_in_use():
    """Bytes of arrays alive, without those lent by other libraries."""
    return fnn_alloc_in_use()


def memory_trim():
    """Give memory kept for reuse back to the system."""
    fnn_alloc_trim()
