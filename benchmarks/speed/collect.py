"""Collecting originals of about 1400 × 1700: verify, hash, resize, find near-duplicates, split, write.

Against libjpeg-turbo's scaled decoding alone (Pillow's draft mode), and full decoding and resizing, which is what
the students' systems do; both in a pool of as many processes as there are cores, started before the clock.
Ours is the whole job, from the folder to the finished collection.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from benchmarks.speed import material, timing
from benchmarks.speed.timing import Contender, Row, alternate, faster
from morelli.collection.collect import CollectOptions, collect

SIZE = 256


def scaled_decode(file: Path) -> None:
    with Image.open(file) as image:
        image.draft("RGB", (SIZE, SIZE))
        image.load()


def full_decode(file: Path) -> None:
    with Image.open(file) as image:
        whole = image.convert("RGB")
    scale = SIZE / min(whole.size)
    whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.LANCZOS)


def measure(out: Path, works: int, rounds: int) -> list[Row]:
    images = material.originals(out, works)
    files = sorted(images.glob("*/*.jpg"))

    def ours() -> None:
        shutil.rmtree(out / "collected", ignore_errors=True)
        collect(CollectOptions(images, out / "collected", size=SIZE, min_works=1))

    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:

        def over_all(work: Callable[[Path], None]) -> Callable[[], None]:
            return lambda: list(pool.map(work, files, chunksize=16)).clear()

        contenders = [
            Contender("ours", ours, works),
            Contender("decode", over_all(scaled_decode), works),
            Contender("full", over_all(full_decode), works),
        ]
        seconds = alternate(contenders, rounds)
    shutil.rmtree(out / "collected")
    limit, peer = faster(seconds["ours"], seconds["decode"]), faster(seconds["ours"], seconds["full"])
    return [
        Row("collect", "libjpeg-turbo scaled decode alone, all cores", "limit", limit, 0.8),
        Row("collect", "Pillow full decode and resize, all cores", "peer", peer, 3.0),
    ]


if __name__ == "__main__":
    timing.main(measure, works=512)
