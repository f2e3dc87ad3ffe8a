# Array: a strided view of memory.

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
