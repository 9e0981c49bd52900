"""Prepares many images in parallel, shard by shard, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.images import THUMB, Prepared, prepare
from morelli.collection.store import shard_path, write_shard
from morelli.console import progress
from morelli.errors import DataError, ImageError, UsageError
from morelli.files import atomic_write, read_json, write_json
from morelli.workers import attend, interrupted_once, start_method

SHARD, PIECE = 256, 16  # works a file, and works that a worker is handed at a time
Job = tuple[str, Path | bytes]  # id, and where the image is
Result = tuple[str, Prepared | ImageError]


def prepare_all(
    ids: list[str],
    source: Callable[[int], Path | bytes],
    folder: Path,
    size: int,
    max_pixels: int,
    stamp: str = "",
    processes: int | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Prepares ``source(0), source(1) …`` into ``folder`` and returns a row for each, in order: ``shard, row,
    width, height, phash, repairs, error, reason`` (``row`` −1 and a reason where it failed).
    :func:`thumbnails` has what each looks like.

    A shard that an earlier run with the same plan (ids, prepared size, and ``stamp``, which stands for the
    files' content) finished is not made again. Raises :class:`DataError` when a worker process was killed, and
    :class:`UsageError` when ``folder`` belongs to a finished collection of another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = [range(start, min(start + SHARD, len(ids))) for start in range(0, len(ids), SHARD)]
    plan = "\0".join([str(size), str(max_pixels), str(SHARD), stamp, *ids])
    _check_plan(folder, hashlib.sha256(plan.encode()).hexdigest(), overwrite)
    waiting = [n for n in range(len(shards)) if not _facts_path(folder, n).exists()]
    pieces = sum(-(-len(shards[n]) // PIECE) for n in waiting)
    workers = min(processes or os.cpu_count() or 1, max(1, pieces))
    pool = _pool(workers)
    with interrupted_once(), progress("preparing images", len(ids)) as advance:
        advance(sum(len(shards[n]) for n in range(len(shards)) if n not in set(waiting)))
        try:
            _run(waiting, shards, ids, source, (folder, size, max_pixels), pool, workers, advance)
        except BrokenProcessPool:
            raise DataError(
                f"{folder}: a worker process was killed, most likely for want of memory; run the same command "
                "again to go on, with a smaller --max-pixels or --processes 1"
            ) from None
    return pd.concat(
        [_read_facts(_facts_path(folder, n), _FACTS) for n in range(len(shards))], ignore_index=True
    )


def thumbnails(folder: Path, places: np.ndarray) -> np.ndarray:
    """(len(places), 768) uint8, 16 × 16 × 3: the works ``places`` of those that :func:`prepare_all` prepared into
    ``folder``. In a file without a name, so that they take no memory which the system could not have back."""
    with TemporaryFile(dir=folder) as file:
        thumbs = np.memmap(file, np.uint8, "w+", shape=(len(places), THUMB * THUMB * 3))
    shards = places // SHARD
    for number in np.unique(shards):
        inside = np.flatnonzero(shards == number)
        facts = _read_facts(_facts_path(folder, number), ["thumb"])
        wanted = b"".join(facts["thumb"].iloc[places[inside] - number * SHARD])
        thumbs[inside] = np.frombuffer(wanted, np.uint8).reshape(len(inside), -1)
    return thumbs


def fingerprint(size: int, ids: pd.Series, thumbs: np.ndarray) -> str:
    """Stands for prepared images, by what they look like: cached features are kept under it."""
    digest = hashlib.sha256(str(size).encode())
    for name in ids:
        digest.update(f"\n{name}".encode())
    for thumb in thumbs:
        digest.update(f"\n{thumb.tobytes().hex()}".encode())
    return digest.hexdigest()[:16]


def _run(
    waiting: list[int],
    shards: list[range],
    ids: list[str],
    source: Callable[[int], Path | bytes],
    settings: tuple[Path, int, int],
    pool: ProcessPoolExecutor,
    workers: int,
    advance: Callable[[int], None],
) -> None:
    """Hands the works out in small pieces, so that all workers are busy to the end, and writes a shard when all its
    pieces are back. Keeps few in flight: bytes of a hub data set are read only when they are needed."""
    folder, *how = settings
    pieces = ((n, at) for n in waiting for at in range(0, len(shards[n]), PIECE))
    running: dict[Future[list[Result]], tuple[int, int]] = {}
    back: dict[int, dict[int, list[Result]]] = {n: {} for n in waiting}
    try:
        while True:
            while len(running) < 4 * workers and (piece := next(pieces, None)) is not None:
                number, at = piece
                jobs = [(ids[i], source(i)) for i in shards[number][at : at + PIECE]]
                running[pool.submit(_prepare_some, jobs, *how)] = piece
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                number, at = running.pop(done)
                back[number][at] = done.result()
                advance(len(done.result()))
                if sum(map(len, back[number].values())) == len(shards[number]):
                    parts = back.pop(number)
                    _write_shard(folder, number, [result for at in sorted(parts) for result in parts[at]])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    """Started before any thread of ours runs, since it may fork."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context(start_method()), initializer=attend, initargs=(os.getpid(),)
    )
    pool.submit(os.getpid).result()
    return pool


def _prepare_some(jobs: list[Job], size: int, max_pixels: int) -> list[Result]:
    results: list[Result] = []
    for name, source in jobs:
        try:
            results.append((name, prepare(source, size, max_pixels)))
        except ImageError as error:
            results.append((name, error))
    return results


def _write_shard(folder: Path, number: int, shard: list[Result]) -> None:
    facts: list[dict[str, Any]] = []
    images: list[bytes] = []
    names: list[str] = []
    for name, image in shard:
        fact: dict[str, Any] = {"shard": number, "row": -1, "error": "", "reason": "", "repairs": ""}
        if isinstance(image, ImageError):
            facts.append(fact | {"error": str(image), "reason": image.reason})
            continue
        fact |= {"row": len(images), "width": image.width, "height": image.height, "phash": image.phash}
        facts.append(fact | {"thumb": image.thumb, "repairs": " ".join(image.repairs)})
        images.append(image.data)
        names.append(name)
    write_shard(shard_path(folder, number), images, names)
    table = pd.DataFrame(facts, columns=[*_FACTS, "thumb"])
    table = table.astype({"phash": "object"}).assign(
        phash=[0 if pd.isna(v) else int(v) for v in table["phash"]],
        thumb=[v if isinstance(v, bytes) else b"" for v in table["thumb"]],
    )
    table = table.fillna({"width": 0, "height": 0}).astype(
        {"phash": "uint64", "width": "int32", "height": "int32"}
    )
    with atomic_write(_facts_path(folder, number)) as temporary:
        table.to_parquet(temporary)


_FACTS = ["shard", "row", "width", "height", "phash", "repairs", "error", "reason"]


def _facts_path(folder: Path, number: int) -> Path:
    return folder / f"facts-{number:05d}.parquet"


def _read_facts(file: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return pd.read_parquet(file, columns=columns)
    except (OSError, ValueError):
        raise DataError(f"{file}: damaged; delete it and run the same command again") from None


def _check_plan(folder: Path, digest: str, overwrite: bool) -> None:
    """A plan other than the one on disk clears the folder's shards, if no finished collection stands on them."""
    file = folder / "plan.json"
    plan = {"version": 1, "digest": digest}
    if file.exists() and read_json(file) == plan:
        return
    if file.exists() and (folder.parent / "collection.json").exists() and not overwrite:
        raise UsageError(
            f"--out {folder.parent}: already holds a collection of other images or another size; choose another "
            f"folder (--splits-from {folder.parent} keeps the splits of its works), or add --overwrite"
        )
    # without it the folder is no collection: what is left of an older one would point at other images
    (folder.parent / "collection.json").unlink(missing_ok=True)
    for stale in [*folder.glob("images-*.arrow"), *folder.glob("facts-*.parquet")]:
        stale.unlink()
    write_json(file, plan)
