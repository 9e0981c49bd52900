"""What tests share: paintings that a session makes once for all of its processes, and figures left blank."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from morelli.report.figures import style
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


@contextmanager
def figures_left_blank() -> Iterator[None]:
    """Figures are composed but not drawn: drawing is most of what a page costs, and has tests of its own."""

    def blank(kind: str) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (300, 200), "white").save(buffer, kind)
        return buffer.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "png", lambda *_, **__: blank("png"))
        patch.setattr(style, "jpeg", lambda *_, **__: blank("jpeg"))
        yield
