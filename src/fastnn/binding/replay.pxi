# The way from a call in Python to a recorded program and back: a microsecond, so all of it is here.

cdef enum:
    MOST_ARGUMENTS = 8


cdef class Replay:
    """A program, the arrays that its arguments are copied into, and what it returns.

    Where the function had views of those arrays, large arguments are read where they are from the second call
    on, and large results are made in memory of their own.

    Parameters
    ----------
    program : Program
    inputs : sequence of Array
        Contiguous.
    result : object
        A nest of tuples, lists and dicts with arrays in it, which are copied for the caller.
    attributes : Attributes, optional
        The gradients that tensors have before and after.
    known : list of Array, optional
        Given where the function had views of the inputs: the arrays that other parts of the recording have.

    Attributes
    ----------
    fitted : int
        The `change_count` at which all was known to be as when it was recorded.
    grad : bool
        Whether gradients were enabled then.
    """
    cdef readonly Program ready
    cdef tuple arguments
    cdef public object result
    cdef public int64_t fitted
    cdef public bint grad
    cdef Attributes attributes
    cdef Loans loans  # None: all is copied

    def __init__(self, Program program not None, inputs, result, Attributes attributes=None, list known=None):
        cdef Loans loans
        self.ready = program
        self.arguments = tuple(inputs)
        self.result = result
        self.attributes = Attributes() if attributes is None else attributes
        self.fitted = -1
        if known is not None:
            known = known + self.attributes.tensors()
            loans = Loans(program, self.arguments, arrays_in(result), known)
            self.loans = loans if loans.any() else None

    def __call__(self, *arguments):
        """Run on other values of the inputs: arrays like them. Returns a copy of the result."""
        if len(self.arguments) > MOST_ARGUMENTS and len(arguments) == len(self.arguments):
            return self.run_on(NULL, arguments)
        result = self.attempt(arguments)
        if result is NotImplemented:
            raise TypeError(
                f"a recording for {described(self.arguments)} was called with {described(arguments)}; call the "
                "compiled function, which has a recording for each kind of arguments"
            )
        return result

    cdef attempt(self, tuple arguments):
        """The same, or NotImplemented where the arguments are not a few arrays like the inputs."""
        cdef int i, taken = 0, n = len(self.arguments)
        cdef Py_buffer held[MOST_ARGUMENTS]
        cdef fnn_array lent[MOST_ARGUMENTS]
        cdef const fnn_array *values[MOST_ARGUMENTS]
        cdef Array there
        if len(arguments) != n or n > MOST_ARGUMENTS:
            return NotImplemented
        try:
            for i in range(n):
                there = <Array>self.arguments[i]
                value = arguments[i]
                if isinstance(value, Array):
                    if (<Array>value).wants_gradient != there.wants_gradient:
                        return NotImplemented
                    values[i] = &(<Array>value).a
                elif type(value) is ndarray and not there.wants_gradient:
                    if not hold(value, &held[taken]):
                        return NotImplemented
                    taken += 1
                    if not describe(&held[taken - 1], &lent[i]):
                        return NotImplemented
                    values[i] = &lent[i]
                else:
                    return NotImplemented
                if not alike(values[i], &there.a):
                    return NotImplemented
            return self.run_on(values, arguments)
        finally:
            for i in range(taken):
                PyBuffer_Release(&held[i])

    cdef run_on(self, const fnn_array **values, tuple arguments):
        """Run on the values that arguments have, which are arrays where `values` does not say it in C."""
        cdef int i
        cdef Array there
        cdef const fnn_array *value
        cdef dict made = None
        if is_recorded():
            raise RecordingError(f"{user_line()}: a recording was run while a function was recorded")
        self.ready.take()
        try:
            for i in range(len(self.arguments)):
                there = <Array>self.arguments[i]
                value = &(<Array?>arguments[i]).a if values == NULL else values[i]
                if self.loans is None or not self.loans.lend(i, value, arguments[i]):
                    copy_values(value, &there.a)
                    there.owner.version += 1
            if self.loans is not None:
                made = self.loans.fresh()
            self.attributes.prepare()
            self.ready.execute(1, 0)
            self.attributes.settle()
            return copied(self.result, made)
        finally:
            if self.loans is not None:
                self.loans.end()
            self.ready.leave()


cdef described(tuple arrays):
    """What arguments look like, for errors."""
    found = []
    for x in arrays:
        shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
        found.append(type(x).__name__ if shape is None or dtype is None else f"{dtype} {tuple(shape)}")
    return ", ".join(found) or "no arguments"


cdef bint hold(array, Py_buffer *held):
    """Hold numpy's memory; False where it is of a type that no buffer can have."""
    try:
        PyObject_GetBuffer(array, held, PyBUF_STRIDED_RO | PyBUF_FORMAT)
        return True
    except (BufferError, ValueError):
        return False


cdef bint alike(const fnn_array *a, const fnn_array *b) noexcept:
    """Whether a may be copied to b: the same shape and dtype, and the order in memory that b has.

    Another order would be as good for most ops, but sums go through memory as it lies, so that the eager
    function's last bits depend on it.
    """
    cdef fnn_array order
    if not same_shape(a, b):
        return False
    if laid_out_alike(a, b):
        return True
    lay_out_copy(&order, a)
    return laid_out_alike(&order, b)


cdef int copy_values(const fnn_array *source, const fnn_array *target) except -1:
    """Between arrays that are alike; the target has no gaps."""
    cdef fnn_call call
    cdef fnn_failure why
    cdef fnn_status status
    cdef int64_t size = count(target) * ITEMSIZE[target.dtype]
    cdef bint same = laid_out_alike(source, target)
    if same and source.data == target.data:
        return 0
    if same and size <= SMALL:
        memcpy(target.data, source.data, size)
        return 0
    call.op = FNN_OP_copy
    call.n_arrays = 2
    call.arrays[0] = source[0]
    call.arrays[1] = target[0]
    why.message = NULL
    with nogil:
        status = fnn_launch(&call, &why)
    if status != FNN_OK:
        raise_failure(FNN_OP_copy, status, &why, ())
    return 0


cdef copied(value, dict made):
    """A nest of tuples, lists and dicts with each array in it copied, or the one that was made in its place."""
    cdef Array array
    if isinstance(value, Array):
        if made is not None and id(value) in made:
            return made[id(value)]
        array = <Array>empty_like(<Array>value)
        copy_values(&(<Array>value).a, &array.a)
        return array
    if isinstance(value, tuple):
        items = [copied(item, made) for item in value]
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    if isinstance(value, list):
        return type(value)([copied(item, made) for item in value])
    if isinstance(value, dict):
        return {key: copied(item, made) for key, item in value.items()}
    return value


cdef list arrays_in(value):
    """The arrays in a nest of tuples, lists and dicts."""
    if isinstance(value, Array):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [x for item in value for x in arrays_in(item)] if isinstance(value, (tuple, list)) else []


cdef class Caller:
    """A function that is called through its recordings.

    Parameters
    ----------
    mode : object
        Its attribute `enabled` tells whether gradients are enabled.
    """
    cdef object mode
    cdef public list ready  # Replays of calls with arrays alone, the latest first
    cdef public object latest

    def __init__(self, mode):
        self.mode = mode
        self.ready = []

    def __call__(self, *arguments, **options):
        cdef Replay replay
        if is_recorded():
            return self.inline(arguments, options)
        if not options:
            for replay in self.ready:
                if replay.fitted == changes + moves and replay.grad == self.mode.enabled \
                        and replay.attributes.holds():
                    result = replay.attempt(arguments)
                    if result is not NotImplemented:
                        self.latest = replay
                        return result
        return self.call(arguments, options)

    def call(self, arguments, options):
        """Call it where no recording that is ready fits."""
        raise NotImplementedError

    def inline(self, arguments, options):
        """Call it while another function is recorded."""
        raise NotImplementedError
