# Recording the calls of a function.

class RecordingError(RuntimeError):
    """A function did what a recording of it cannot repeat."""


cdef class Recorder:
    """Notes the launches that its thread makes within a ``with`` block; none of them computes anything.

    Reading the values of an input, or of what a call wrote, is an error: there are none yet.
    """
    cdef readonly list calls  # (op, arrays, scalars, scope)
    cdef readonly list used  # the modules that were called
    cdef tuple scope  # what the next call is part of, from the outermost inwards: modules and names
    cdef int64_t number
    cdef unsigned long thread

    def __init__(self, inputs=()):
        global recordings
        cdef Array x
        recordings += 1
        self.number = recordings
        self.calls = []
        self.used = []
        self.scope = ()
        for x in inputs:
            x.owner.recording = self.number

    def __enter__(self):
        global recorder
        if recorder is not None:
            raise RecordingError("a recording is under way; a compiled function cannot record another")
        self.thread = PyThread_get_thread_ident()
        recorder = self
        return self

    def __exit__(self, *exc):
        global recorder
        recorder = None

    cdef bint listens(self):
        """Whether the calling thread is the one that records."""
        return PyThread_get_thread_ident() == self.thread

    cdef note(self, int op, tuple arrays, tuple scalars):
        cdef int i
        for i in range(N_INPUTS[op], N_ARRAYS[op]):
            if arrays[i] is not None:
                (<Array>arrays[i]).owner.recording = self.number
        self.calls.append((op, arrays, scalars, self.scope))

    cdef lend(self, Owner owner):
        """Python is given memory to read and write."""
        if not self.listens():
            return
        if isinstance(owner, Pooled) and (<Pooled>owner).born == self.number:
            (<Pooled>owner).filled = True
        if owner.recording == self.number:
            raise RecordingError(
                f"{user_line()}: a value of a tensor was read while the function was recorded; a replay "
                "computes without Python, so it could not follow. Return the tensor and read it "
                "outside, or keep this function eager"
            )


# How often something was changed that a recording may depend on besides memory: see note_change.
cdef int64_t changes = 0


cdef inline bint is_recorded() except -1:
    """Whether a recording of this thread is under way."""
    return recorder is not None and PyThread_get_thread_ident() == recorder.thread


def enter_scope(part):
    """Let what is recorded from here on be part of a module, which the recording depends on, or of a name.

    Returns the scope to `set_scope` afterwards, or None where nothing is recorded.
    """
    if not is_recorded():
        return None
    outer = recorder.scope
    recorder.scope = (*outer, part)
    if not isinstance(part, str):
        recorder.used.append(part)
    return outer


def current_scope():
    """What is recorded just now, from the outermost inwards; None where nothing is."""
    return recorder.scope if is_recorded() else None


def set_scope(tuple scope not None):
    """Go back to a scope, or on in it."""
    if is_recorded():
        recorder.scope = scope


def note_change():
    """Tell that an object that recordings may depend on was changed."""
    global changes
    changes += 1


def change_count():
    """A number that grows with each change of what recordings depend on, and of where arrays lie."""
    return changes + moves


def move_count():
    """How often an array's memory was exchanged."""
    return moves


cdef Recorder recorder = None
cdef int64_t recordings = 0


def user_line():
    """Where the innermost frame outside this package is: "file.py:12 in step"."""
    package = os.path.dirname(__file__)
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(package):
        frame = frame.f_back
    if frame is None:
        return "?"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def memory_of(Array x not None):
    """(owner, offset, size, born, filled): the memory that x is a view of, in bytes.

    Offset and size are 0 for memory that is not ours. Born is the recording in which it was made, 0 for
    none; filled is whether Python was given that memory to write meanwhile.
    """
    cdef Pooled p
    if isinstance(x.owner, Pooled):
        p = <Pooled>x.owner
        return (p, <char *>x.a.data - <char *>p.memory, p.size, p.born, p.filled)
    return (x.owner, 0, 0, 0, False)


def whole(Array x not None):
    """All of the memory of our own that x is a view of, as contiguous uint8."""
    cdef Array y = Array.__new__(Array)
    cdef Pooled p = <Pooled?>x.owner
    y.a.ndim = 1
    y.a.dtype = FNN_U8
    y.a.shape[0] = p.size
    y.a.stride[0] = 1
    y.a.data = p.memory
    y.owner = p
    return y


def place(Array base not None, int64_t offset, shape, strides, int code):
    """A view at `offset` bytes into base's memory, which is contiguous uint8."""
    cdef Array y = Array.__new__(Array)
    cdef int i, n = len(shape)
    cdef int64_t low = 0, high = 0, reach
    if n > FNN_MAX_DIMS or code < 0 or code > FNN_BOOL:
        raise ValueError(f"place: {n} axes, dtype code {code}")
    y.a.ndim = n
    y.a.dtype = code
    for i in range(n):
        y.a.shape[i] = shape[i]
        y.a.stride[i] = strides[i]
        if y.a.shape[i] > 1:
            reach = (y.a.shape[i] - 1) * y.a.stride[i] * ITEMSIZE[code]
            low += reach if reach < 0 else 0
            high += reach if reach > 0 else 0
    if offset % ITEMSIZE[code] or (count(&y.a) and (
            offset + low < 0 or offset + high + ITEMSIZE[code] > count(&base.a))):
        raise ValueError(f"place: {tuple(shape)} at byte {offset} does not fit into {base.size} bytes")
    y.a.data = <char *>base.a.data + offset
    y.owner = base.owner
    y.locked = base.locked
    return y
