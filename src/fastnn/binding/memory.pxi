# Element types, and the owners that keep memory alive.

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
DTYPE_NAMES = ("float32", "float64", "int64", "int32", "uint8", "bool")


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


# --- DLPack's structures ---

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


# --- owners ---

cdef class Owner:
    """Keeps memory alive. `version` counts the writes made through launch, for all views of the memory;
    `recording` is the number of the recording in which a call last wrote it, or that it is an input of;
    `born` that in which it was made, 0 for none."""
    cdef int64_t version
    cdef int64_t recording
    cdef int64_t born
    cdef bint filled  # whether Python was given it to write in that recording
    cdef int64_t lent  # to how many others that may write it, who do not tell when they do
    cdef int64_t loans  # how often it was


cdef class Pooled(Owner):
    cdef void *memory
    cdef int64_t size

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


cdef class Borrowed(Owner):
    """Memory lent by a DLPack capsule."""
    cdef DLManagedTensor *managed

    def __dealloc__(self):
        if self.managed != NULL and self.managed.deleter != NULL:
            self.managed.deleter(self.managed)


cdef void lend(Owner owner) noexcept:
    """Somebody may write the memory from now on without telling. Keeps it alive."""
    owner.lent += 1
    owner.loans += 1
    Py_INCREF(owner)


cdef void returned(Owner owner) noexcept:
    """The end of a loan."""
    owner.lent -= 1
    Py_DECREF(owner)
