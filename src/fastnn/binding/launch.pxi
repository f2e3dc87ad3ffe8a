# The ops by name, and calls of them.

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
    if status == FNN_ERR_INDEX:
        raise IndexError(f"{op_info(op)[0]}: {message}")
    if status == FNN_ERR_VALUE:
        raise ValueError(f"{op_info(op)[0]}: {message}")
    shapes = ", ".join("none" if x is None else str(x.shape) for x in arrays)
    if status == FNN_ERR_DTYPE:
        names = ", ".join("none" if x is None else DTYPE_NAMES[x.code] for x in arrays)
        raise TypeError(f"{op_info(op)[0]}: {message or 'dtypes do not fit'} (dtypes: {names})")
    raise ValueError(f"{op_info(op)[0]}: {message or 'shapes do not fit'} (shapes: {shapes})")


def launch(int op, tuple arrays not None, tuple scalars not None=()):
    """Run an op: its arrays (inputs, then outputs, None where optional and absent) and its scalars.

    While a recording is under way the call is checked and noted, and nothing is computed.
    """
    cdef fnn_call call
    cdef fnn_failure why
    cdef fnn_status status
    cdef c_plan plan
    cdef int64_t elements
    why.message = NULL
    fill_call(&call, op, arrays, scalars, &elements)
    if recorder is not None and recorder.listens():
        status = fnn_plan_call(&call, &plan, &why)
        if status == FNN_OK:
            recorder.note(op, arrays, scalars)
    elif elements < SHORT:
        status = fnn_launch(&call, &why)
    else:
        with nogil:
            status = fnn_launch(&call, &why)
    if status != FNN_OK:
        raise_failure(op, status, &why, arrays)


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


def packed_shape(int op, tuple arrays not None, tuple scalars not None):
    """Shape of what ``gemm_pack`` or ``conv_pack`` makes of this call's second array; (): leave it as it is.

    The call with the result in that array's place gives the same bits.
    """
    cdef fnn_call call
    cdef fnn_failure why
    cdef c_plan plan
    cdef fnn_status status
    cdef int64_t elements
    cdef int64_t[FNN_MAX_DIMS] shape
    cdef int ndim
    why.message = NULL
    fill_call(&call, op, arrays, scalars, &elements)
    status = fnn_plan_call(&call, &plan, &why)
    if status != FNN_OK:
        raise_failure(op, status, &why, arrays)
    if op == FNN_OP_matmul:
        shape[0] = fnn_gemm_packs(&call)
        ndim = shape[0] > 0
    else:
        ndim = fnn_conv_packs(&call, shape)
    return tuple([shape[i] for i in range(ndim)])


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
