"""How every figure looks, and how it shows a class name.

Colours are Okabe and Ito's, which people with any colour vision tell apart ("Color Universal Design",
2008); counts and rates use one sequential map that grows evenly darker.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from morelli.report.figures.fonts import DEFAULT, families_for, use_fonts

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, SKY, PURPLE, GREY = "#D55E00", "#56B4E9", "#CC79A7", "#6B6B6B"
TASK_COLOURS = {"artist": BLUE, "style": ORANGE, "genre": GREEN}
SPLIT_COLOURS = {"train": BLUE, "val": SKY, "test": ORANGE}
SEQUENTIAL = "Blues"
DPI = 144
# what a line is made of; of Chinese and Japanese each character
_EAST = r"\u2e80-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"[{_EAST}][ \-_/]*|[^ \-_/{_EAST}]*(?:[ \-_/]+|(?=[{_EAST}])|$)")
# paintings have no fine lines to keep sharp, and their size in bytes grows with the square of this
JPEG_DPI = 120
# texts are measured at one resolution, whatever figures are drawn at: measures are kept for the whole process
_MEASURING_DPI = 144

STYLE: Any = {
    "figure.facecolor": "white",
    "font.family": DEFAULT,
    "text.parse_math": False,  # a name with two dollar signs is no formula
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


def styled(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """A decorator for a function that draws: the style holds while it runs and leaves matplotlib as it was; the figure
    has fonts for all its letters."""

    @wraps(draw)
    def drawing(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        with matplotlib.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        if isinstance(drawn, Figure):
            use_fonts(drawn)
        return drawn

    return drawing


def display_name(name: str) -> str:
    """A class name as the collection spells it; an underscore, which stands for a space in file and folder names, is
    one, so that lines can break there. A mark that is not seen ends an Arabic or Hebrew name, so that a number after it
    stays after it.

    >>> display_name("Abstract_Expressionism"), display_name("vincent-van-gogh"), display_name("ukiyo-e")
    ('Abstract Expressionism', 'vincent-van-gogh', 'ukiyo-e')
    """
    shown = re.sub(r"[_ \t\r\n]+", " ", name).strip() or name
    leftward = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in shown)
    return f"{shown}\u200e" if leftward else shown


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

    Lines break after a space (not a no-break space), a hyphen, an underscore, a slash, or a Chinese or Japanese
    character; what does not fit is replaced by "…". An empty text is no line.
    """

    def fits(part: str) -> bool:
        return text_width(part.strip(" "), size, bold) <= room

    pieces = _PIECE.findall(re.sub(r"[ \t\r\n]+", " ", text.strip()))
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
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width in inches of a text of ``size`` points."""
    font = FontProperties(family=list(families_for(text)), size=size, weight="bold" if bold else "normal")
    with quiet():
        return _ruler().get_text_width_height_descent(text, font, ismath=False)[0] / _MEASURING_DPI


@cache
def _ruler() -> RendererAgg:
    return FigureCanvasAgg(Figure(dpi=_MEASURING_DPI)).get_renderer()


@contextmanager
def quiet() -> Iterator[None]:
    """No warning for each letter that no font has: one sentence has named the package (:mod:`.fonts`)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def note(axes: Axes, text: str) -> None:
    """Says why a figure is empty, in its middle."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
