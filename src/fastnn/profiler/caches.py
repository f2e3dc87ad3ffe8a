"""How large the caches of this CPU are, where the system tells."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

__all__ = ["cache_sizes"]

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def cache_sizes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, int]:
    """Bytes of the data caches: "L1" and so on up; those of a core first, a shared one as a whole.

    Examples
    --------
    >>> list(cache_sizes())[:1] in (["L1"], [])
    True
    """
    found = _from_sysfs(root) or (_from_sysctl() if sys.platform == "darwin" else _from_sysconf())
    return {name: size for name, size in sorted(found.items()) if size > 0}


def _from_sysfs(root: Path) -> dict[str, int]:
    found = {}
    for folder in sorted(root.glob("index*")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if folder.joinpath("type").read_text().strip() == "Instruction":
                continue
            size = folder.joinpath("size").read_text().strip()
            level = int(folder.joinpath("level").read_text())
            found[f"L{level}"] = int(size[:-1]) * _UNITS[size[-1]]
    return found


def _from_sysconf() -> dict[str, int]:
    names = {
        "L1": "SC_LEVEL1_DCACHE_SIZE",
        "L2": "SC_LEVEL2_CACHE_SIZE",
        "L3": "SC_LEVEL3_CACHE_SIZE",
    }
    known = getattr(os, "sysconf_names", {})
    return {level: os.sysconf(name) for level, name in names.items() if name in known}


def _from_sysctl() -> dict[str, int]:
    import subprocess  # slow to load

    names = {"L1": "hw.l1dcachesize", "L2": "hw.l2cachesize", "L3": "hw.l3cachesize"}
    found = {}
    for level, name in names.items():
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            answer = subprocess.run(
                ["sysctl", "-n", name], capture_output=True, timeout=5, check=True
            )
            found[level] = int(answer.stdout)
    return found
