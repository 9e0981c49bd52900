"""How every figure looks, and the names it shows.

Colours are Okabe and Ito's, which people with any colour vision tell apart ("Color Universal Design",
2008); counts and rates use one sequential map that grows evenly darker.
"""

from __future__ import annotations

import io
import re
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, SKY, PURPLE, GREY = "#D55E00", "#56B4E9", "#CC79A7", "#6B6B6B"
TASK_COLOURS = {"artist": BLUE, "style": ORANGE, "genre": GREEN}
SPLIT_COLOURS = {"train": BLUE, "val": SKY, "test": ORANGE}
SEQUENTIAL = "Blues"
DPI = 144
# paintings have no fine lines to keep sharp, and their size in bytes grows with the square of this
JPEG_DPI = 120
# texts are measured at one resolution, whatever figures are drawn at: measures are kept for the whole process
_MEASURING_DPI = 144

STYLE: Any = {
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 10,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "savefig.dpi": DPI,
}

# a decorator for a function that draws: the style holds while it runs and leaves matplotlib as it was
styled = matplotlib.rc_context(STYLE)

_PARTICLES = {
    "van",
    "von",
    "der",
    "den",
    "de",
    "la",
    "le",
    "du",
    "da",
    "di",
    "del",
    "della",
    "ter",
    "the",
    "of",
}


def pretty(name: str, task: str | None = None) -> str:
    """A class name for people. Lower-case names with hyphens, and all of the task ``artist``, are persons.

    >>> pretty("vincent-van-gogh"), pretty("Abstract_Expressionism"), pretty("genre_painting")
    ('Vincent van Gogh', 'Abstract Expressionism', 'genre painting')
    >>> pretty("rembrandt", "artist"), pretty("art-nouveau", "style"), pretty("Ukiyo_e", "style")
    ('Rembrandt', 'Art Nouveau', 'Ukiyo-e')
    """
    words = name.replace("_", " ").strip().replace("Ukiyo e", "Ukiyo-e")
    person = task == "artist" or (task is None and "-" in words)
    if words != words.lower() or not (person or task == "style"):
        return words
    parts = words.replace("-", " ").split()
    return " ".join(
        part if i and part in _PARTICLES and i < len(parts) - 1 else part.title()
        for i, part in enumerate(parts)
    )


def figure(
    width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """An empty figure of this size in inches; no window system and no global state is touched."""
    return Figure(figsize=(width, height), layout=layout)


def png(drawn: Figure) -> bytes:
    """The figure as a PNG, trimmed to what is drawn."""
    return _save(drawn, "png", DPI)


def jpeg(drawn: Figure, quality: int = 85, margin: float = 0.12) -> bytes:
    """The figure as a JPEG, trimmed to what is drawn and a ``margin`` in inches; for figures that show paintings,
    which PNG stores badly."""
    settings = {"quality": quality, "optimize": True, "progressive": True}
    return _save(drawn, "jpeg", JPEG_DPI, pil_kwargs=settings, pad_inches=margin)


def _save(drawn: Figure, kind: str, dpi: int, pad_inches: float = 0.12, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    with quiet():
        drawn.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", pad_inches=pad_inches, **settings)
    return buffer.getvalue()


def wrap(text: str, room: float, size: float, bold: bool = False, lines: int = 2) -> list[str]:
    """``text`` as at most ``lines`` lines no wider than ``room`` inches at ``size`` points.

    Lines break after a space (not a no-break space), a hyphen, an underscore or a slash; what does not fit is
    replaced by "…". An empty text is no line.
    """

    def fits(part: str) -> bool:
        return _width(part.strip(" "), size, bold) <= room

    pieces = re.findall(r"[^ \-_/]*(?:[ \-_/]+|$)", re.sub(r"[ \t\r\n]+", " ", text.strip()))
    done = [""]
    for number, piece in enumerate(pieces):
        if fits(done[-1] + piece):
            done[-1] += piece
        elif len(done) < lines and done[-1]:
            done.append(piece)
        else:
            done[-1] += "".join(pieces[number:])
            break
    return [_shorten(part.strip(" "), fits) for part in done if part]


def _shorten(text: str, fits: Callable[[str], bool]) -> str:
    if fits(text):
        return text
    first_too_long = bisect_left(range(len(text)), True, key=lambda n: not fits(text[:n].rstrip() + "…"))
    return text[: max(first_too_long - 1, 0)].rstrip() + "…"


@lru_cache(4096)
def _width(text: str, size: float, bold: bool) -> float:
    """The width of a text in inches."""
    font = FontProperties(family=STYLE["font.family"], size=size, weight="bold" if bold else "normal")
    with quiet():
        return _ruler().get_text_width_height_descent(text, font, ismath=False)[0] / _MEASURING_DPI


@cache
def _ruler() -> RendererAgg:
    return FigureCanvasAgg(Figure(dpi=_MEASURING_DPI)).get_renderer()


@contextmanager
def quiet() -> Iterator[None]:
    """No warning for a letter that the font lacks: it is drawn as a box, and nobody can do anything about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def note(axes: Axes, text: str) -> None:
    """Says why a figure is empty, in its middle."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
