# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""The binding: arrays over memory, and the launch of C ops on them.

An `Array` is a view (pointer, shape, strides in elements, dtype code) of memory kept alive by an owner: our
own pool, another object's buffer, or a DLPack capsule. `launch` checks that it got arrays, hands them to C
and turns a status into an exception. There is no arithmetic here, and no pointer leaves but as an integer.
"""
from cpython.buffer cimport (
    PyBUF_F_CONTIGUOUS, PyBUF_C_CONTIGUOUS, PyBUF_ANY_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND,
    PyBUF_STRIDES, PyBUF_WRITABLE, PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.number cimport PyNumber_Index
from cpython.pycapsule cimport (
    PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New, PyCapsule_SetName,
)
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import os
import sys
import threading
import types


cdef extern from "fastnn.h" nogil:
    enum: FNN_MAX_DIMS
    enum: FNN_MAX_ARRAYS
    enum: FNN_MAX_SCALARS
    enum: FNN_OPS
    enum: FNN_OP_matmul
    ctypedef enum fnn_dtype:
        FNN_F32, FNN_F64, FNN_I64, FNN_I32, FNN_U8, FNN_BOOL
    ctypedef enum fnn_status:
        FNN_OK, FNN_ERR_DTYPE, FNN_ERR_SHAPE, FNN_ERR_VALUE, FNN_ERR_MEMORY
    ctypedef struct fnn_array:
        void *data
        int64_t shape[8]
        int64_t stride[8]
        int32_t ndim
        int32_t dtype
    ctypedef union fnn_scalar:
        double f
        int64_t i
    ctypedef struct fnn_call:
        int32_t op
        int32_t n_arrays
        fnn_array arrays[12]
        fnn_scalar scalars[12]
    ctypedef struct fnn_failure:
        const char *message
        int64_t seen
        int64_t limit
    ctypedef struct c_plan "fnn_plan":
        int64_t workspace
        int64_t tasks
        double flops
        double bytes
    ctypedef struct fnn_op_info:
        const char *name
        const char *family
        const char *arrays
        const char *scalars
    const fnn_op_info *fnn_op(int op)
    fnn_status fnn_plan_call(const fnn_call *call, c_plan *plan, fnn_failure *why)
    fnn_status fnn_launch(const fnn_call *call, fnn_failure *why)
    ctypedef struct fnn_program:
        pass
    ctypedef struct fnn_program_step:
        c_plan plan
        int threads
        int meets
    fnn_status fnn_program_new(const fnn_call *calls, int64_t n, fnn_program **program, int64_t *at,
                               fnn_failure *why)
    void fnn_program_free(fnn_program *program)
    fnn_status fnn_program_run(fnn_program *program, int64_t repeats, double seconds, int64_t *done,
                               int64_t *at, fnn_failure *why)
    fnn_program_step fnn_program_step_at(const fnn_program *program, int64_t i)
    void fnn_program_time(fnn_program *program, int on)
    const double *fnn_program_seconds(const fnn_program *program)
    int fnn_isa_select(const char *name)
    const char *fnn_isa_name()
    int fnn_isa_compiled(int i, const char **name, int *supported)
    const char *fnn_cpu_name()
    const char *fnn_compiler()
    int fnn_threads()
    void fnn_set_threads(int n)
    const char *fnn_threads_reason()
    const char *fnn_threads_backend()
    int fnn_cores()
    void *fnn_alloc(int64_t size)
    void fnn_free(void *memory, int64_t size)
    void fnn_alloc_trim()
    int64_t fnn_alloc_in_use()


# --- dtypes: the codes of fastnn.h ---

cdef int64_t ITEMSIZE[6]
ITEMSIZE[0] = 4
ITEMSIZE[1] = 8
ITEMSIZE[2] = 8
ITEMSIZE[3] = 4
ITEMSIZE[4] = 1
ITEMSIZE[5] = 1
cdef const char *FORMAT[6]
FORMAT[0] = b"f"
FORMAT[1] = b"d"
FORMAT[2] = b"q"
FORMAT[3] = b"i"
FORMAT[4] = b"B"
FORMAT[5] = b"?"


cdef int code_of_format(const char *format, Py_ssize_t itemsize) noexcept:
    """The dtype code of a buffer's format string, -1 for one that is not ours or not native."""
    cdef char c
    if format == NULL:
        return FNN_U8
    if format[0] in (c"@", c"="):
        format += 1
    elif format[0] == c"<":
        if not little_endian():
            return -1
        format += 1
    if format[0] == 0 or format[1] != 0:
        return -1
    c = format[0]
    if c == c"f" and itemsize == 4:
        return FNN_F32
    if c == c"d" and itemsize == 8:
        return FNN_F64
    if c in (c"q", c"l", c"n") and itemsize == 8:
        return FNN_I64
    if c in (c"i", c"l") and itemsize == 4:
        return FNN_I32
    if c == c"B" and itemsize == 1:
        return FNN_U8
    if c == c"?" and itemsize == 1:
        return FNN_BOOL
    return -1


cdef inline bint little_endian() noexcept:
    cdef uint16_t one = 1
    return (<uint8_t *>&one)[0] == 1


# --- memory and who keeps it ---

cdef class Owner:
    """Keeps memory alive. `version` counts the writes made through launch, for all views of the memory;
    `recording` is the number of the recording in which a call last wrote it, or that it is an input of."""
    cdef int64_t version
    cdef int64_t recording


cdef class Pooled(Owner):
    cdef void *memory
    cdef int64_t size
    cdef int64_t born  # the recording in which it was made, 0 for none

    def __dealloc__(self):
        if self.memory != NULL:
            fnn_free(self.memory, self.size)


cdef class Exported(Owner):
    """Another object's memory, held through the buffer protocol."""
    cdef Py_buffer view
    cdef bint held

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef struct DLDevice:
    int32_t device_type
    int32_t device_id

cdef struct DLDataType:
    uint8_t code
    uint8_t bits
    uint16_t lanes

cdef struct DLTensor:
    void *data
    DLDevice device
    int32_t ndim
    DLDataType dtype
    int64_t *shape
    int64_t *strides
    uint64_t byte_offset

cdef struct DLManagedTensor:
    DLTensor dl_tensor
    void *manager_ctx
    void (*deleter)(DLManagedTensor *) noexcept


cdef class Borrowed(Owner):
    """Memory lent by a DLPack capsule."""
    cdef DLManagedTensor *managed

    def __dealloc__(self):
        if self.managed != NULL and self.managed.deleter != NULL:
            self.managed.deleter(self.managed)


# --- arrays ---

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
    cdef public bint _requires_grad
    cdef public object grad
    cdef public object _node
    cdef public object _grad_view
    cdef public object name

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
        self.a = other.a
        self.owner = other.owner
        self.locked = other.locked

    def __len__(self):
        if self.a.ndim == 0:
            raise TypeError("len() of a tensor without axes; it holds one value, item() gives it")
        return self.a.shape[0]

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef int i, n = self.a.ndim
        if recorder is not None:
            recorder.refuse_reading(self.owner)
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
        free(view.internal)

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
            recorder.refuse_reading(self.owner)
        return to_capsule(self)


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


def empty(type cls not None, shape, int code):
    """A new array of class cls with values not set."""
    cdef Array y = Array.__new__(cls)
    cdef Pooled owner = Pooled.__new__(Pooled)
    if code < 0 or code > FNN_BOOL:
        raise ValueError(f"no dtype has code {code}")
    set_shape(&y.a, shape, code)
    owner.size = count(&y.a) * ITEMSIZE[code]
    owner.memory = fnn_alloc(owner.size)
    if owner.memory == NULL:
        raise MemoryError(f"no memory for a tensor of shape {tuple(shape)}, {owner.size} bytes")
    y.a.data = owner.memory
    y.owner = owner
    if recorder is not None:
        owner.born = recorder.number
    return y


def empty_like(Array x not None):
    """A new contiguous array with x's class, shape and dtype, its values not set."""
    cdef Array y = Array.__new__(type(x))
    cdef Pooled owner = Pooled.__new__(Pooled)
    cdef int i
    cdef int64_t stride = 1
    y.a.ndim = x.a.ndim
    y.a.dtype = x.a.dtype
    for i in range(x.a.ndim - 1, -1, -1):
        y.a.shape[i] = x.a.shape[i]
        y.a.stride[i] = stride
        stride *= x.a.shape[i] if x.a.shape[i] > 1 else 1
    owner.size = count(&y.a) * ITEMSIZE[x.a.dtype]
    owner.memory = fnn_alloc(owner.size)
    if owner.memory == NULL:
        raise MemoryError(f"no memory for a tensor of shape {x.shape}, {owner.size} bytes")
    y.a.data = owner.memory
    y.owner = owner
    y.shape_ = x.shape_
    if recorder is not None:
        owner.born = recorder.number
    return y


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


def from_buffer(type cls not None, obj):
    """An array over obj's buffer without a copy, or None where that cannot be (format, byte order,
    alignment, strides that are no multiple of an element, too many axes)."""
    cdef Array y = Array.__new__(cls)
    cdef Exported owner = Exported.__new__(Exported)
    cdef int i, code
    cdef Py_buffer *b = &owner.view
    if PyObject_GetBuffer(obj, b, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0:
        raise BufferError("the object has no strided buffer")
    owner.held = True
    code = code_of_format(b.format, b.itemsize)
    if code < 0 or b.ndim > FNN_MAX_DIMS or <uintptr_t>b.buf % <uintptr_t>b.itemsize:
        return None
    y.a.dtype = code
    y.a.ndim = b.ndim
    for i in range(b.ndim):
        if b.strides[i] % b.itemsize:
            return None
        y.a.shape[i] = b.shape[i]
        y.a.stride[i] = b.strides[i] // b.itemsize
    check_count(&y.a)
    y.a.data = b.buf
    y.locked = b.readonly
    y.owner = owner
    return y


# --- DLPack ---

cdef struct Lent:
    DLManagedTensor managed
    int64_t shape[8]
    int64_t stride[8]


cdef void give_back(DLManagedTensor *managed) noexcept with gil:
    Py_DECREF(<object>managed.manager_ctx)
    free(<void *>managed)


cdef void drop_capsule(object capsule) noexcept:
    cdef DLManagedTensor *managed
    if PyCapsule_IsValid(capsule, "dltensor"):
        managed = <DLManagedTensor *>PyCapsule_GetPointer(capsule, "dltensor")
        managed.deleter(managed)


cdef object to_capsule(Array x):
    cdef Lent *lent = <Lent *>malloc(sizeof(Lent))
    cdef int i
    cdef DLTensor *t
    if lent == NULL:
        raise MemoryError()
    memset(lent, 0, sizeof(Lent))
    t = &lent.managed.dl_tensor
    for i in range(x.a.ndim):
        lent.shape[i] = x.a.shape[i]
        lent.stride[i] = x.a.stride[i]
    t.data = x.a.data
    t.device.device_type = 1
    t.ndim = x.a.ndim
    t.shape = lent.shape
    t.strides = lent.stride
    t.dtype.lanes = 1
    t.dtype.bits = 8 * ITEMSIZE[x.a.dtype]
    t.dtype.code = {FNN_F32: 2, FNN_F64: 2, FNN_I64: 0, FNN_I32: 0, FNN_U8: 1, FNN_BOOL: 6}[x.a.dtype]
    lent.managed.deleter = give_back
    lent.managed.manager_ctx = <void *>x
    Py_INCREF(x)
    try:
        return PyCapsule_New(lent, "dltensor", <void (*)(object) noexcept>drop_capsule)
    except BaseException:
        give_back(&lent.managed)
        raise


def from_capsule(type cls not None, capsule):
    """An array over the memory of a DLPack capsule, which is used up."""
    cdef Array y = Array.__new__(cls)
    cdef Borrowed owner = Borrowed.__new__(Borrowed)
    cdef DLManagedTensor *managed
    cdef DLTensor *t
    cdef int i, code
    cdef int64_t stride = 1
    if not PyCapsule_IsValid(capsule, "dltensor"):
        raise BufferError("from_dlpack: the capsule is not a DLPack tensor, or was used already")
    managed = <DLManagedTensor *>PyCapsule_GetPointer(capsule, "dltensor")
    t = &managed.dl_tensor
    if t.device.device_type != 1:
        raise BufferError(f"from_dlpack: the tensor is on device type {t.device.device_type}, not the CPU")
    code = {(2, 32): 0, (2, 64): 1, (0, 64): 2, (0, 32): 3, (1, 8): 4, (6, 8): 5}.get(
        (t.dtype.code, t.dtype.bits), -1)
    if code < 0 or t.dtype.lanes != 1:
        raise BufferError(f"from_dlpack: element type {t.dtype.code} with {t.dtype.bits} bits is not taken")
    if t.ndim > FNN_MAX_DIMS:
        raise BufferError(f"from_dlpack: {t.ndim} axes, at most {FNN_MAX_DIMS} are taken")
    y.a.data = <char *>t.data + t.byte_offset
    if <uintptr_t>y.a.data % <uintptr_t>ITEMSIZE[code]:
        raise BufferError("from_dlpack: the memory is not aligned to its elements")
    y.a.dtype = code
    y.a.ndim = t.ndim
    for i in range(t.ndim - 1, -1, -1):
        y.a.shape[i] = t.shape[i]
        y.a.stride[i] = stride if t.strides == NULL else t.strides[i]
        stride *= t.shape[i]
    check_count(&y.a)
    PyCapsule_SetName(capsule, "used_dltensor")
    owner.managed = managed
    y.owner = owner
    return y


# --- ops ---

ops = types.SimpleNamespace()  # the op numbers by name: ops.exp
cdef char SCALAR_KIND[2048][12]
cdef int N_SCALARS[2048]
cdef int N_ARRAYS[2048]
cdef int N_INPUTS[2048]


cdef _read_op_list():
    cdef int op, k
    for op in range(FNN_OPS):
        info = fnn_op(op)
        setattr(ops, info.name.decode(), op)
        inputs, outputs = info.arrays.decode().split("->")
        N_INPUTS[op] = len(inputs.split())
        N_ARRAYS[op] = N_INPUTS[op] + len(outputs.split())
        kinds = [word.split(":")[1] for word in info.scalars.decode().split()]
        N_SCALARS[op] = len(kinds)
        for k in range(len(kinds)):
            SCALAR_KIND[op][k] = c"f" if kinds[k] == "f" else c"i"


assert FNN_OPS <= 2048
_read_op_list()


def op_info(int op):
    """(name, family, arrays, scalars) of an op, as ops.def has them."""
    if op < 0 or op >= FNN_OPS:
        raise ValueError(f"no op has number {op}")
    info = fnn_op(op)
    return (info.name.decode(), info.family.decode(), info.arrays.decode(), info.scalars.decode())


# Elements of a call so short that giving up the GIL and taking it again would cost more.
cdef enum:
    SHORT = 4096


cdef int fill_call(fnn_call *call, int op, tuple arrays, tuple scalars, int64_t *elements) except -1:
    cdef int i
    cdef Array x
    if op < 0 or op >= FNN_OPS:
        raise ValueError(f"no op has number {op}")
    if len(arrays) != N_ARRAYS[op] or len(scalars) != N_SCALARS[op]:
        raise TypeError(f"{op_info(op)} got {len(arrays)} arrays and {len(scalars)} scalars")
    call.op = op
    call.n_arrays = N_ARRAYS[op]
    elements[0] = 0
    for i in range(N_ARRAYS[op]):
        item = arrays[i]
        if item is None:
            call.arrays[i].data = NULL
            call.arrays[i].ndim = -1
            call.arrays[i].dtype = 0
        elif isinstance(item, Array):
            x = <Array>item
            call.arrays[i] = x.a
            if i >= N_INPUTS[op]:
                if x.locked:
                    raise ValueError(
                        f"{op_info(op)[0]}: the output's memory is read-only; give a writable array "
                        "or a copy")
                x.owner.version += 1
            elements[0] += count(&x.a)
        else:
            raise TypeError(f"{op_info(op)[0]}: expected a Tensor, got {type(item).__name__}")
    for i in range(N_SCALARS[op]):
        if SCALAR_KIND[op][i] == c"f":
            call.scalars[i].f = scalars[i]
        else:
            call.scalars[i].i = scalars[i]
    return 0


cdef raise_failure(int op, fnn_status status, fnn_failure *why, tuple arrays):
    message = "" if why.message == NULL else why.message.decode()
    message = message.replace("{seen}", str(why.seen)).replace("{limit}", str(why.limit))
    if status == FNN_ERR_MEMORY:
        raise MemoryError(f"{op_info(op)[0]}: {message or 'no memory for the workspace'}")
    if status == FNN_ERR_VALUE:
        raise ValueError(f"{op_info(op)[0]}: {message}")
    shapes = ", ".join("none" if x is None else str(x.shape) for x in arrays)
    if status == FNN_ERR_DTYPE:
        codes = ", ".join("none" if x is None else str(getattr(x, "dtype", x.code)) for x in arrays)
        raise TypeError(f"{op_info(op)[0]}: {message or 'dtypes do not fit'} (dtypes: {codes})")
    raise ValueError(f"{op_info(op)[0]}: {message or 'shapes do not fit'} (shapes: {shapes})")


def launch(int op, tuple arrays not None, tuple scalars not None=()):
    """Run an op: its arrays (inputs, then outputs, None where optional and absent) and its scalars."""
    cdef fnn_call call
    cdef fnn_failure why
    cdef fnn_status status
    cdef int64_t elements
    why.message = NULL
    fill_call(&call, op, arrays, scalars, &elements)
    if elements < SHORT:
        status = fnn_launch(&call, &why)
    else:
        with nogil:
            status = fnn_launch(&call, &why)
    if status != FNN_OK:
        raise_failure(op, status, &why, arrays)
    if recorder is not None:
        recorder.note(op, arrays, scalars)


def product(type cls not None, a, b):
    """The product of two float matrices, or None where a or b is anything else, or they do not fit.

    What ``matmul`` does with two matrices, without the Python in between: for small ones that would take
    longer than the product.
    """
    cdef fnn_call call
    cdef fnn_failure why
    cdef fnn_status status
    cdef Array x, w, y
    cdef Pooled owner
    if not (isinstance(a, Array) and isinstance(b, Array)):
        return None
    x = <Array>a
    w = <Array>b
    if x.a.ndim != 2 or w.a.ndim != 2 or x.a.dtype != w.a.dtype or x.a.dtype > FNN_F64 \
            or x.a.shape[1] != w.a.shape[0] or recorder is not None:
        return None  # a recording notes launches
    y = Array.__new__(cls)
    owner = Pooled.__new__(Pooled)
    y.a.ndim = 2
    y.a.dtype = x.a.dtype
    y.a.shape[0] = x.a.shape[0]
    y.a.shape[1] = w.a.shape[1]
    y.a.stride[0] = w.a.shape[1]
    y.a.stride[1] = 1
    owner.size = multiplied(y.a.shape[0], y.a.shape[1], ITEMSIZE[y.a.dtype])
    owner.memory = fnn_alloc(owner.size)
    if owner.memory == NULL:
        raise MemoryError(f"no memory for a product of shape {y.shape}, {owner.size} bytes")
    y.a.data = owner.memory
    y.owner = owner
    call.op = FNN_OP_matmul
    call.n_arrays = 4
    call.arrays[0] = x.a
    call.arrays[1] = w.a
    call.arrays[2].data = NULL
    call.arrays[2].ndim = -1
    call.arrays[2].dtype = 0
    call.arrays[3] = y.a
    memset(call.scalars, 0, sizeof(call.scalars))
    why.message = NULL
    if count(&x.a) + count(&w.a) < SHORT:
        status = fnn_launch(&call, &why)
    else:
        with nogil:
            status = fnn_launch(&call, &why)
    if status != FNN_OK:
        raise_failure(FNN_OP_matmul, status, &why, (x, w, None, y))
    return y


cdef int64_t multiplied(int64_t a, int64_t b, int64_t c) noexcept:
    """a * b * c, or a size that no allocation succeeds with where that overflows."""
    if a and b > (<int64_t>1 << 60) // a // c:
        return <int64_t>1 << 60
    return a * b * c


def cost(int op, tuple arrays not None, tuple scalars not None=()):
    """(flops, bytes, workspace bytes, most useful threads) of a call, without running it."""
    cdef fnn_call call
    cdef fnn_failure why
    cdef c_plan plan
    cdef fnn_status status
    cdef int64_t elements
    why.message = NULL
    fill_call(&call, op, arrays, scalars, &elements)
    status = fnn_plan_call(&call, &plan, &why)
    if status != FNN_OK:
        raise_failure(op, status, &why, arrays)
    return plan.flops, plan.bytes, plan.workspace, plan.tasks


# --- recording and replaying ---

class RecordingError(RuntimeError):
    """A function did what a recording of it cannot repeat."""


cdef class Recorder:
    """Notes the launches that its thread makes within a ``with`` block.

    Reading the values of an input, or of what a call wrote, is an error: a replay would not read them.
    """
    cdef readonly list calls
    cdef int64_t number
    cdef unsigned long thread

    def __init__(self, inputs=()):
        global recordings
        cdef Array x
        recordings += 1
        self.number = recordings
        self.calls = []
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

    cdef note(self, int op, tuple arrays, tuple scalars):
        cdef int i
        if PyThread_get_thread_ident() != self.thread:
            return
        for i in range(N_INPUTS[op], N_ARRAYS[op]):
            if arrays[i] is not None:
                (<Array>arrays[i]).owner.recording = self.number
        self.calls.append((op, arrays, scalars))

    cdef refuse_reading(self, Owner owner):
        if owner.recording == self.number and PyThread_get_thread_ident() == self.thread:
            raise RecordingError(
                f"{user_line()}: a value of a tensor was read while the function was recorded; a replay "
                "computes without Python, so it could not follow. Return the tensor and read it "
                "outside, or keep this function eager"
            )


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
    """(owner, offset, size, recording in which it was made): the memory that x is a view of, in bytes.

    Offset and size are 0 for memory that is not ours; the recording is 0 for all memory made outside one.
    """
    cdef Pooled p
    if isinstance(x.owner, Pooled):
        p = <Pooled>x.owner
        return (p, <char *>x.a.data - <char *>p.memory, p.size, p.born)
    return (x.owner, 0, 0, 0)


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


cdef class Program:
    """Calls readied to run in C in one go. Keeps their arrays alive.

    Parameters
    ----------
    calls : list of (op, arrays, scalars)
    """
    cdef fnn_program *program
    cdef list calls
    cdef object running

    def __cinit__(self, list calls):
        cdef fnn_call *c
        cdef fnn_failure why
        cdef fnn_status status
        cdef int64_t elements, at = 0, n = len(calls)
        why.message = NULL
        self.calls = list(calls)
        self.running = threading.Lock()
        c = <fnn_call *>malloc((n + 1) * sizeof(fnn_call))
        if c == NULL:
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

    def __dealloc__(self):
        fnn_program_free(self.program)

    def __len__(self):
        return len(self.calls)

    def run(self, int64_t repeats=1, double seconds=0):
        """Run all calls `repeats` times, or fewer if `seconds` have passed. Returns how often."""
        cdef fnn_failure why
        cdef fnn_status status
        cdef int64_t done = 0, at = 0
        why.message = NULL
        with self.running:
            with nogil:
                status = fnn_program_run(self.program, repeats, seconds, &done, &at, &why)
        if status != FNN_OK:
            op, arrays, _ = self.calls[at]
            raise_failure(op, status, &why, arrays)
        return done

    def steps(self):
        """For each call (threads, whether threads meet before it, flops, bytes, workspace bytes)."""
        cdef fnn_program_step s
        found = []
        for i in range(len(self.calls)):
            s = fnn_program_step_at(self.program, i)
            found.append((s.threads, bool(s.meets), s.plan.flops, s.plan.bytes, s.plan.workspace))
        return found

    def time(self, on=True):
        """Start timing each call anew, or stop."""
        with self.running:
            fnn_program_time(self.program, on)

    def seconds(self):
        """The time of each call since `time` was called, added up."""
        cdef const double *t = fnn_program_seconds(self.program)
        return None if t == NULL else [t[i] for i in range(len(self.calls))]


# --- runtime ---

def isa_compiled():
    """{name: whether this CPU has it} of the instruction sets compiled in, the best last."""
    cdef const char *name
    cdef int supported, i = 0
    found = {}
    while fnn_isa_compiled(i, &name, &supported):
        found[name.decode()] = bool(supported)
        i += 1
    return found


def isa_select(name=None):
    """Choose the kernels by name, or the best for None. Between launches only."""
    cdef bytes encoded = b"" if name is None else name.encode()
    cdef int status = fnn_isa_select(NULL if name is None else <const char *>encoded)
    if status == -1:
        raise ValueError(f"FASTNN_ISA={name}: not compiled in; there are {', '.join(isa_compiled())}")
    if status == -2:
        usable = [n for n, supported in isa_compiled().items() if supported]
        raise ValueError(f"FASTNN_ISA={name}: this CPU lacks it; it has {', '.join(usable)}")


def isa_name():
    """The instruction set in use."""
    return fnn_isa_name().decode()


def runtime_info():
    """What `python -m fastnn info` prints."""
    return {
        "compiler": fnn_compiler().decode(),
        "cpu": fnn_cpu_name().decode(),
        "cores": fnn_cores(),
        "isa": isa_name(),
        "isa_compiled": isa_compiled(),
        "threads": fnn_threads(),
        "threads_reason": fnn_threads_reason().decode(),
        "threads_backend": fnn_threads_backend().decode(),
    }


def get_num_threads():
    """How many threads a launch may use."""
    return fnn_threads()


def set_num_threads(int n):
    """Use at most n threads in a launch; the results are the same bits for any n."""
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    fnn_set_threads(n)


def memory_in_use():
    """Bytes of arrays alive, without those lent by other libraries."""
    return fnn_alloc_in_use()


def memory_trim():
    """Give memory kept for reuse back to the system."""
    fnn_alloc_trim()


try:
    isa_select(os.environ.get("FASTNN_ISA") or None)
except ValueError as error:
    raise ImportError(str(error)) from None
