# Arrays lent to and borrowed from other libraries.

cdef struct Lent:
    DLManagedTensor managed
    int64_t shape[8]
    int64_t stride[8]


cdef void give_back(DLManagedTensor *managed) noexcept with gil:
    returned(<Owner>managed.manager_ctx)
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
    lent.managed.manager_ctx = <void *>x.owner
    lend(x.owner)
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
    owner.lent = 1  # it is somebody's
    y.owner = owner
    return y
