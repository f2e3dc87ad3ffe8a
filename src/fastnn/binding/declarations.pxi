# What csrc/fastnn.h declares.

cdef extern from "fastnn.h" nogil:
    enum: FNN_MAX_DIMS
    enum: FNN_MAX_ARRAYS
    enum: FNN_MAX_SCALARS
    enum: FNN_OPS
    enum: FNN_OP_matmul
    enum: FNN_OP_copy
    ctypedef enum fnn_dtype:
        FNN_F32, FNN_F64, FNN_I64, FNN_I32, FNN_U8, FNN_BOOL
    ctypedef enum fnn_status:
        FNN_OK, FNN_ERR_DTYPE, FNN_ERR_SHAPE, FNN_ERR_VALUE, FNN_ERR_MEMORY, FNN_ERR_INDEX
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
    int64_t fnn_gemm_packs(const fnn_call *matmul)
    int fnn_conv_packs(const fnn_call *conv, int64_t *shape)
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
    double fnn_program_expected(const fnn_program *program)
    int64_t fnn_program_workspace(const fnn_program *program)
    fnn_program_step fnn_program_step_at(const fnn_program *program, int64_t i)
    ctypedef struct fnn_loans:
        pass
    fnn_loans *fnn_loans_new(fnn_program *program, void *const *memory, const int64_t *bytes,
                             int64_t n)
    void fnn_loans_free(fnn_loans *loans)
    int fnn_loan_written(const fnn_loans *loans, int64_t i)
    int fnn_loan_taken(const fnn_loans *loans, const void *memory, int64_t bytes)
    void fnn_loan_move(fnn_loans *loans, int64_t i, void *memory)
    void fnn_loans_return(fnn_loans *loans)
    ctypedef struct fnn_stamp:
        int64_t call
        int64_t begin
        int64_t end
    ctypedef struct fnn_times:
        int64_t repeats
        int64_t inside
        int64_t threads
    int fnn_program_time(fnn_program *program, int64_t stamps)
    fnn_times fnn_program_times(const fnn_program *program)
    const int64_t *fnn_program_busy(const fnn_program *program, int64_t thread)
    const int64_t *fnn_program_waiting(const fnn_program *program, int64_t thread)
    fnn_stamp fnn_program_stamp(const fnn_program *program, int64_t thread, int64_t i, int64_t *n)
    ctypedef enum fnn_probe:
        FNN_PROBE_FMA, FNN_PROBE_READ, FNN_PROBE_WRITE, FNN_PROBE_UPDATE, FNN_PROBE_TRIAD
        FNN_PROBE_MEET, FNN_PROBE_START
    double fnn_probe_seconds(fnn_probe what, int dtype, int *threads, void *memory, int64_t size,
                             int64_t rounds)
    int fnn_probe_flops(int dtype)
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

cdef extern from "Python.h":
    Py_ssize_t references_to "Py_REFCNT" (PyObject *object) noexcept
