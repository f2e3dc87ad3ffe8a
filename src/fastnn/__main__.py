"""The command line: ``python -m fastnn info`` and ``python -m fastnn bench``."""

import argparse

from ._version import __version__
from .info import info


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fastnn", description="fastnn on this machine")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "info", help="version, compiler, instruction sets, CPU, cores, threads and why"
    )
    bench = commands.add_parser(
        "bench", help="the limits of this machine, and how near each family of kernels comes"
    )
    bench.add_argument("--quick", action="store_true", help="fewer kernels, a few seconds")
    bench.add_argument("--json", action="store_true", help="numbers instead of tables")
    bench.add_argument("--refresh", action="store_true", help="measure the limits anew")
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:  # told by the command, with its own options
        commands.choices[chosen.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    if chosen.command == "info":
        print(info())
    else:
        from .profiler.bench import bench as run  # loads what info does not need

        run(quick=chosen.quick, as_json=chosen.json, refresh=chosen.refresh)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
