"""Features of a frozen backbone, computed once, memory-mapped, reused by every run that can.

A file's key covers everything the features depend on: the images, the rows, the backbone's weights, the pixels'
preparation, the precision and, for augmented views, the augmentation and the view's number, which seeds it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from morelli.console import progress, say
from morelli.errors import DataError
from morelli.files import read_json, write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BLOCK = 16  # batches between two marks of progress


class FeatureFile:
    """(rows, C, h, w) float16 on disk; ``read`` takes row numbers of the collection."""

    def __init__(self, path: Path, rows: np.ndarray) -> None:
        self.array = np.load(path, mmap_mode="r")
        self.shape = self.array.shape[1:]
        self.position = np.full(int(rows.max(initial=-1)) + 1, -1, dtype=np.int64)
        self.position[rows] = np.arange(len(rows))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), C, h, w) float16; a copy."""
        return self.array[self.position[rows]]


class JoinedFeatures:
    """Features of several backbones, each in a file of its own, read side by side along the channels."""

    def __init__(self, files: Sequence[FeatureFile]) -> None:
        self.files = list(files)
        shapes = [file.shape for file in self.files]
        self.shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), C, h, w) float16; a copy."""
        parts = [file.read(rows) for file in self.files]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def digest_of(module: nn.Module) -> str:
    """Stands for every weight and buffer of a backbone, or of its components."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def digest_of_rows(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()


def feature_key(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:20]


def cached_features(
    folder: Path,
    key: str,
    rows: np.ndarray,
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
    compute: Callable[[Tensor], Tensor],
    title: str = "caching features",
) -> FeatureFile:
    """Opens the file of ``key`` in ``folder``, or makes it.

    Args:
        batches: called with how many rows are done already; yields the (inputs, labels) of the rest, in order.
        compute: inputs (B, 3, S, S) uint8 → features (B, C, h, w).

    An interrupted making goes on from its last mark. Raises :class:`DataError` when the disk is too small.
    """
    path = folder / f"{key}.npy"
    if path.exists():
        return FeatureFile(path, rows)
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / f".{key}.lock"):  # another run may be making the same file
        return FeatureFile(path, rows) if path.exists() else _make(path, rows, batches, compute, title)


def _make(
    path: Path,
    rows: np.ndarray,
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
    compute: Callable[[Tensor], Tensor],
    title: str,
) -> FeatureFile:
    folder, key = path.parent, path.stem
    part, mark = folder / f"{key}.part.npy", folder / f"{key}.json"
    done = int(read_json(mark)["done"]) if mark.exists() and part.exists() else 0
    array: Any = np.lib.format.open_memmap(part, mode="r+") if done else None
    with progress(title, len(rows)) as advance:
        advance(done)
        for number, (inputs, _) in enumerate(batches(done)):
            features = compute(inputs).float().clamp(-65504, 65504).to("cpu", torch.float16).numpy()
            if array is None:
                array = _allocate(part, (len(rows), *features.shape[1:]))
            array[done : done + len(features)] = features
            done += len(features)
            advance(len(features))
            if (number + 1) % _BLOCK == 0:
                array.flush()
                write_json(mark, {"done": done})
                _trim_heap()
    if array is None or done != len(rows):
        raise DataError(f"{folder}: {done} of {len(rows)} works gave features; check the collection")
    array.flush()
    del array
    part.replace(path)
    mark.unlink(missing_ok=True)
    say(f"cached features of {len(rows):,} works in {path} ({path.stat().st_size / 2**30:.2f} GiB)")
    return FeatureFile(path, rows)


@contextmanager
def file_lock(lock: Path) -> Iterator[None]:
    """Waits until no other process holds ``lock``; does not wait where the system has no such locks."""
    with lock.open("w") as file:
        if fcntl is not None:
            with suppress(OSError):  # some network file systems have none
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _trim_heap() -> None:
    """Hands freed memory back to the system: what images and maps of many sizes leave between them in glibc's heap is
    4 KB an image, which it keeps. Other C libraries do without."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _allocate(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    need = int(np.prod(shape)) * 2
    free = shutil.disk_usage(path.parent).free
    if need > free:
        raise DataError(
            f"{path.parent}: the feature cache needs {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            "free some space, or set training.cache=false or a smaller backbone.grid"
        )
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
