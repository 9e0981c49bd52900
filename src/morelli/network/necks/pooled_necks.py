"""Necks without an order: one hidden layer over one vector, and pooled statistics fused with another neck.

Several of these may share a backbone (:mod:`morelli.network.necks.ensemble`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli import recipe
from morelli.errors import RecipeError
from morelli.network.backbone.map_statistics import MAX_COVARIANCE_CHANNELS, MapStatistics, StatisticsLayout
from morelli.network.necks.statistics import Statistics, UnpackedStatistics


class Neck(nn.Module):
    """What all necks share: ``dim`` (D) and ``forward`` (B, C, h, w) → (B, D)."""

    dim: int

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        raise NotImplementedError


class MemberNeck(Neck):
    """A neck of which there may be several on one backbone; they share what is ``unpacked``, by nothing learned."""

    def unpacked(self, features: Float[Tensor, "B C h w"]) -> Any:
        raise NotImplementedError

    def read(self, features: Float[Tensor, "B C h w"], unpacked: Any) -> Float[Tensor, "B D"]:
        raise NotImplementedError

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        return self.read(features, self.unpacked(features))


class HiddenLayer(MemberNeck):
    """One hidden layer over a map of one cell; D = ``fused``."""

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__()
        self.dim = settings.fused
        self.layer = nn.Sequential(
            nn.Dropout(settings.input_dropout),
            nn.Linear(channels, self.dim),
            nn.GELU(),
            nn.Dropout(settings.dropout),
        )

    def unpacked(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C"]:
        return features.flatten(1)

    def read(
        self, features: Float[Tensor, "B C h w"], unpacked: Float[Tensor, "B C"]
    ) -> Float[Tensor, "B D"]:
        return self.layer(unpacked)


class FusedNeck(MemberNeck):
    """What another neck reads, if any, and pooled statistics of the same map, mixed by one layer; D = ``fused``.

    Where the backbone gives a readout of its maps instead of a map, ``layout`` is the place of each map's statistics in
    it. The statistics pass a light ``input_dropout``, for they are many and memorise; ``dropout`` acts on the fused
    vector.

    Raises :class:`RecipeError` where Gram matrices are asked for and no map is narrow enough for one.
    """

    def __init__(
        self,
        settings: recipe.Neck,
        channels: int,
        reading: Neck | None,
        layout: Sequence[StatisticsLayout] | None = None,
    ) -> None:
        super().__init__()
        self.reading = reading
        self.readout = None if layout else MapStatistics([channels])
        layout = layout or [StatisticsLayout(channels)]
        if "gram" in settings.statistics and not any(part.covariances for part in layout):
            raise RecipeError(
                f"neck.statistics: gram is of maps of at most {MAX_COVARIANCE_CHANNELS} channels, and the backbone's "
                "have more; leave gram out, or choose an earlier backbone.stage"
            )
        self.statistics = Statistics(settings.statistics or ["moments"], layout, settings.projections)
        self.input_dropout = nn.Dropout(settings.input_dropout)
        self.dim = settings.fused
        width = self.statistics.dim + (reading.dim if reading else 0)
        self.fuse = nn.Sequential(nn.Linear(width, self.dim), nn.LayerNorm(self.dim), nn.GELU())
        self.dropout = nn.Dropout(settings.dropout)

    def unpacked(self, features: Float[Tensor, "B C h w"]) -> UnpackedStatistics:
        return self.statistics.unpacked(self.readout([features]) if self.readout else features)

    def read(self, features: Float[Tensor, "B C h w"], unpacked: UnpackedStatistics) -> Float[Tensor, "B D"]:
        parts = [self.input_dropout(self.statistics.read(unpacked))]
        if self.reading is not None:
            parts.append(self.reading(features))
        return self.dropout(self.fuse(torch.cat(parts, dim=1)))
