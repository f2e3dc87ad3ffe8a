# Recording the calls of a function.

class RecordingError(RuntimeError):
    """A function did what a recording of it cannot repeat."""


# Types whose values say all.
cdef set PLAIN = {int, float, bool, str, type(None)}


cdef class Attributes:
    """What a recorded function met and left in attributes of tensors that were there before it.

    Calls do not say that ``.grad`` was None, or became a tensor: a replay is right only where it `holds`
    what the recorded execution met, and it has to `settle` what that left.
    """
    cdef set copies  # ids of the copies of arguments
    cdef dict gradients  # by id of the tensor: (weak reference, .grad that it had, whether it was looked at)
    cdef dict flags  # the same of requires_grad
    cdef list met, left  # once closed: (tensor, .grad) where it was looked at, and where it was set
    cdef list switched  # (tensor, requires_grad) where it was changed
    cdef list stored  # (attributes of an object, name, tensor) where a tensor was kept
    cdef list names  # (cell of a closure, None, value) and (dict of globals, name, value)
    cdef readonly list before, after  # functions to call in Python before and after each run of the calls

    def __init__(self):
        self.copies = set()
        self.gradients = {}
        self.flags = {}
        self.met = []
        self.left = []
        self.switched = []
        self.stored = []
        self.names = []
        self.before = []
        self.after = []

    cdef meet(self, Array x, dict where, value, bint read):
        known = where.get(id(x))
        if known is None or known[0]() is not x:
            where[id(x)] = (weakref.ref(x), value, read)

    def close(self):
        """Note what was left, at the end of the function. Views that were made meanwhile are gone by then."""
        cdef Array x
        for key, (where, value, read) in self.gradients.items():
            x = where()
            if x is None:
                continue
            if key in self.copies and x.gradient is not value:
                raise RecordingError(
                    f"{user_line()}: backward() left the gradient of an argument in its .grad; what is passed "
                    "is copied, so the caller's tensor would not get it. Return what fastnn.grad(loss, "
                    "argument) gives, or detach() the argument"
                )
            if read:
                self.met.append((x, value))
            if x.gradient is not value:
                self.left.append((x, x.gradient))
        for key, (where, value, _) in self.flags.items():
            x = where()
            if x is not None and x.wants_gradient != value and key not in self.copies:
                self.switched.append((x, bool(x.wants_gradient)))

    def undo(self):
        """Put back what was met."""
        cdef Array x
        for where, value, _ in self.gradients.values():
            x = where()
            if x is not None:
                x.gradient = value
        for where, value, _ in self.flags.values():
            x = where()
            if x is not None:
                x.wants_gradient = value

    def store(self, dict attributes not None, str name, Array value not None):
        """Note that an object kept a tensor as an attribute."""
        self.stored.append((attributes, name, value))

    def name(self, where not None, name, value):
        """Note what a name of the function's globals means, or a cell of its closure."""
        self.names.append((where, name, value))

    cpdef bint holds(self):
        """Whether each .grad is what the function met, and its names mean what they did."""
        for item in self.names:
            where, name, value = <tuple>item
            now = where.cell_contents if name is None else (<dict>where).get(name)
            if now is not value and not (type(now) is type(value) and type(now) in PLAIN and now == value):
                return False
        for item in self.met:
            if (<Array>(<tuple>item)[0]).gradient is not (<tuple>item)[1]:
                return False
        return True

    cdef list tensors(self):
        """The tensors whose .grad is looked at before each run."""
        return [(<tuple>item)[0] for item in self.met]

    def repeats(self):
        """Whether each .grad that was looked at is left as it was, so that a second run in a row is right."""
        left = {id(x): value for x, value in self.left}
        return all([left.get(id(x), value) is value for x, value in self.met])

    def same_flags(self):
        """Whether each tensor requires a gradient, or does not, as when the function met it."""
        cdef Array x
        for where, value, _ in self.flags.values():
            x = where()
            if x is not None and x.wants_gradient != value:
                return False
        return True

    cpdef prepare(self):
        """Do in Python what the function did before its calls."""
        for function in self.before:
            function()

    cpdef settle(self):
        """Leave in Python what the function left."""
        for item in self.left:
            (<Array>(<tuple>item)[0]).gradient = (<tuple>item)[1]
        for item in self.switched:
            (<Array>(<tuple>item)[0]).wants_gradient = (<tuple>item)[1]
        for item in self.stored:
            (<dict>(<tuple>item)[0])[(<tuple>item)[1]] = (<tuple>item)[2]
        for function in self.after:
            function()


cdef class Recorder:
    """Notes the launches that its thread makes within a ``with`` block; none of them computes anything.

    Reading the values of an input, or of what a call wrote, is an error: there are none yet.
    """
    cdef readonly list calls  # (op, arrays, scalars, scope)
    cdef readonly dict used  # what a replay depends on besides arrays: object by id, with its attributes
    cdef readonly Attributes attributes
    cdef readonly list deferred  # (function, arrays that it writes, calls noted before, line)
    cdef tuple scope  # what the next call is part of, from the outermost inwards: modules and names
    cdef readonly int64_t number
    cdef unsigned long thread
    cdef set copies  # ids of the owners of copies of arguments: writing to them would not change the arguments

    def __init__(self, inputs=(), bint copied=False):
        global recordings
        cdef Array x
        recordings += 1
        self.number = recordings
        self.calls = []
        self.used = {}
        self.attributes = Attributes()
        self.deferred = []
        self.scope = ()
        for x in inputs:
            x.owner.recording = self.number
            if copied:
                self.attributes.copies.add(id(x))
        self.copies = {id((<Array>x).owner) for x in inputs} if copied else set()

    def __enter__(self):
        global recorder
        if recorder is not None:
            raise RecordingError(
                "a recording is under way in this thread; what is called within it becomes part of it"
            )
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
                if self.copies and id((<Array>arrays[i]).owner) in self.copies:
                    raise RecordingError(
                        f"{user_line()}: an argument was written to while the function was recorded; what "
                        "is passed is copied, so the caller's tensor would not change. Write to a clone() "
                        "and return it, or use a tensor from outside the function"
                    )
        self.calls.append((op, arrays, scalars, self.scope))

    cdef use(self, obj):
        """A replay depends on an object; its attributes are noted as they were before."""
        if id(obj) not in self.used:
            if "_buffer_names" in obj.__dict__:
                obj.__dict__["_changed_at"] = ""  # from now on a module notes where it is given another layer
            self.used[id(obj)] = (obj, dict(obj.__dict__))

    cdef meet(self, Array x, bint read):
        """A tensor's .grad is looked at, or set."""
        if x.owner.born != self.number and self.listens():
            self.attributes.meet(x, self.attributes.gradients, x.gradient, read)

    cdef look_at(self, Array x):
        """Whether a tensor requires a gradient is looked at, or set."""
        if x.owner.born != self.number and self.listens():
            self.attributes.meet(x, self.attributes.flags, x.wants_gradient, True)

    cdef bint readable(self, Owner owner):
        """Whether memory has the values that it will have at a replay: those that Python gave it meanwhile."""
        return owner.born == self.number and owner.recording != self.number

    cdef lend(self, Owner owner):
        """Python is given memory to read and write."""
        if not self.listens():
            return
        if self.readable(owner):
            owner.filled = True
        elif owner.recording == self.number:
            raise RecordingError(
                f"{user_line()}: a value of a tensor was read (or written through numpy) while the "
                "function was recorded. Nothing is computed yet then, and a replay runs without Python, "
                "so it could not follow. Return the tensor and read it outside; choose between values "
                "with where(); or keep this function eager"
            )
        else:
            raise RecordingError(
                f"{user_line()}: a value of a tensor from outside the function was read (or written "
                "through numpy) while the function was recorded; a replay would not look again. Read it "
                "before, or compute with the tensor itself; write to it with copy_(), fill_() or x[...] ="
            )


def recording():
    """Whether the calling thread is recording a function."""
    return recorder is not None and recorder.listens()


def refuse(why, Array x=None):
    """Raise a RecordingError with the user's line, if the calling thread is recording a function.

    With an array, only if its values may not be read meanwhile.
    """
    if recording() and (x is None or not recorder.readable(x.owner)):
        raise RecordingError(f"{user_line()}: {why}")


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
        recorder.use(part)
    return outer


def current_scope():
    """What is recorded just now, from the outermost inwards; None where nothing is."""
    return recorder.scope if is_recorded() else None


def set_scope(tuple scope not None):
    """Go back to a scope, or on in it."""
    if is_recorded():
        recorder.scope = scope


def defer(function, arrays):
    """Let a replay call a Python function that writes small arrays, if a recording is under way.

    Returns whether it is; nothing is called then until the replay.
    """
    if not is_recorded():
        return False
    recorder.deferred.append((function, list(arrays), len(recorder.calls), user_line()))
    return True


def note_use(obj):
    """Tell the recording under way, if any, that it depends on an object's attributes."""
    if is_recorded():
        recorder.use(obj)


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
