"""How every figure looks, and the names it shows.

Colours are Okabe and Ito's, which people with any colour vision tell apart ("Color Universal Design",
2008); counts and rates use one sequential map that grows evenly darker.
"""

from __future__ import annotations

import io
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, SKY, PURPLE, GREY = "#D55E00", "#56B4E9", "#CC79A7", "#6B6B6B"
TASK_COLOURS = {"artist": BLUE, "style": ORANGE, "genre": GREEN}
SPLIT_COLOURS = {"train": BLUE, "val": SKY, "test": ORANGE}
SEQUENTIAL = "Blues"
DPI = 144

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
    >>> pretty("rembrandt", "artist"), pretty("m.c.-escher"), pretty("art-nouveau", "style")
    ('Rembrandt', 'M.C. Escher', 'Art Nouveau')
    """
    words = name.replace("_", " ").strip()
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
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    return buffer.getvalue()


def note(axes: Axes, text: str) -> None:
    """Says why a figure is empty, in its middle."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
