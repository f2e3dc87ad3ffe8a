"""Files that are either the old one or the new one, never something in between.

The bytes go to a temporary file beside the target, are forced to disk, and the temporary file is
then renamed over the target: the one step that a POSIX file system does as a whole. A crash, a
full disk or `kill -9` at any moment leaves the old file intact.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: no advisory locks; stale temporary files are then left alone
    fcntl = None  # type: ignore[assignment]

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` when the block ends, if it ends without an error.

    Parameters
    ----------
    path : str or path
        The file to create or replace. A symbolic link is followed; the mode of a file that is
        replaced is kept.

    Raises
    ------
    OSError
        When the folder is missing or cannot be written, or the disk is full. The file that was at
        `path` is then unchanged and the temporary file is gone.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "a.bin")
    >>> with atomic_write(path) as file:
    ...     _ = file.write(b"whole")
    >>> with open(path, "rb") as file:
    ...     file.read()
    b'whole'
    """
    target = os.path.realpath(os.fspath(path))
    if os.path.isdir(target):
        raise IsADirectoryError(f"cannot save to {os.fspath(path)!r}: it is a folder")
    if os.path.exists(target) and not os.path.isfile(
        target
    ):  # a device would be replaced by a file
        raise OSError(f"cannot save to {os.fspath(path)!r}: it is not a regular file")
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"cannot save to {os.fspath(path)!r}: there is no folder {folder!r}"
        )
    _remove_abandoned(folder, name)
    temporary = ""
    try:
        file, temporary = _create_temporary(folder, name)
        with file:
            yield file
            file.flush()
            _keep_mode(file.fileno(), target)
            os.fsync(file.fileno())
            # The lock is still held: nobody takes the file for an abandoned one before it is
            # renamed.
            if os.name != "nt":
                os.replace(temporary, target)
        if os.name == "nt":  # an open file cannot be renamed there
            os.replace(temporary, target)
        temporary = ""
        _sync_folder(folder)
    except OSError as error:
        _remove(temporary)
        reason = error.strerror or str(error)
        message = (
            f"could not save {os.fspath(path)!r}: {reason}; what was there before is unchanged"
        )
        raise OSError(error.errno, message) from error
    except BaseException:
        _remove(temporary)
        raise


def _create_temporary(folder: str, name: str) -> tuple[BinaryIO, str]:
    """A new file beside the target, locked for as long as its writer lives."""
    while True:
        temporary = os.path.join(folder, f".{name}.{secrets.token_hex(6)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(temporary, flags, 0o666), "wb")
        if fcntl is None:
            return file, temporary
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file, temporary
        file.close()  # another writer took it for abandoned before the lock was ours: again


def _remove_abandoned(folder: str, name: str) -> None:
    """Remove what killed writers of this target left behind: temporary files that nobody locks."""
    if fcntl is None:
        return
    pattern = os.path.join(glob.escape(folder), f".{glob.escape(name)}.{'[0-9a-f]' * 12}.tmp")
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


def _keep_mode(descriptor: int, target: str) -> None:
    """Give the new file the permissions of the one it replaces."""
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, os.stat(target).st_mode & 0o7777)


def _sync_folder(folder: str) -> None:
    """Force the rename itself to disk."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some file systems refuse it for a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        if path:
            os.unlink(path)
