"""What this installation is and what it found on this machine, for a person to read."""

from __future__ import annotations

import platform

from ._core import runtime_info
from ._version import __version__


def info() -> str:
    """Describe the library and the machine: what to paste into a bug report.

    Returns
    -------
    str
        Lines of a name and a value: version, Python, compiler, instruction sets compiled and chosen,
        CPU, cores, threads and the reason for their number.

    Examples
    --------
    >>> from fastnn.info import info
    >>> print(info())  # doctest: +ELLIPSIS
    fastnn    ...
    """
    found = runtime_info()
    sets = [
        f"{name}{'' if supported else ' (not on this CPU)'}"
        for name, supported in found["isa_compiled"].items()
    ]
    rows = {
        "fastnn": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "compiler": found["compiler"],
        "cpu": found["cpu"],
        "cores": found["cores"],
        "isa": f"{found['isa']}, of {', '.join(sets)}",
        "threads": f"{found['threads']} ({found['threads_backend']}): {found['threads_reason']}",
    }
    return "\n".join(f"{name:9} {value}" for name, value in rows.items())
