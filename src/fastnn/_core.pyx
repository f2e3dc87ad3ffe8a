# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""The binding: arrays over memory, and the launch of C ops on them.

An `Array` is a view (pointer, shape, strides in elements, dtype code) of memory kept alive by an owner: our
own pool, another object's buffer, or a DLPack capsule. `launch` checks that it got arrays, hands them to C
and turns a status into an exception. There is no arithmetic here, and no pointer leaves but as an integer.
"""
from cpython.buffer cimport (
    PyBUF_F_CONTIGUOUS, PyBUF_C_CONTIGUOUS, PyBUF_ANY_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND,
    PyBUF_STRIDES, PyBUF_WRITABLE, PyBUF_STRIDED_RO, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.number cimport PyNumber_Index
from cpython.pycapsule cimport (
    PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New, PyCapsule_SetName,
)
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_get_thread_ident,
    PyThread_release_lock, PyThread_type_lock, WAIT_LOCK,
)
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import os
import sys
import types
import weakref
from time import monotonic

from numpy import ndarray

include "binding/declarations.pxi"
include "binding/memory.pxi"
include "binding/layout.pxi"
include "binding/array.pxi"
include "binding/making.pxi"
include "binding/dlpack.pxi"
include "binding/launch.pxi"
include "binding/record.pxi"
include "binding/pieces.pxi"
include "binding/program.pxi"
include "binding/loan.pxi"
include "binding/replay.pxi"
include "binding/probe.pxi"
include "binding/runtime.pxi"

try:
    isa_select(os.environ.get("FASTNN_ISA") or None)
except ValueError as error:
    raise ImportError(str(error)) from None
