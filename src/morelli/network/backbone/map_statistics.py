"""What several feature maps of an image are on average and how their channels vary together, as one vector.

Fine maps of the first stages and wide ones of the last cannot share a grid without loss; their statistics can be laid
end to end. Nothing here learns, so a frozen backbone's statistics are cached like its maps are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

MAX_COVARIANCE_CHANNELS = (
    256  # channels up to which all covariances are kept; of a wider map only the variances
)


@dataclass(frozen=True)
class StatisticsLayout:
    """The place of one map's statistics in a readout: ``channels`` C means, then the upper triangle of their
    covariances, row after row, where ``covariances``, else C variances."""

    channels: int

    @property
    def covariances(self) -> bool:
        return self.channels <= MAX_COVARIANCE_CHANNELS

    @property
    def length(self) -> int:
        c = self.channels
        return c + (c * (c + 1) // 2 if self.covariances else c)


def parts_of(readout: Tensor, parts: Sequence[StatisticsLayout]) -> list[tuple[Tensor, Tensor]]:
    """The means (B, C) and covariances or variances (B, …) of each part of a readout (B, L, 1, 1), float32."""
    pieces = readout.flatten(1).float().split([part.length for part in parts], dim=1)
    return [
        (piece[:, : part.channels], piece[:, part.channels :])
        for piece, part in zip(pieces, parts, strict=True)
    ]


def deviations(part: StatisticsLayout, second: Tensor) -> Tensor:
    """The standard deviations (B, C) in the second numbers of a part, see :func:`parts_of`."""
    if part.covariances:  # the diagonal stands where each row of the triangle begins
        lengths = torch.arange(part.channels, 0, -1, device=second.device)
        second = second.index_select(1, lengths.cumsum(0) - lengths)
    # float16 may have rounded a variance below zero; the gradient of a root at zero is infinite
    return (second.clamp(min=0) + 1e-6).sqrt()


def signed_roots(covariances: Tensor) -> Tensor:
    """Roots of their sizes with their signs, which tame the large ones (bilinear pooling: Lin, RoyChowdhury and Maji,
    ICCV 2015)."""
    return covariances.sign() * (covariances.abs() + 1e-6).sqrt()


class MapStatistics(nn.Module):
    """Feature maps (B, C, h, w), one for each of ``channels``, to their statistics, (B, L, 1, 1) float32.

    The result is a map of one cell, so that whatever takes a map takes it too. ``parts`` is its layout.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.parts = [StatisticsLayout(width) for width in channels]

    def forward(self, maps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B L 1 1"]:
        # in half precision products of many cells lose what distinguishes works
        with torch.autocast(maps[0].device.type, enabled=False):
            pieces = [_statistics(each.float(), part) for each, part in zip(maps, self.parts, strict=True)]
        return torch.cat(pieces, dim=1)[:, :, None, None]


def _statistics(features: Tensor, part: StatisticsLayout) -> Tensor:
    cells = features.flatten(2)
    mean = cells.mean(dim=2)
    if not part.covariances:
        return torch.cat([mean, cells.var(dim=2, correction=0)], dim=1)
    apart = cells - mean[:, :, None]
    covariance = apart @ apart.transpose(1, 2) / cells.shape[2]
    return torch.cat([mean, covariance.flatten(1).index_select(1, upper(part.channels, cells.device))], dim=1)


def upper(width: int, device: torch.device | None = None) -> Tensor:
    """Where the upper triangle of a (width, width) matrix stands in it, flattened, row after row."""
    rows, columns = torch.triu_indices(width, width, device=device)
    return rows * width + columns


def symmetric_index(width: int) -> Tensor:
    """For each of the width² numbers of a symmetric matrix its place in the upper triangle."""
    index = torch.empty(width, width, dtype=torch.int64)
    rows, columns = torch.triu_indices(width, width)
    index[rows, columns] = index[columns, rows] = torch.arange(len(rows))
    return index.flatten()
