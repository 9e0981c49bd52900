"""A figure of where the network looked: a map over a painting."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morelli.report.figures import style
from morelli.report.figures.style import styled

Pixels = NDArray[np.uint8]
# evenly darker from white to a red that still shows the painting's darks
_HEAT = LinearSegmentedColormap.from_list("heat", matplotlib.colormaps["OrRd"](np.linspace(0, 0.92, 64)))
_PAINTING, LABEL, TITLE = 5.6, 9, 11  # inches of a painting's longer side; points


@styled
def map_figure(painting: Pixels, heat: NDArray[np.floating], title: str, measure: str) -> Figure:
    """The painting (H, W, 3) in greys under the map (H, W) in 0–1, with a bar that says what the colours mean."""
    wide, high = size_of(painting, _PAINTING)
    label = style.wrap(measure, 0.9 * high, LABEL, lines=3)
    total = max(wide + 0.7 + 0.17 * len(label), 3.4)
    heading = style.wrap(title, total, TITLE, bold=True)
    above = 0.2 * len(heading) + 0.12
    drawn = Figure(figsize=(total, high + above))
    axes = axes_at(drawn, 0, 0, wide, high)
    axes.set_axis_off()
    axes.imshow(overlay(painting, heat), aspect="auto", interpolation="antialiased")
    write_heading(drawn, heading, 0, high + above)
    bar = axes_at(drawn, wide + 0.15, 0.1 * high, 0.14, 0.8 * high)
    scale = drawn.colorbar(ScalarMappable(cmap=_HEAT), cax=bar, ticks=[0, 0.5, 1])
    scale.outline.set_visible(False)
    scale.ax.tick_params(length=0)
    scale.set_label("\n".join(label), fontsize=LABEL)
    return drawn


def overlay(painting: Pixels, heat: NDArray[np.floating]) -> Pixels:
    """The map's colours multiplied by the painting's lightness, so that both can be read; (H, W, 3) uint8."""
    lightness = painting.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    colours = _HEAT(heat)[..., :3]
    return np.round(255 * colours * (0.3 + 0.7 * lightness[..., None])).astype(np.uint8)


def size_of(painting: Pixels, longer: float) -> tuple[float, float]:
    """Width and height in inches; very long paintings keep a shorter side that can be seen."""
    height, width = painting.shape[:2]
    scale = longer / max(height, width)
    return max(width * scale, 0.9), max(height * scale, 0.9)


def axes_at(drawn: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes placed in inches."""
    wide, high = drawn.get_size_inches()
    return drawn.add_axes((left / wide, bottom / high, width / wide, height / high))


def write_heading(drawn: Figure, lines: Sequence[str], left: float, top: float) -> None:
    wide, high = drawn.get_size_inches()
    drawn.text(
        left / wide, top / high, "\n".join(lines), va="top", fontsize=TITLE, fontweight="bold"
    )  # fmt: skip
