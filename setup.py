"""Build of the one extension module, fastnn._core; all metadata is in pyproject.toml.

The C library is compiled with it: csrc/isa/<isa>.c once per instruction set, each with its own flags and
into its own folder, and everything else with no flag that would tie the wheel to one CPU. What the
compiler takes is asked, not assumed. Environment variables:

    FASTNN_THREADS=pthread  build the pthread team even where the compiler has OpenMP
    FASTNN_ISAS=portable    compile only these instruction sets (comma separated), for a quick build
    FASTNN_CFLAGS           flags added to every compilation of the C library (sanitizers, -Werror ...)
    FASTNN_JOBS             compilations at once (default 2)
"""

import os
import platform
import shlex
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from flags import BINDING, FLAGS, ISAS

# A free-threaded Python has no limited API; there the wheel is for its own version alone.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")


def target_machine() -> str:
    """The architecture built for, which on macOS ARCHFLAGS may set apart from the one built on."""
    flags = os.environ.get("ARCHFLAGS", "").split()
    return (flags[-1] if len(flags) >= 2 else platform.machine()).lower()


class BuildExt(build_ext):
    """build_ext that compiles the C library first and links its objects into the extension."""

    def build_extension(self, ext: Extension) -> None:
        ext.depends = [str(p) for p in Path("csrc").rglob("*") if p.is_file()] + ["setup.py"]
        self.gcc_like = self.compiler.compiler_type != "msvc"
        openmp = self.openmp_flags()
        ext.extra_objects = self.compile_library(openmp)
        ext.depends += ext.extra_objects
        ext.extra_link_args += [] if openmp is None else openmp[1]
        if self.gcc_like:
            ext.extra_compile_args += ["-g0", "-fvisibility=hidden"]
            ext.extra_compile_args += [
                flag for flag in BINDING if self.works("int x;\n", ["-Werror", flag])
            ]
            if sys.platform == "linux":
                ext.extra_link_args += ["-Wl,--gc-sections", "-Wl,--as-needed", "-Wl,-z,now"]
        super().build_extension(ext)

    def flags(self, *wanted: str) -> list[str]:
        """The flags as this compiler spells them: clang-cl takes GCC's behind /clang:."""
        return list(wanted) if self.gcc_like else [f"/clang:{flag}" for flag in wanted]

    def works(self, code: str, compile_args: list[str], link_args: list[str] | None = None) -> bool:
        """Does a program compile (and link, when link_args is given)?"""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(code)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_args
                )
                if link_args is not None:
                    self.compiler.link_executable(
                        objects, "probe", output_dir=folder, extra_postargs=link_args
                    )
            except Exception:  # whichever error this compiler class has
                return False
        return True

    def openmp_flags(self) -> tuple[list[str], list[str]] | None:
        """Compile and link flags for OpenMP, or None to use pthreads."""
        choice = os.environ.get("FASTNN_THREADS", "openmp")
        if choice not in ("openmp", "pthread"):
            raise SystemExit(f"FASTNN_THREADS={choice}: expected openmp or pthread")
        if choice == "pthread":
            return None
        code = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        spellings = [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])]
        if not self.gcc_like:
            spellings = [(["/openmp"], [])]
        for flags in spellings:
            if self.works(code, *flags):
                return flags
        return None

    def compile_library(self, openmp: tuple[list[str], list[str]] | None) -> list[str]:
        """Compile csrc/ and return the objects' paths."""
        extra = shlex.split(os.environ.get("FASTNN_CFLAGS", ""))
        common = [flag for flag in self.flags(*FLAGS) if self.works("int x;\n", ["-Werror", flag])]
        common += [*self.flags("-g0"), *extra]  # Python's own flags ask for debug information
        isas = self.isas()
        macros: list[tuple[str, str | None]] = [(f"FNN_ISA_{name.upper()}", "1") for name in isas]
        temp = Path(self.build_temp)
        jobs = [
            (Path("csrc/isa", f"{name}.c"), temp / name, common + flags, macros)
            for name, flags in isas.items()
        ]
        team = "team_pthread.c" if openmp is None else "team_openmp.c"
        for source in sorted(Path("csrc/ops").glob("*.c")) + sorted(
            Path("csrc/runtime").glob("*.c")
        ):
            if source.name.startswith("team_") and source.name != team:
                continue
            flags = openmp[0] if openmp and source.name == team else []
            jobs.append((source, temp / "common", common + flags, macros))
        with ThreadPoolExecutor(int(os.environ.get("FASTNN_JOBS", "2"))) as pool:
            return list(pool.map(lambda job: self.compile_one(*job), jobs))

    def isas(self) -> dict[str, list[str]]:
        """The instruction sets that this compiler can compile for, with their flags."""
        known = ISAS.get(target_machine(), {"portable": []})
        only = os.environ.get("FASTNN_ISAS")
        if only is not None:
            known = {name: known[name] for name in only.split(",")}
        return {
            name: self.flags(*flags)
            for name, flags in known.items()
            if not flags or self.works("int x;\n", ["-Werror", *self.flags(*flags)])
        }

    def compile_one(self, source: Path, folder: Path, flags: list[str], macros: list) -> str:
        """Compile one file, unless its object is newer than all that it was made of."""
        made = folder / source.with_suffix(self.compiler.obj_extension)
        command, notes = made.with_suffix(".flags"), made.with_suffix(".d")
        signature = repr((self.compiler.compiler_type, self.compiler_command(), flags, macros))
        if not self.force and made.exists() and command.exists() and notes.exists():
            fresh = command.read_text() == signature
            if fresh and not any(newer(path, made) for path in read_depfile(notes)):
                return str(made)
        if self.gcc_like:
            made.parent.mkdir(parents=True, exist_ok=True)
            flags = [*flags, "-MMD", "-MF", str(notes)]
        self.compiler.compile(
            [str(source)], output_dir=str(folder), macros=macros, extra_postargs=flags
        )
        command.write_text(signature)
        return str(made)

    def compiler_command(self) -> list[str]:
        return list(getattr(self.compiler, "compiler_so", []))


def read_depfile(notes: Path) -> list[str]:
    """The files that a depfile written by -MMD names."""
    return notes.read_text().replace("\\\n", " ").split(":", 1)[1].split()


def newer(path: str, made: Path) -> bool:
    return not os.path.exists(path) or os.path.getmtime(path) >= made.stat().st_mtime


core = Extension(
    "fastnn._core",
    ["src/fastnn/_core.pyx"],
    include_dirs=["csrc"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED else [],
    py_limited_api=LIMITED,
)
core.cython_directives = {"language_level": "3"}

setup(
    ext_modules=[core],
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED else {},
)
