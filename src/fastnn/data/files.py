"""Looking for the files of data sets."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

__all__ = ["Root", "content", "find"]

Root = str | os.PathLike[str] | None


def find(
    title: str, folders: str | tuple[str, ...], files: tuple[str, ...], root: Root
) -> list[Path]:
    """The files, each plain or with .gz, in one of the folders in root, or in root itself."""
    folders = (folders,) if isinstance(folders, str) else folders
    wanted = ", ".join(f"{name}[.gz]" if not name.endswith(".npz") else name for name in files)
    given = os.fspath(root) if root is not None else os.environ.get("FASTNN_DATA")
    if not given:
        raise FileNotFoundError(
            f"{title} is not part of fastnn. Put the file{'s' * (len(files) > 1)} {wanted} into a "
            f"folder '{folders[0]}' and name the folder around it: root=..., or the environment "
            "variable FASTNN_DATA"
        )
    places = [*(Path(given) / folder for folder in folders), Path(given)]
    best: list[str] = list(files)
    for place in places:
        found = [
            next((p for p in (place / n, place / f"{n}.gz") if p.is_file()), None) for n in files
        ]
        if all(found):
            return [p for p in found if p is not None]
        missing = [name for name, path in zip(files, found, strict=True) if path is None]
        best = min(best, missing, key=len)
    raise FileNotFoundError(
        f"{title}: did not find {', '.join(best)} (or .gz) in {' or '.join(map(str, places))}; "
        f"put {wanted} there, or point root= or FASTNN_DATA to where they are"
    )


def content(path: Path) -> bytes:
    """What is in a file, plain or with .gz."""
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or truncated: {error}") from None
