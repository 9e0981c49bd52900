"""Memory that collect, train (cached) and predict need at their peak, with ten times as many works as without.

Each runs in a process of its own, whose own memory (Pss_Anon, summed over it and its workers, so that a page which they
share counts once) is read five times a second: mapped files are left out, since the system takes their pages back when
it needs them. Small pictures and a small network, so that what grows with the number of works would show. Linux only.
The full bench, 10,000 works against 100,000: ``python -m benchmarks memory --works 10000``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.speed import timing
from benchmarks.speed.pictures import SIDE, pictures, small_recipe
from benchmarks.speed.timing import Row


def peak(*arguments: object) -> float:
    """The most memory, in bytes, that ``morelli`` and its workers held at once."""
    command = [sys.executable, "-m", "morelli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    highest = [0.0]

    def look() -> None:
        while process.poll() is None:
            highest[0] = max(highest[0], sum(own(each) for each in family(process.pid)))
            time.sleep(0.2)

    watcher = threading.Thread(target=look)
    watcher.start()
    if process.wait():
        raise RuntimeError(f"morelli {arguments[0]} failed; run it by hand: {' '.join(command)}")
    watcher.join()
    return highest[0]


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in family(int(child)))]


def own(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(1024.0 * int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def peaks(out: Path, works: int) -> dict[str, float]:
    """Bytes for each of the three jobs over a painted collection of ``works``."""
    source = pictures(out, works)
    here = out / f"memory-{works}-{os.getpid()}"
    here.mkdir()
    file = small_recipe(here, 2)
    collection, run = here / "collection", here / "run"
    return {
        "collect": peak("collect", source, "--out", collection, "--size", SIDE, "--min-works", 1),
        "train (cached)": peak("train", file, "--data", collection, "--out", run),
        "predict": peak("predict", run, source, "--out", here / "table.parquet"),
    }


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    if not Path("/proc/self/smaps_rollup").exists():
        return [Row("memory", "a tenth of the works", "limit", note="needs Linux")]
    small = [peaks(out, works) for _ in range(rounds)]
    large = [peaks(out, 10 * works) for _ in range(rounds)]
    rows = []
    for job in small[0]:
        ratios = [b[job] / a[job] for a, b in zip(small, large, strict=True)]
        how = f"peak of {10 * works:,} works, {large[0][job] / 2**20:,.0f} MiB, to that of {works:,}"
        rows.append(
            Row(f"memory of {job}", "a tenth of the works", "limit", ratios, 1.1, at_most=True, note=how)
        )
    return rows


if __name__ == "__main__":
    timing.main(measure, works=1000, rounds=1)
