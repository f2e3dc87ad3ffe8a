# The ways to make an array: new memory, a view, another object's memory.

cdef int take_memory(Array y) except -1:
    """Memory for an array whose shape and strides are set."""
    cdef Pooled owner = Pooled.__new__(Pooled)
    owner.size = count(&y.a) * ITEMSIZE[y.a.dtype]
    owner.memory = fnn_alloc(owner.size)
    if owner.memory == NULL:
        raise MemoryError(f"no memory for a tensor of shape {y.shape}, {owner.size} bytes")
    y.a.data = owner.memory
    y.owner = owner
    if recorder is not None and recorder.listens():
        owner.born = recorder.number
    return 0


def empty(type cls not None, shape, int code):
    """A new array of class cls with values not set, contiguous."""
    cdef Array y = Array.__new__(cls)
    if code < 0 or code > FNN_BOOL:
        raise ValueError(f"no dtype has code {code}")
    set_shape(&y.a, shape, code)
    take_memory(y)
    return y


def empty_for(type cls not None, shape, int code, Array a not None, Array b=None, Array c=None):
    """A new array for what is computed from others, element by element or by a reduction.

    It lies in memory as the first operand does that has all of its axes in another than row-major order,
    so that images whose channels come last in memory stay so, also beside a gradient that was made of a
    single number; row-major where no operand says otherwise.
    """
    cdef Array y = Array.__new__(cls)
    if code < 0 or code > FNN_BOOL:
        raise ValueError(f"no dtype has code {code}")
    set_shape(&y.a, shape, code)
    if not (tells_order(&a.a, &y.a) and lay_out_like(&y.a, &a.a)):
        if not (b is not None and tells_order(&b.a, &y.a) and lay_out_like(&y.a, &b.a)):
            if c is not None and tells_order(&c.a, &y.a):
                lay_out_like(&y.a, &c.a)
    take_memory(y)
    return y


def empty_like(Array x not None):
    """A new array with x's class, shape, dtype and order in memory, without gaps, its values not set."""
    cdef Array y = Array.__new__(type(x))
    y.a.dtype = x.a.dtype
    lay_out_copy(&y.a, &x.a)
    y.shape_ = x.shape_
    take_memory(y)
    return y


def memory_order(Array x not None):
    """The strides of an array laid out as `empty_like` does it; None where that is row-major."""
    cdef fnn_array y
    cdef int i
    if contiguous(&x.a) or not lay_out_copy(&y, &x.a):
        return None
    return tuple([y.stride[i] for i in range(y.ndim)])


def view(type cls not None, Array x not None, shape, strides, int64_t offset=0):
    """A view of x's memory: shape, strides in elements, offset in elements from x's first.

    The view must lie within the span of memory that x itself covers; that is checked.
    """
    cdef Array y = Array.__new__(cls)
    cdef int i, n = len(shape)
    cdef int64_t low = 0, high = 0, x_low = 0, x_high = 0, reach, itemsize = ITEMSIZE[x.a.dtype]
    cdef bint vacant = False
    if n > FNN_MAX_DIMS:
        raise ValueError(f"a tensor has at most {FNN_MAX_DIMS} axes, got {n}: {tuple(shape)}")
    if len(strides) != n:
        raise ValueError(f"view: {n} axes but {len(strides)} strides")
    y.a.ndim = n
    y.a.dtype = x.a.dtype
    for i in range(n):
        y.a.shape[i] = shape[i]
        y.a.stride[i] = strides[i]
        if y.a.shape[i] < 0:
            raise ValueError(f"a tensor's axes cannot be negative: {tuple(shape)}")
        if y.a.shape[i] == 0:
            vacant = True
        elif y.a.shape[i] > 1:
            reach = (y.a.shape[i] - 1) * y.a.stride[i]
            if reach < 0:
                low += reach
            else:
                high += reach
    for i in range(x.a.ndim):
        if x.a.shape[i] > 1:
            reach = (x.a.shape[i] - 1) * x.a.stride[i]
            if reach < 0:
                x_low += reach
            else:
                x_high += reach
    if vacant:
        offset = 0
    elif count(&x.a) == 0 or offset + low < x_low or offset + high > x_high:
        raise ValueError(
            f"view: shape {tuple(shape)}, strides {tuple(strides)}, offset {offset} reach outside "
            f"the memory of a tensor of shape {x.shape}, strides {x.strides}"
        )
    check_count(&y.a)
    y.a.data = <char *>x.a.data + offset * itemsize
    y.owner = x.owner
    y.locked = x.locked
    return y


cdef bint describe(const Py_buffer *b, fnn_array *a) noexcept:
    """Fill in a buffer's layout; False where it has none of ours."""
    cdef int i, code = code_of_format(b.format, b.itemsize)
    if code < 0 or b.ndim > FNN_MAX_DIMS or <uintptr_t>b.buf % <uintptr_t>b.itemsize:
        return False
    a.dtype = code
    a.ndim = b.ndim
    for i in range(b.ndim):
        if b.strides[i] % b.itemsize:
            return False
        a.shape[i] = b.shape[i]
        a.stride[i] = b.strides[i] // b.itemsize
    a.data = b.buf
    return True


def from_buffer(type cls not None, obj):
    """An array over obj's buffer without a copy, or None where that cannot be (format, byte order,
    alignment, strides that are no multiple of an element, too many axes)."""
    cdef Array y = Array.__new__(cls)
    cdef Exported owner = Exported.__new__(Exported)
    cdef Py_buffer *b = &owner.view
    if PyObject_GetBuffer(obj, b, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0:
        raise BufferError("the object has no strided buffer")
    owner.held = True
    if not describe(b, &y.a):
        return None
    check_count(&y.a)
    y.locked = b.readonly
    y.owner = owner
    if recorder is not None and recorder.listens():
        owner.born = recorder.number
    return y
