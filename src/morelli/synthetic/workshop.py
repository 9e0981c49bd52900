"""The workshop: plans, paints in several processes, and writes a whole collection in the ArtGAN layout."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from morelli.errors import UsageError
from morelli.synthetic import defects as planting
from morelli.synthetic import lists
from morelli.synthetic.damage import spoil
from morelli.synthetic.planning import Work, plan
from morelli.synthetic.studio import render, save
from morelli.workers import attend, interrupted_once

IMAGES = "wikiart"
TRUTH = "truth.json"
# below this many works, starting processes costs more than it saves
_FEW = 64
_CHUNK = 16
Job = tuple[str, Work, str | None]


def paint(
    out: Path,
    works: int,
    seed: int = 0,
    size: int = 128,
    defects: bool = False,
    processes: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Paints ``works`` synthetic paintings into ``out``, in the layout of the ArtGAN WikiArt data set.

    Writes ``out/wikiart/<Style_Folder>/<artist>_<title>.jpg``, whose short side is ``size`` pixels, and
    ``out/wikiart_csv/`` with train and val lists and class files of the tasks style, genre and artist. With
    ``defects`` it also plants the real data set's defects and records each in ``out/truth.json``, as
    ``{"seed", "works", "defects": {kind: [{"path", …}]}}``. The same seed gives the same bytes, whatever
    the number of ``processes`` (by default one a core); a work keeps its picture when ``works`` grows.
    ``progress`` is told how many works were newly finished. The lists are written last: an interrupted
    folder has none.

    Returns the numbers of ``works``, image ``files``, list ``rows`` and planted ``defects``. Raises
    :class:`~morelli.errors.UsageError` for an impossible option or an ``out`` that is not empty.
    """
    out = Path(out)
    _check(out, works, seed, size, defects, processes)
    gallery = planting.hang(plan(works, seed), seed)
    if defects:
        planting.plant(gallery)
    jobs: list[Job] = [(path, work, gallery.damaged.get(path)) for path, work in gallery.files.items()]
    for folder in sorted({path.partition("/")[0] for path in gallery.files}):
        (out / IMAGES / folder).mkdir(parents=True)
    _paint_all(jobs, out / IMAGES, seed, size, processes or _cores(), progress or (lambda n: None))
    lines = lists.write(gallery.rows, out)
    if defects:
        for row, entry in gallery.lines:
            entry["line"] = lines[row]
        truth = {"seed": seed, "works": works, "defects": dict(sorted(gallery.truth.items()))}
        text = json.dumps(truth, ensure_ascii=False, indent=1) + "\n"
        (out / TRUTH).write_text(text, encoding="utf-8")
    planted = sum(map(len, gallery.truth.values()))
    return {"works": works, "files": len(jobs), "rows": len(gallery.rows), "defects": planted}


def _check(out: Path, works: int, seed: int, size: int, defects: bool, processes: int | None) -> None:
    if works < 1:
        raise UsageError(f"--works {works}: paint at least one work")
    if defects and works < planting.LEAST_WORKS:
        raise UsageError(
            f"--works {works}: --defects needs at least {planting.LEAST_WORKS} works to plant every kind"
        )
    if seed < 0:
        raise UsageError(f"--seed {seed}: give a number that is not negative")
    if not 16 <= size <= 4096:
        raise UsageError(f"--size {size}: the short side must be from 16 to 4096 pixels")
    if processes is not None and processes < 1:
        raise UsageError(f"--processes {processes}: give at least one process")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder that is new or empty")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; name a new folder, or empty this one first")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _paint_some(jobs: list[Job], images: Path, seed: int, size: int) -> int:
    for path, work, damage in jobs:
        image = render(work, seed, size)
        if damage:
            spoil(damage, image, images / path)
        else:
            save(image, images / path)
    return len(jobs)


def _paint_all(
    jobs: list[Job], images: Path, seed: int, size: int, processes: int, progress: Callable[[int], None]
) -> None:
    chunks = [jobs[k : k + _CHUNK] for k in range(0, len(jobs), _CHUNK)]
    done = 0
    if processes > 1 and len(jobs) >= _FEW:
        # spawn, for a fork of a process that runs torch's threads may hang
        with interrupted_once():
            pool = ProcessPoolExecutor(
                processes, multiprocessing.get_context("spawn"), attend, (os.getpid(),)
            )
            try:
                futures = [pool.submit(_paint_some, chunk, images, seed, size) for chunk in chunks]
                for future in futures:
                    progress(future.result())
                    done += 1
            except BrokenProcessPool:
                # a script without a __main__ guard, or from standard input, cannot start processes: go on alone
                pass
            finally:
                pool.shutdown(cancel_futures=True)
    for chunk in chunks[done:]:
        progress(_paint_some(chunk, images, seed, size))
