"""``morelli paint``: synthetic paintings in the layout of the ArtGAN data set."""

from __future__ import annotations

from morelli import synthetic
from morelli.console import progress
from morelli.files import AnyPath, as_path
from morelli.jobs.results.paint import Painted


def paint(out: AnyPath, works: int = 500, seed: int = 0, size: int = 128, defects: bool = False) -> Painted:
    """Paints ``works`` synthetic paintings into the new folder ``out``, their short side ``size`` pixels.

    Writes ``out/wikiart/STYLE/ARTIST_TITLE.jpg`` and the lists of labels in ``out/wikiart_csv``. The same ``seed``
    paints the same works. With ``defects`` it also plants the defects of real collections, wrong labels among them, and
    records each in ``out/truth.json``. Raises :class:`~morelli.errors.UsageError` for an impossible option or a folder
    that is not empty.

    >>> import morelli
    >>> morelli.paint("painted", works=4, size=32).works
    4
    """
    folder = as_path(out)
    with progress("painting", max(works, 0)) as advance:
        counts = synthetic.paint(folder, works, seed, size, defects, progress=advance)
    return Painted(folder, **counts)
