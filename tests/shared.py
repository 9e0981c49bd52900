"""What a test session makes once, whatever the number of its processes: paintings, for now."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from morelli.synthetic import paint

_folder: list[Path] = []


def keep_in(folder: Path) -> None:
    """Names the folder of the session, the same one in each of its processes."""
    _folder[:] = [folder]


def once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` of the session, which ``make`` fills the first time that it is asked for. To be read only."""
    whole = _folder[0] / name
    with FileLock(whole.with_suffix(".lock")):
        if not whole.exists():
            part = whole.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(whole)
    return whole


def shared_paintings(out: Path, works: int, seed: int = 2, size: int = 32, defects: bool = False) -> Path:
    """A copy in ``out`` of works that the session paints once: the folders ``wikiart`` and ``wikiart_csv``."""
    name = f"painted-{works}-{seed}-{size}{'-defects' if defects else ''}"
    source = once(name, lambda part: paint(part, works, seed=seed, size=size, defects=defects, processes=1))
    shutil.copytree(source, out)
    return out
