"""Paintings side by side, each with lines of text under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from morelli.collection.images import open_rgb
from morelli.errors import ImageError
from morelli.report.figures import style
from morelli.report.figures.style import styled

# all in inches but the sizes of the fonts, which are in points
_CELL, _PICTURE, _GAP, _LINE, _MARGIN = 1.8, 1.7, 0.16, 0.145, 0.06
_MIN_WIDTH = 4.0  # a few tiles leave room for the title
_FONT, _TITLE = 8, 11


@dataclass(frozen=True)
class Tile:
    """One painting: its JPEG bytes (None where it cannot be read), lines of text under it (the first in bold),
    and the colour of its frame."""

    picture: bytes | None
    lines: tuple[str, ...]
    colour: str | None = None


@styled
def gallery_figure(tiles: Sequence[Tile], title: str = "", columns: int = 5) -> Figure:
    """The tiles row by row, at most ``columns`` in a row.

    Pictures keep their aspect ratio inside equal cells. A line of text that is too long for its cell goes on in a
    second one, and what does not fit there is replaced by "…". A picture that is None or cannot be decoded is a
    grey box that says so.
    """
    if not tiles:
        drawn = style.figure(5, 1.6)
        axes = drawn.subplots()
        axes.set_title(title)
        style.note(axes, "no work to show")
        return drawn
    columns = min(columns, len(tiles))
    width = max(columns * (_CELL + _GAP) - _GAP, _MIN_WIDTH) + 2 * _MARGIN
    texts = [_wrapped(tile) for tile in tiles]
    heading = style.wrap(title, width - 2 * _MARGIN, _TITLE, bold=True)
    rows = range(0, len(tiles), columns)
    heights = [_PICTURE + 0.09 + _LINE * max(map(len, texts[i : i + columns])) for i in rows]
    above = 0.2 * len(heading) + 0.16 if heading else 0.0
    height = sum(heights) + _GAP * (len(heights) - 1) + above + 2 * _MARGIN
    # placed by hand, in inches: the layout engines would resize the cells to the text
    drawn = Figure(figsize=(width, height))
    _write(drawn, _MARGIN, height - _MARGIN, "\n".join(heading), fontsize=_TITLE, fontweight="bold")
    top = height - _MARGIN - above
    for row, start in enumerate(rows):
        for place, tile in enumerate(tiles[start : start + columns]):
            left = _MARGIN + place * (_CELL + _GAP)
            _draw_picture(drawn, tile, left, top)
            _draw_text(drawn, texts[start + place], left, top - _PICTURE - 0.07)
        top -= heights[row] + _GAP
    return drawn


def _draw_picture(drawn: Figure, tile: Tile, left: float, top: float) -> None:
    """Centred in its cell, standing on the text; an imshow of its own, for its own aspect ratio."""
    pixels, (wide, high) = _decode(tile.picture)
    scale = min(_CELL / wide, _PICTURE / high)
    wide, high = wide * scale, high * scale
    x, y = left + (_CELL - wide) / 2, top - _PICTURE
    width, height = drawn.get_size_inches()
    box = (x / width, y / height, wide / width, high / height)
    if pixels is None:
        drawn.add_artist(Rectangle(box[:2], *box[2:], facecolor="#E6E6E6", edgecolor="none"))
        middle = (x + wide / 2, y + high / 2)
        _write(drawn, *middle, "picture not\navailable", ha="center", va="center", color=style.GREY)
    else:
        axes = drawn.add_axes(box)
        axes.set_axis_off()
        axes.imshow(pixels, aspect="auto", interpolation="antialiased")
    if tile.colour is not None:
        frame = Rectangle(box[:2], *box[2:], fill=False, edgecolor=tile.colour, linewidth=3, zorder=3)
        drawn.add_artist(frame)


def _decode(picture: bytes | None) -> tuple[np.ndarray | None, tuple[float, float]]:
    """(H, W, 3) uint8, reduced to about what is shown, and the width and height before; None where it cannot be
    decoded."""
    try:
        if picture is None:
            return None, (4, 3)
        image, shape, _ = open_rgb(picture)
    except ImageError:
        return None, (4, 3)
    size = round(max(_CELL, _PICTURE) * style.DPI)
    image.thumbnail((size, size))
    return np.asarray(image), shape


def _draw_text(drawn: Figure, lines: list[tuple[str, bool]], left: float, top: float) -> None:
    for number, (line, bold) in enumerate(lines):
        weight = "bold" if bold else "normal"
        _write(drawn, left + _CELL / 2, top - number * _LINE, line, ha="center", fontweight=weight)


def _write(drawn: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Text at a place given in inches; never read as a formula."""
    width, height = drawn.get_size_inches()
    given: dict[str, Any] = {"va": "top", "ha": "left", "fontsize": _FONT, "color": "#222222"} | look
    drawn.text(x / width, y / height, text, **given)


def _wrapped(tile: Tile) -> list[tuple[str, bool]]:
    """The lines as they fit under the picture, and whether each is bold."""
    return [
        (part, number == 0)
        for number, line in enumerate(tile.lines)
        for part in style.wrap(line, _CELL, _FONT, bold=number == 0)
    ]
