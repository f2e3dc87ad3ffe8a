# Pieces of memory: whose they are, and views of them.

def memory_of(Array x not None, int64_t number=0):
    """(owner, offset, size, born, filled): the memory that x is a view of, in bytes.

    Born is whether it was made in the recording of that number; filled is whether Python was given it to
    write meanwhile. Offset and size are 0 for memory that is neither ours nor was lent to us meanwhile.
    """
    cdef Pooled p
    cdef Exported e
    cdef bint born = number > 0 and x.owner.born == number
    if isinstance(x.owner, Pooled):
        p = <Pooled>x.owner
        return (p, <char *>x.a.data - <char *>p.memory, p.size, born, p.filled)
    if isinstance(x.owner, Exported) and born:
        e = <Exported>x.owner
        if PyBuffer_IsContiguous(&e.view, c"A"):
            return (e, <char *>x.a.data - <char *>e.view.buf, e.view.len, True, True)
    return (x.owner, 0, 0, False, False)


def lender_is_held(Owner owner not None):
    """Whether anybody has the object whose memory was lent to us, or one that it is a view of."""
    cdef object lender
    if not isinstance(owner, Exported):
        return False
    lender = <object>(<Exported>owner).view.obj
    while lender is not None:
        if Py_REFCNT(lender) > 2:  # the lent buffer's, or its view's, and that of the variable here
            return True
        lender = getattr(lender, "base", None)
    return False


def whole(Array x not None):
    """All of the memory that x is a view of, of our own or lent by another object, as contiguous uint8."""
    cdef Array y = Array.__new__(Array)
    y.a.ndim = 1
    y.a.dtype = FNN_U8
    y.a.stride[0] = 1
    if isinstance(x.owner, Pooled):
        y.a.shape[0] = (<Pooled>x.owner).size
        y.a.data = (<Pooled>x.owner).memory
    else:
        y.a.shape[0] = (<Exported?>x.owner).view.len
        y.a.data = (<Exported>x.owner).view.buf
        y.locked = (<Exported>x.owner).view.readonly
    y.owner = x.owner
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
