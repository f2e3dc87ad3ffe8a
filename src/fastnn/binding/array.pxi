# Array: a strided view of memory; and the ways to make one.

cdef class Array:
    """A strided view of memory. The base of `fastnn.Tensor`, which gives it its functions.

    The fields behind automatic differentiation are here because every new array needs them empty, and a C
    field costs nothing to create.
    """
    cdef fnn_array a
    cdef Owner owner
    cdef bint locked
    cdef tuple shape_
    cdef object __weakref__
    cdef bint wants_gradient
    cdef object gradient
    cdef public object _node
    cdef public object _grad_view
    cdef public object name

    @property
    def grad(self):
        """The gradient that `backward` computed, None before."""
        if recorder is not None:
            recorder.meet(self, True)
        return self.gradient

    @grad.setter
    def grad(self, value):
        if recorder is not None:
            recorder.meet(self, False)
        self.gradient = value

    @property
    def _requires_grad(self):
        if recorder is not None and self._node is None:
            recorder.look_at(self)
        return self.wants_gradient

    @_requires_grad.setter
    def _requires_grad(self, bint value):
        if recorder is not None and self._node is None:
            recorder.look_at(self)
        self.wants_gradient = value

    @property
    def shape(self):
        """The length of each axis."""
        cdef int i
        if self.shape_ is None:
            self.shape_ = tuple([self.a.shape[i] for i in range(self.a.ndim)])
        return self.shape_

    @property
    def strides(self):
        """Elements from one entry to the next along each axis."""
        cdef int i
        return tuple([self.a.stride[i] for i in range(self.a.ndim)])

    @property
    def ndim(self):
        """The number of axes."""
        return self.a.ndim

    @property
    def size(self):
        """The number of elements."""
        return count(&self.a)

    @property
    def code(self):
        """The dtype's number in fastnn.h."""
        return self.a.dtype

    @property
    def itemsize(self):
        """Bytes of one element."""
        return ITEMSIZE[self.a.dtype]

    @property
    def nbytes(self):
        """Bytes of all elements."""
        return ITEMSIZE[self.a.dtype] * count(&self.a)

    @property
    def readonly(self):
        """Whether the memory may not be written, as of a read-only numpy array."""
        return self.locked

    @property
    def _pointer(self):
        return <uintptr_t>self.a.data

    @property
    def _version(self):
        return self.owner.version

    def _wrote(self):
        """Count a write that did not go through launch."""
        self.owner.version += 1

    def is_contiguous(self):
        """Whether the elements lie one after another in row-major order."""
        return contiguous(&self.a)

    def _shares_memory_with(self, Array other not None):
        """Whether both are views of one piece of memory."""
        return self.owner is other.owner

    def _rebind(self, Array other not None):
        """Become a view of other's memory, which must have this array's shape."""
        if self.shape != other.shape:
            raise ValueError(f"_rebind: shapes {self.shape} and {other.shape} differ")
        global moves
        self.a = other.a
        self.owner = other.owner
        self.locked = other.locked
        moves += 1

    def __len__(self):
        if self.a.ndim == 0:
            raise TypeError("len() of a tensor without axes; it holds one value, item() gives it")
        return self.a.shape[0]

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef int i, n = self.a.ndim
        if recorder is not None:
            recorder.lend(self.owner)
        cdef int64_t itemsize = ITEMSIZE[self.a.dtype]
        cdef Py_ssize_t *dims
        if flags & PyBUF_WRITABLE and self.locked:
            raise BufferError("this tensor's memory is read-only")
        if not contiguous(&self.a):
            if not (flags & PyBUF_STRIDES) == PyBUF_STRIDES:
                raise BufferError("this tensor's memory is not contiguous")
            if flags & (PyBUF_C_CONTIGUOUS & ~PyBUF_STRIDES):
                raise BufferError("this tensor's memory is not C-contiguous")
        dims = <Py_ssize_t *>malloc((2 * n + 1) * sizeof(Py_ssize_t))
        if dims == NULL:
            raise MemoryError()
        dims[2 * n] = 0
        if not self.locked:
            lend(self.owner)
            dims[2 * n] = <Py_ssize_t><void *>self.owner
        for i in range(n):
            dims[i] = self.a.shape[i]
            dims[n + i] = self.a.stride[i] * itemsize
        view.buf = self.a.data
        view.obj = self
        view.len = count(&self.a) * itemsize
        view.itemsize = itemsize
        view.readonly = self.locked
        view.ndim = n
        view.format = <char *>FORMAT[self.a.dtype] if flags & PyBUF_FORMAT else NULL
        view.shape = dims if flags & PyBUF_ND else NULL
        view.strides = dims + n if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = dims

    def __releasebuffer__(self, Py_buffer *view):
        cdef void *owner = <void *>(<Py_ssize_t *>view.internal)[2 * view.ndim]
        free(view.internal)
        if owner != NULL:
            returned(<Owner>owner)

    def __dlpack_device__(self):
        """The device in DLPack's numbers: the CPU."""
        return (1, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """A DLPack capsule that shares this memory."""
        if stream is not None:
            raise BufferError("__dlpack__: a CPU tensor has no stream, pass stream=None")
        if dl_device is not None and tuple(dl_device) != (1, 0):
            raise BufferError(f"__dlpack__: only the CPU (1, 0) is here, asked for {dl_device}")
        if copy:
            raise BufferError("__dlpack__: cannot copy on export; call clone() first")
        if self.locked:
            raise BufferError("__dlpack__: this tensor's memory is read-only; call clone() first")
        if recorder is not None:
            recorder.lend(self.owner)
        return to_capsule(self)


# How often an array's memory was exchanged; a recording made before would go on using the old one.
cdef int64_t moves = 0


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
    cdef int i
    y.a.ndim = x.a.ndim
    y.a.dtype = x.a.dtype
    for i in range(x.a.ndim):
        y.a.shape[i] = x.a.shape[i]
    lay_out_like(&y.a, &x.a)
    y.shape_ = x.shape_
    take_memory(y)
    return y


def memory_order(Array x not None):
    """The strides of an array laid out as `empty_like` does it; None where that is row-major."""
    cdef fnn_array y
    cdef int i
    if contiguous(&x.a):
        return None
    y.ndim = x.a.ndim
    for i in range(x.a.ndim):
        y.shape[i] = x.a.shape[i]
    if not lay_out_like(&y, &x.a):
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
