"""What all benchmarks share: contenders timed in turn, ratios pair by pair, and a description of the machine.

Each benchmark is a module with one function, ``measure(out, works, rounds)``, that returns :class:`Row` objects; it
ends with ``timing.main(measure, works=…)``. Contenders take turns within a round, so that a machine that is busy for a
while is busy for all of them; each round gives a ratio, and the table shows the median over the rounds, with the
lowest and the highest.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "timm", "lightning", "pillow", "numpy", "faiss-cpu", "transformers", "fastai",
            "onnxruntime", "openvino", "scikit-learn")  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """``run`` does the work once; what it returns, if a number, is the time that counts, in seconds (where it has
    something to prepare), else the whole call is timed. ``units`` is how many images, steps or queries that was."""

    name: str
    run: Callable[[], float | None]
    units: float = 1.0


@dataclass(frozen=True)
class Row:
    """One line of the table: ``what`` of ours against a ``limit`` or a ``peer``; ``ratios`` has one number a round.

    ``bar`` is the least a median may be, or with ``at_most`` the most; None where no bar is set. A contender that
    could not be run has no ratios, and ``note`` says why."""

    path: str
    what: str
    kind: str
    ratios: list[float] = field(default_factory=list)
    bar: float | None = None
    at_most: bool = False
    note: str = ""


def alternate(contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds a unit of each contender in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {each.name: [] for each in contenders}
    for number in range(rounds + 1):
        for each in contenders:
            taken = clocked(each.run) / each.units
            if number:
                seconds[each.name].append(taken)
    return seconds


def clocked(run: Callable[[], float | None]) -> float:
    """Seconds that ``run`` returns, or else that its call took."""
    begun = time.perf_counter()
    seconds = run()
    return seconds if isinstance(seconds, float) else time.perf_counter() - begun


def now() -> float:
    """Seconds by the clock, when a GPU has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def faster(ours: Sequence[float], other: Sequence[float]) -> list[float]:
    """How many times as fast as the other ours is, round by round."""
    return [b / a for a, b in zip(ours, other, strict=True)]


def slower(ours: Sequence[float], other: Sequence[float]) -> list[float]:
    """How many times as long as the other ours takes, round by round."""
    return [a / b for a, b in zip(ours, other, strict=True)]


def fastest(seconds: dict[str, list[float]], names: Sequence[str]) -> str:
    """Of ``names`` the one with the lowest median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))


def missing(path: str, what: str, kind: str, *packages: str) -> Row | None:
    """A row that says which package is not installed; None where all are."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return Row(path, what, kind, note=f"{absent[0]} is not installed: pip install -e '.[bench]'")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPU, versions, and the load of other work before the benchmark began."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = (
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if hasattr(os, "sysconf") else None
    )
    return {
        "processor": processor(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory, 1) if memory else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: number for name in PACKAGES if (number := _version(name))},
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main(measure: Callable[[Path, int, int], list[Row]], works: int, rounds: int = 5) -> None:
    """The command line of a benchmark; writes ``NAME.json`` in --out, NAME being the module's."""
    import __main__

    script = Path(str(__main__.__file__))
    parser = argparse.ArgumentParser(
        description=__main__.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--works", type=int, default=works, help=f"default {works:,}")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    about, begun = machine(), time.perf_counter()
    rows = measure(options.out, options.works, options.rounds)
    result = {"machine": about, "works": options.works, "rounds": options.rounds}
    result |= {"seconds": round(time.perf_counter() - begun, 1), "rows": [asdict(row) for row in rows]}
    (options.out / f"{script.stem}.json").write_text(json.dumps(result, indent=1) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
