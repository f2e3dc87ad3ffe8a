# Shapes and strides.

cdef inline int64_t count(const fnn_array *a) noexcept nogil:
    cdef int64_t n = 1
    cdef int i
    for i in range(a.ndim):
        n *= a.shape[i]
    return n


cdef inline bint contiguous(const fnn_array *a) noexcept nogil:
    cdef int64_t expect = 1
    cdef int i
    for i in range(a.ndim):
        if a.shape[i] == 0:
            return True
    for i in range(a.ndim - 1, -1, -1):
        if a.shape[i] != 1 and a.stride[i] != expect:
            return False
        expect *= a.shape[i]
    return True


cdef int set_shape(fnn_array *a, shape, int code) except -1:
    """Fill in a contiguous layout; returns 0. The byte count is checked against overflow."""
    cdef int i, n = len(shape)
    cdef int64_t size, total = ITEMSIZE[code]
    if n > FNN_MAX_DIMS:
        raise ValueError(f"a tensor has at most {FNN_MAX_DIMS} axes, got {n}: {tuple(shape)}")
    a.ndim = n
    a.dtype = code
    for i in range(n - 1, -1, -1):
        size = PyNumber_Index(shape[i])  # a length of 1.5 is an error, not 1
        if size < 0:
            raise ValueError(f"a tensor's axes cannot be negative: {tuple(shape)}")
        a.shape[i] = size
        a.stride[i] = total // ITEMSIZE[code]
        if size > 1:
            if total > (<int64_t>1 << 62) // size:
                raise MemoryError(f"a tensor of shape {tuple(shape)} is larger than memory can be")
            total *= size
    return 0


cdef int check_count(const fnn_array *a) except -1:
    """Strides of 0 make a view of any length out of one element; its bytes must be countable."""
    cdef int i
    cdef int64_t elements = 1
    for i in range(a.ndim):
        if a.shape[i] < 0 or (a.shape[i] > 1 and elements > (<int64_t>1 << 58) // a.shape[i]):
            raise MemoryError(
                f"a tensor of shape {tuple([a.shape[k] for k in range(a.ndim)])} is larger than memory can be"
            )
        if a.shape[i] > 1:
            elements *= a.shape[i]
    return 0


cdef bint lay_out_like(fnn_array *y, const fnn_array *x) noexcept nogil:
    """Strides for y, whose shape is set, without gaps and in the order in which x's axes lie in memory.

    Axes of x of length 1, or along which it is repeated, say nothing and stay where they are. Matrices are
    row-major whatever x is: their products and rows are. Returns whether any axis is elsewhere than in
    row-major order.
    """
    cdef int telling[FNN_MAX_DIMS]
    cdef int order[FNN_MAX_DIMS]
    cdef int i, j, axis, n = 0, k = 0
    cdef bint turned = False
    cdef int64_t stride = 1
    for i in range(x.ndim):
        order[i] = i
        if x.shape[i] <= 1 or x.stride[i] == 0 or x.ndim < 3:
            continue
        j = n
        while j > 0 and magnitude(x.stride[telling[j - 1]]) < magnitude(x.stride[i]):
            telling[j] = telling[j - 1]
            j -= 1
            turned = True
        telling[j] = i
        n += 1
    if turned:
        for i in range(x.ndim):
            if x.shape[i] > 1 and x.stride[i] != 0:
                order[i] = telling[k]
                k += 1
    for i in range(y.ndim - 1, -1, -1):
        axis = order[i]
        y.stride[axis] = stride
        stride *= y.shape[axis] if y.shape[axis] > 1 else 1
    return turned


cdef inline int64_t magnitude(int64_t x) noexcept nogil:
    return -x if x < 0 else x


cdef bint tells_order(const fnn_array *x, const fnn_array *y) noexcept nogil:
    """Whether x has every axis of y at full length (where y is not reduced), each element once."""
    cdef int i
    if x.ndim != y.ndim:
        return False
    for i in range(x.ndim):
        if x.shape[i] != y.shape[i] and y.shape[i] != 1:
            return False
        if x.stride[i] == 0 and x.shape[i] > 1:
            return False
    return True


cdef bint lay_out_copy(fnn_array *y, const fnn_array *x) noexcept nogil:
    """Shape and strides of a copy of x, without gaps. Returns what `lay_out_like` does."""
    cdef int i
    y.ndim = x.ndim
    for i in range(x.ndim):
        y.shape[i] = x.shape[i]
    return lay_out_like(y, x)


cdef inline bint same_shape(const fnn_array *a, const fnn_array *b) noexcept nogil:
    """Whether two arrays have the same shape and dtype."""
    cdef int i
    if a.ndim != b.ndim or a.dtype != b.dtype:
        return False
    for i in range(a.ndim):
        if a.shape[i] != b.shape[i]:
            return False
    return True


cdef inline bint laid_out_alike(const fnn_array *a, const fnn_array *b) noexcept nogil:
    """Of arrays of one shape: whether their elements lie in the same places."""
    cdef int i
    for i in range(a.ndim):
        if a.stride[i] != b.stride[i] and a.shape[i] > 1:
            return False
    return True
