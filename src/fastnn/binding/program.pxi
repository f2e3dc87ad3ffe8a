# Recorded calls readied to run in C.

cdef enum:
    BRIEF = 5000  # ns: for less, giving up the GIL and taking it again would cost too much
    LONG = 20_000_000  # ns: for more, others get a turn in between, and signals are looked after
cdef double UNINTERRUPTED = 0.1  # s
cdef int64_t isa_choices = 0  # how often an instruction set was chosen


cdef struct Seen:
    int64_t version
    int64_t loans
    bint lent


cdef class Watch:
    """Tells whether memory may have been written since it was last asked: by a launch or a program, which
    count, or by those that it is lent to (numpy arrays over it), who need not say."""
    cdef list owners
    cdef Seen *seen

    def __cinit__(self, list owners):
        self.owners = owners
        self.seen = <Seen *>malloc((len(owners) + 1) * sizeof(Seen))
        if self.seen == NULL:
            raise MemoryError()
        self.forget()

    def __dealloc__(self):
        free(self.seen)

    cdef void forget(self) noexcept:
        """All may have been written."""
        for i in range(len(self.owners)):
            self.seen[i].version = -1

    cdef bint changed(self):
        cdef Owner owner
        cdef Seen *seen = self.seen
        cdef bint any_changed = False
        for owner in self.owners:
            if owner.version != seen.version or owner.loans != seen.loans or seen.lent or owner.lent:
                any_changed = True
                seen.version, seen.loans, seen.lent = owner.version, owner.loans, owner.lent > 0
            seen += 1
        return any_changed


cdef class Program:
    """Calls readied to run in C in one go. Keeps their arrays alive.

    Parameters
    ----------
    calls : list of (op, arrays, scalars)
    prologue : list of (op, arrays, scalars)
        Calls to run before these: the first time, and when what they read may have been written since.
    """
    cdef fnn_program *program
    cdef list calls
    cdef list written  # the owners of what the calls write
    cdef PyThread_type_lock running
    cdef Program prologue
    cdef Watch watch  # what the prologue reads
    cdef int64_t isa  # the number of the choice of instruction set that it was made for

    def __cinit__(self, list calls, prologue=()):
        cdef fnn_call *c
        cdef fnn_failure why
        cdef fnn_status status
        cdef int64_t elements, at = 0, n = len(calls)
        why.message = NULL
        self.calls = list(calls)
        self.running = PyThread_allocate_lock()
        c = <fnn_call *>malloc((n + 1) * sizeof(fnn_call))
        if c == NULL or self.running == NULL:
            free(c)
            raise MemoryError()
        try:
            for i in range(n):
                op, arrays, scalars = calls[i]
                fill_call(&c[i], op, arrays, scalars, &elements)
            with nogil:
                status = fnn_program_new(c, n, &self.program, &at, &why)
        finally:
            free(c)
        if status != FNN_OK:
            raise_failure(calls[at][0], status, &why, calls[at][1])
        self.written = touched_by(calls, True)
        self.isa = isa_choices
        if prologue:
            self.prologue = Program(list(prologue))
            made = self.prologue.written
            self.watch = Watch([x for x in touched_by(list(prologue), False) if x not in made])

    def __dealloc__(self):
        fnn_program_free(self.program)
        if self.running != NULL:
            PyThread_free_lock(self.running)

    def __len__(self):
        return len(self.calls)

    cdef list arrays(self):
        """All arrays of the calls, and of the prologue's."""
        found = [] if self.prologue is None else self.prologue.arrays()
        return found + [x for _, arrays, _ in self.calls for x in arrays if x is not None]

    cdef list owners(self):
        """All owners that this holds besides those of its arrays."""
        return self.written + ([] if self.prologue is None else self.prologue.written + self.watch.owners)

    cdef int take(self) except -1:
        """Keep other threads from running it. Waiting, the GIL is free."""
        if not PyThread_acquire_lock(self.running, NOWAIT_LOCK):
            with nogil:
                PyThread_acquire_lock(self.running, WAIT_LOCK)
        return 0

    cdef void leave(self) noexcept:
        PyThread_release_lock(self.running)

    cdef int prepare(self) except -1:
        """What must be so before the calls run."""
        if self.isa != isa_choices:
            raise RecordingError("recorded with another instruction set; record it anew")
        if self.prologue is not None and self.watch.changed():
            try:
                self.prologue.execute(1, 0)
            except BaseException:
                self.watch.forget()
                raise
        return 0

    cdef int64_t execute(self, int64_t repeats, double seconds) except -1:
        """Run it, which the caller has taken."""
        cdef fnn_failure why
        cdef fnn_status status
        cdef int64_t done = 0, at = 0
        cdef Owner owner
        why.message = NULL
        self.prepare()
        if repeats * fnn_program_expected(self.program) < BRIEF:
            status = fnn_program_run(self.program, repeats, seconds, &done, &at, &why)
        else:
            with nogil:
                status = fnn_program_run(self.program, repeats, seconds, &done, &at, &why)
        for owner in self.written:
            owner.version += 1
        if status != FNN_OK:
            op, arrays, _ = self.calls[at]
            raise_failure(op, status, &why, arrays)
        return done

    def run(self, int64_t repeats=1, double seconds=0):
        """Run all calls `repeats` times, or fewer if `seconds` have passed. Returns how often.

        A signal is looked after every tenth of a second: Ctrl-C ends it between two repetitions.
        """
        cdef int64_t done = 0
        cdef double left = seconds, slice, begin
        if repeats * fnn_program_expected(self.program) < LONG:
            return self.slice(repeats, seconds)
        while done < repeats and (seconds <= 0 or left > 0):
            slice = UNINTERRUPTED if seconds <= 0 or left > UNINTERRUPTED else left
            begin = monotonic()
            done += self.slice(repeats - done, slice)
            left -= monotonic() - begin
            PyErr_CheckSignals()
        return done

    cdef int64_t slice(self, int64_t repeats, double seconds) except -1:
        self.take()
        try:
            return self.execute(repeats, seconds)
        finally:
            self.leave()

    @property
    def workspace(self):
        """Bytes of scratch memory that the calls share."""
        return fnn_program_workspace(self.program)

    def steps(self):
        """For each call (threads, whether threads meet before it, flops, bytes, workspace bytes)."""
        cdef fnn_program_step s
        found = []
        for i in range(len(self.calls)):
            s = fnn_program_step_at(self.program, i)
            found.append((s.threads, bool(s.meets), s.plan.flops, s.plan.bytes, s.plan.workspace))
        return found

    def time(self, int64_t stamps=0):
        """Begin timing anew, with the latest `stamps` calls of each thread kept; end it with -1."""
        cdef int done
        self.take()
        done = fnn_program_time(self.program, stamps)
        self.leave()
        if not done:
            raise MemoryError(f"no memory for {stamps} stamps")

    def times(self):
        """Since `time` was called: (repetitions, ns in `run`, ns in each call, ns waited before each and at
        the end); the latter two with a list a thread. None where nothing is timed."""
        cdef fnn_times t = fnn_program_times(self.program)
        cdef const int64_t *busy
        cdef const int64_t *waiting
        cdef int64_t i, n = len(self.calls)
        calls, waits = [], []
        for thread in range(t.threads):
            busy = fnn_program_busy(self.program, thread)
            waiting = fnn_program_waiting(self.program, thread)
            calls.append([busy[i] for i in range(n)])
            waits.append([waiting[i] for i in range(n + 1)])
        return (t.repeats, t.inside, calls, waits) if t.threads else None

    def stamps(self):
        """The stamps kept of each thread: (call, begin, end) in ns of a steady clock."""
        cdef fnn_stamp s
        cdef int64_t i, n
        found = []
        for thread in range(fnn_program_times(self.program).threads):
            n = 1
            i = 0
            kept = []
            while i < n:
                s = fnn_program_stamp(self.program, thread, i, &n)
                i += 1
                if i <= n:
                    kept.append((s.call, s.begin, s.end))
            found.append(kept)
        return found


cdef list touched_by(list calls, bint written):
    """The owners of what calls write, or of what they read, each once."""
    found = {}
    for op, arrays, _ in calls:
        for array in arrays[N_INPUTS[op]:] if written else arrays[:N_INPUTS[op]]:
            if array is not None:
                owner = (<Array>array).owner
                found[id(owner)] = owner
    return list(found.values())
