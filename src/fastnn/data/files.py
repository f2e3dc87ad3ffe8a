"""Looking for the files of data sets."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Root", "find"]

Root = str | os.PathLike[str] | None


def find(title: str, folder: str, files: tuple[str, ...], root: Root) -> list[Path]:
    """The files, each plain or with .gz, in root/folder or in root itself."""
    wanted = ", ".join(f"{name}[.gz]" if not name.endswith(".npz") else name for name in files)
    given = os.fspath(root) if root is not None else os.environ.get("FASTNN_DATA")
    if not given:
        raise FileNotFoundError(
            f"{title} is not part of fastnn. Put the file{'s' * (len(files) > 1)} {wanted} into a "
            f"folder '{folder}' and name the folder around it: root=..., or the environment "
            "variable FASTNN_DATA"
        )
    places = (Path(given) / folder, Path(given))
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
        f"{title}: did not find {', '.join(best)} (or .gz) in {places[0]} or {places[1]}; "
        f"put {wanted} there, or point root= or FASTNN_DATA to where they are"
    )
