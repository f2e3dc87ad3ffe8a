"""The command line: ``python -m fastnn info``."""

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
    parser.parse_args(arguments)
    print(info())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
