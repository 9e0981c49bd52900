"""Start-up: ``morelli predict`` of one image, the whole process, against ``python -c "import torch"``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.speed import material, timing
from benchmarks.speed.timing import Contender, Row, alternate, slower


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    settings = material.recipe("resnet18", 3)
    run = material.untrained_run(out / "run-resnet18", settings)
    image = next(material.originals(out, material.DIFFERENT).glob("*/*.jpg"))

    def process(*arguments: object) -> None:
        command = [sys.executable, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True)

    contenders = [
        Contender("ours", lambda: process("-m", "morelli", "predict", run, image, "--out", out / "one.csv")),
        Contender("torch", lambda: process("-c", "import torch")),
    ]
    seconds = alternate(contenders, rounds)
    ratios = slower(seconds["ours"], seconds["torch"])
    note = "one image, ResNet-18 to stage 3; times as long"
    return [Row("start-up", 'python -c "import torch"', "limit", ratios, 1.5, at_most=True, note=note)]


if __name__ == "__main__":
    timing.main(measure, works=1, rounds=7)
