# What a program reads where the caller has it, and makes where the caller keeps it.

cdef enum:
    # Bytes that are copied: sooner than a launch is prepared, and sooner than memory is lent. At 16 KB a copy
    # saves a tenth of a microsecond, at 32 KB it costs twice as much.
    SMALL = 24576


cdef class Loans:
    """Large arguments and results of a recording, in whose place the caller's memory is for a run.

    A piece of memory is lent only while none but the recording's own arrays are views of it: what a function
    keeps of its arguments and results (``self.hidden = x``) has the values of the latest call.

    Parameters
    ----------
    program : Program
    inputs : tuple of Array
        What arguments are copied into, all of its memory. The function was given views of them.
    results : list of Array
        What the program makes for the caller.
    known : list of Array
        All arrays that the recording itself has, apart from those of the program.
    """
    cdef fnn_loans *loans
    cdef Program program
    cdef tuple homes  # the inputs, then the results
    cdef int64_t *references  # what each one's owner has when nobody else does; -1: never lent
    cdef int inputs
    cdef bint filled  # whether the inputs have values, which `run_many` runs on
    cdef list lenders

    def __cinit__(self, Program program not None, tuple inputs, list results, list known):
        cdef int i, n
        cdef Array home
        cdef void **memory
        cdef int64_t *bytes
        self.program = program
        self.inputs = len(inputs)
        self.homes = inputs + tuple([x for x in results if whole_piece(x)])
        self.lenders = []
        n = len(self.homes)
        self.references = <int64_t *>malloc((3 * n + 1) * sizeof(int64_t))
        if self.references == NULL:
            raise MemoryError()
        memory, bytes = <void **>&self.references[n], &self.references[2 * n]
        for i in range(n):
            home = <Array>self.homes[i]
            memory[i], bytes[i] = home.a.data, home.nbytes
        self.loans = fnn_loans_new(program.program, memory, bytes, n)
        if self.loans == NULL:
            raise MemoryError()
        references = references_of([*known, *self.homes, *results, *program.arrays()], program.owners())
        shown = [id((<Array>x).owner) for x in results]
        for i in range(n):
            home = <Array>self.homes[i]
            self.references[i] = references[id(home.owner)]
            if bytes[i] <= SMALL or shown.count(id(home.owner)) != (i >= self.inputs) \
                    or fnn_loan_written(self.loans, i) != (i >= self.inputs):
                self.references[i] = -1

    def __dealloc__(self):
        fnn_loans_free(self.loans)
        free(self.references)

    cdef bint any(self) noexcept:
        """Whether there is anything to lend."""
        cdef int i
        for i in range(len(self.homes)):
            if self.references[i] >= 0:
                return True
        return False

    cdef bint alone(self, int i) noexcept:
        """Whether nobody but the recording has a view of this memory."""
        return references_to(<PyObject *>(<Array>self.homes[i]).owner) == self.references[i]

    cdef bint lend(self, int i, const fnn_array *value, argument) except -1:
        """Have the i-th argument's values read where they are, if that can be, and keep them alive."""
        cdef const fnn_array *home = &(<Array>self.homes[i]).a
        if not self.filled or not self.alone(i) or not same_shape(value, home) \
                or not laid_out_alike(value, home) or fnn_loan_taken(self.loans, value.data, count(home) * ITEMSIZE[home.dtype]):
            return False
        if isinstance(argument, Array):
            self.lenders.append((<Array>argument).owner)
        fnn_loan_move(self.loans, i, value.data)
        return True

    cdef dict fresh(self):
        """New arrays that the run makes its results in, by the ids of those that they stand for.

        All arguments were lent or copied by then.
        """
        cdef Array made
        cdef int i
        found = {}
        self.filled = True
        for i in range(self.inputs, len(self.homes)):
            if self.alone(i):
                made = <Array>empty_like(<Array>self.homes[i])
                fnn_loan_move(self.loans, i, made.a.data)
                found[id(self.homes[i])] = made
        return found

    cdef int end(self) except -1:
        """Nothing is lent any more."""
        fnn_loans_return(self.loans)
        self.lenders.clear()
        return 0


cdef bint whole_piece(Array x):
    """Whether a result is all of a piece of our memory, and lies in it as a copy would."""
    cdef fnn_array copy
    if not isinstance(x.owner, Pooled) or (<Pooled>x.owner).size != x.nbytes or \
            (<Pooled>x.owner).memory != x.a.data:
        return False
    lay_out_copy(&copy, &x.a)
    return laid_out_alike(&copy, &x.a)


cdef dict references_of(list arrays, list owners):
    """How many references arrays, and lists of owners, have to each owner, by its id."""
    cdef Array x
    found = {}
    for x in {id(x): x for x in arrays}.values():
        found[id(x.owner)] = found.get(id(x.owner), 0) + 1
    for owner in owners:
        found[id(owner)] = found.get(id(owner), 0) + 1
    return found
