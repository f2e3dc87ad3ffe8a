"""IDX files, the format of MNIST, plain or compressed with gzip.

Two zero bytes, a byte for the type, a byte for the number of axes, each axis as a big-endian
uint32, data. Format: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import BinaryIO

import numpy as np

__all__ = ["read_idx"]

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MOST_SQUEEZED = 1100  # deflate cannot pack more than 1032 bytes into one


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file into a numpy array; whether it is compressed is seen from its first bytes.

    Raises
    ------
    ValueError
        The file is damaged, truncated or not an IDX file.
    OSError
        The file cannot be read.
    """
    shown = os.fspath(path)
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        limit = os.fstat(raw.fileno()).st_size * (_MOST_SQUEEZED if packed else 1)
        raw.seek(0)
        try:
            if packed:
                with gzip.GzipFile(fileobj=raw) as file:
                    return _read(file, shown, limit)
            return _read(raw, shown, limit)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{shown}: the compressed file is damaged or truncated: {error}"
            ) from None


def _read(file: BinaryIO | gzip.GzipFile, shown: str, limit: int) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 8:
        raise ValueError(f"{shown}: not an IDX file: it begins with {magic.hex(' ') or 'nothing'}")
    sides = file.read(4 * magic[3])
    if len(sides) < 4 * magic[3]:
        raise ValueError(f"{shown}: truncated within the header")
    shape = tuple(int.from_bytes(sides[i : i + 4], "big") for i in range(0, len(sides), 4))
    kind = np.dtype(_TYPES[magic[2]])
    size = math.prod(shape) * kind.itemsize
    data = file.read(min(size, limit) + 1)
    if len(data) != size:
        what = "more" if len(data) > size else f"only {len(data)}"
        raise ValueError(
            f"{shown}: truncated or damaged: shape {shape} takes {size} bytes, has {what}"
        )
    return np.frombuffer(data, kind).astype(kind.newbyteorder("="), copy=False).reshape(shape)
