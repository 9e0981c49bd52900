"""Whether a map of a painting is faithful: deletion and insertion curves.

Deletion blanks the painting's pixels in the order of the map, the strongest first: the score of the class should fall
soon (small area under the curve). Insertion shows them in that order over a blurred painting: the score should rise
soon (large area). Source: Petsiuk, Das and Saenko, "RISE: randomized input sampling for explanation of black-box
models", BMVC 2018. A map is worth something only where it does better than a random map of the same grain and than a
spot in the middle, where painters put what matters anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Scores = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


@dataclass(frozen=True)
class Curve:
    """``score`` (n + 1,) of the class after a ``share`` (n + 1,), 0 to 1, of the pixels was changed."""

    share: NDArray[np.float64]
    score: NDArray[np.float64]

    @property
    def area(self) -> float:
        """The area under the curve by the trapezoidal rule, in the units of the score."""
        return float(np.trapezoid(self.score, self.share))


def deletion(scores: Scores, image: Image, saliency: NDArray[np.floating], steps: int = 28) -> Curve:
    """The class's score as the pixels of ``image`` (H, W, 3) give way to its mean colour, the strongest of
    ``saliency`` (H, W) first. ``scores`` takes images (B, H, W, 3) uint8 and gives (B,)."""
    blank = np.broadcast_to(image.mean(axis=(0, 1)).round().astype(np.uint8), image.shape)
    return _curve(scores, image, blank, saliency, steps)


def insertion(scores: Scores, image: Image, saliency: NDArray[np.floating], steps: int = 28) -> Curve:
    """The class's score as the pixels of ``image`` (H, W, 3) come out of a blurred one (Gaussian, a twentieth of the
    longer side), the strongest of ``saliency`` (H, W) first; ``scores`` as for :func:`deletion`."""
    return _curve(scores, blurred(image), image, saliency, steps)


def blurred(image: Image) -> Image:
    """``image`` (H, W, 3) without its details."""
    from scipy.ndimage import gaussian_filter

    sigma = max(image.shape[:2]) / 20
    soft: NDArray[Any] = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="reflect")
    return soft.round().astype(np.uint8)


def random_map(shape: tuple[int, int], grid: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """A map (H, W) in 0–1 of independent random cells, ``grid`` of them, enlarged smoothly: the same grain as a real
    map, for scattered pixels would blank a painting's texture everywhere at once."""
    from scipy.ndimage import zoom

    cells = np.random.default_rng(seed).random(grid)
    factors = (shape[0] / grid[0], shape[1] / grid[1])
    large = zoom(cells, factors, order=3, mode="reflect", grid_mode=True)[: shape[0], : shape[1]]
    return np.clip(large, 0, 1).astype(np.float32)


def centre_map(shape: tuple[int, int]) -> NDArray[np.float32]:
    """A Gaussian spot in the middle (H, W), its standard deviation a quarter of each side; 0–1."""
    rows, columns = (((np.arange(n) + 0.5) / n - 0.5) / 0.25 for n in shape)
    return np.exp(-(rows[:, None] ** 2 + columns[None, :] ** 2) / 2).astype(np.float32)


def mean_interval(values: NDArray[np.floating]) -> tuple[float, float]:
    """The mean of (N,) values and the half width of its 95 % interval (Student's t); NaN for fewer than two."""
    from scipy.stats import t

    if len(values) < 2:
        return float(np.mean(values)) if len(values) else float("nan"), float("nan")
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def _curve(scores: Scores, before: Image, after: Image, saliency: NDArray[np.floating], steps: int) -> Curve:
    """From ``before`` to ``after``; pixels of equal strength change from the top left on."""
    pixels = saliency.size
    order = np.argsort(-saliency.ravel(), kind="stable")
    bounds = np.linspace(0, pixels, steps + 1).round().astype(int)
    images = np.empty((steps + 1, *before.shape), dtype=np.uint8)
    current = before.reshape(pixels, -1).copy()
    images[0] = before
    for step in range(1, steps + 1):
        changed = order[bounds[step - 1] : bounds[step]]
        current[changed] = after.reshape(pixels, -1)[changed]
        images[step] = current.reshape(before.shape)
    return Curve(bounds / pixels, np.asarray(scores(images), dtype=np.float64))
