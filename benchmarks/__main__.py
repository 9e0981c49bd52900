"""Times each step of the package, as ratios to the hardware's limit and to what people use today.

Example: python -m benchmarks collect similar --out bench
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.speed.run_all import NAMES, run_all, show_results
from morelli.console import say
from morelli.errors import MorelliError


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)}; default all")
    options.add_argument(
        "--out", type=Path, default=Path("bench"), help="a folder for results and what they are measured on"
    )
    options.add_argument("--works", type=int, help="instead of each benchmark's own number")
    options.add_argument("--rounds", type=int, help="timed rounds; default 5 in most")
    options.add_argument("--json", action="store_true", help="print the results as JSON on standard output")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, 1 where a benchmark failed, 2 where the call was wrong."""
    options = parser().parse_args(arguments)
    try:
        results = run_all(options.names, options.out, options.works, options.rounds)
    except MorelliError as error:
        say(f"benchmarks: {error}")
        return error.exit_code
    if options.json:
        print(json.dumps(results, ensure_ascii=False))
        return 0
    show_results(results)
    say(f"the same with notes and the machine: {options.out / 'bench.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
