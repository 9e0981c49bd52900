"""Cost against size: collect, a cached epoch, predict, audit and index for 1k, 3k, 10k … painted works.

    python -m benchmarks.experiments.growth --out growth    (1k to 30k; two cores: about half an hour)
    python -m benchmarks.experiments.growth --out growth --sizes 300 1000      (a try)

``growth.json`` has seconds by size, ``growth.png`` the figure, on logarithmic axes, with the slope of each line (1 is
linear). Seconds are those of the processor, of this process and its workers together: other work on the machine hardly
moves them. Pictures are of 64 pixels (see ``pictures.py``), and the network is small: what matters is how cost grows.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.experiments.running import save
from benchmarks.speed.pictures import SIDE, pictures, small_recipe
from morelli.collection.collect import CollectOptions, collect
from morelli.evaluation.predictions import read
from morelli.evaluation.search.search import Index
from morelli.files import write_json
from morelli.jobs.audit import audit
from morelli.jobs.evaluate import evaluate
from morelli.jobs.predict import predict
from morelli.jobs.train import train

STEPS = ("collect", "cached epoch", "predict", "audit", "index")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10_000, 30_000])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "growth.json"
    seconds_of: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    for size in options.sizes:
        if str(size) not in seconds_of:
            seconds_of[str(size)] = measure(options.out, size)
            write_json(file, seconds_of)
    figure(seconds_of, options.out / "growth.png")
    print(json.dumps({step: round(slope(seconds_of, step), 2) for step in STEPS}))


def measure(out: Path, works: int) -> dict[str, float]:
    """Processor seconds of each step for a collection of ``works``."""
    images = pictures(out, works)
    import faiss  # noqa: F401  (now, for the first index would pay for it)

    here = out / f"size-{works}"
    shutil.rmtree(here, ignore_errors=True)  # of a call that was interrupted
    here.mkdir()
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], object]) -> None:
        begun = spent()
        work()
        seconds[step] = spent() - begun

    collection, run = here / "collection", here / "run"
    timed("collect", lambda: collect(CollectOptions(images, collection, size=SIDE, min_works=1)))
    train(small_recipe(here, 1), collection, run)
    # two epochs more, so that what a run costs once falls out
    begun = spent()
    train(small_recipe(here, 1), collection, here / "one")
    one = spent() - begun
    begun = spent()
    train(small_recipe(here, 3), collection, here / "three")
    seconds["cached epoch"] = (spent() - begun - one) / 2
    timed("predict", lambda: predict(run, [images], here / "table.parquet"))
    evaluate(run, "all")
    timed("audit", lambda: audit(run, "given-label", "all"))
    embedding = read(run / "predictions-all.parquet").embedding
    assert embedding is not None
    ids = pd.DataFrame({"id": [str(number) for number in range(len(embedding))]})
    timed("index", lambda: Index.build(here / "index", embedding, ids))
    return seconds


def spent() -> float:
    """Processor seconds of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def slope(seconds_of: dict[str, dict[str, float]], step: str) -> float:
    """Of the line through the logarithms of size and seconds, from 3,000 works on, where there are two such sizes:
    below, what a step costs once hides how it grows."""
    sizes = sorted(map(int, seconds_of))
    large = [size for size in sizes if size >= 3000]
    chosen = large if len(large) > 1 else sizes
    if len(chosen) < 2:
        return float("nan")
    seconds = [max(seconds_of[str(size)][step], 1e-3) for size in chosen]
    return float(np.polyfit(np.log(chosen), np.log(seconds), 1)[0])


def figure(seconds_of: dict[str, dict[str, float]], file: Path) -> None:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = drawing.subplots()
    sizes = sorted(map(int, seconds_of))
    for step, mark in zip(STEPS, "osD^v", strict=True):
        seconds = [seconds_of[str(size)][step] for size in sizes]
        axes.loglog(sizes, seconds, marker=mark, label=f"{step} (slope {slope(seconds_of, step):.2f})")
    save(drawing, axes, file, "works", "processor seconds")


if __name__ == "__main__":
    main()
