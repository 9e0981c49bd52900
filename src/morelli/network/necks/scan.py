"""Scans: the order in which the cells of a feature map are read as tokens.

Every scan is a permutation of the h·w cells, numbered row by row (cell = row · w + column), and a reverse
scan is its partner backwards. The snake (boustrophedon) turns at the end of each row, so that neighbours
in the sequence are always neighbours in the painting.

>>> SCANS["snake"](2, 3).tolist()
[0, 1, 2, 5, 4, 3]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def _row(height: int, width: int) -> Int[Tensor, " T"]:
    return torch.arange(height * width)


def _column(height: int, width: int) -> Int[Tensor, " T"]:
    return _row(height, width).view(height, width).t().flatten()


def _snake(height: int, width: int) -> Int[Tensor, " T"]:
    cells = _row(height, width).view(height, width).clone()
    cells[1::2] = cells[1::2].flip(1)
    return cells.flatten()


SCANS: dict[str, Callable[[int, int], Tensor]] = {
    "row": _row,
    "row-reverse": lambda height, width: _row(height, width).flip(0),
    "column": _column,
    "column-reverse": lambda height, width: _column(height, width).flip(0),
    "snake": _snake,
    "snake-reverse": lambda height, width: _snake(height, width).flip(0),
}
"""Name of a scan → (height, width) → cell numbers (T,) in reading order, T = height · width."""


def scan(features: Float[Tensor, "B C h w"], name: str) -> Float[Tensor, "B T C"]:
    """The cells of a feature map (B, C, h, w) as tokens (B, T, C) in the order of the scan ``name``.

    The row scan is a view of its input; every other scan copies once.
    """
    tokens = features.flatten(2).transpose(1, 2)
    if name == "row":
        return tokens
    order = SCANS[name](features.shape[2], features.shape[3])
    return tokens.index_select(1, order.to(features.device))


def rows_as_tokens(features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B h D"]:
    """The rows of a feature map (B, C, h, w), top to bottom, each as one token of all its cells (B, h, w · C)."""
    return features.permute(0, 2, 3, 1).flatten(2)
