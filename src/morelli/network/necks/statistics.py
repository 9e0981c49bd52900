"""Pooled statistics: what the tokens of a feature map are on average and how they vary, in no order.

A painting's style lies much in these: the correlations of channels (Gram matrices) are what style transfer copies
(Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks", CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli.network.backbone.map_statistics import (
    StatisticsLayout,
    deviations,
    parts_of,
    signed_roots,
    symmetric_index,
    upper,
)

UnpackedStatistics = list[
    tuple[Tensor, Tensor, Tensor | None]
]  # of each part means, deviations (B, C), covariances (B, C, C)


class Moments(nn.Module):
    """Mean and standard deviation of each channel over the map, each normalised by layer; ``dim`` = 2 C."""

    def __init__(self, part: StatisticsLayout) -> None:
        super().__init__()
        self.dim = 2 * part.channels
        self.centre, self.spread = nn.LayerNorm(part.channels), nn.LayerNorm(part.channels)

    def forward(self, mean: Float[Tensor, "B C"], spread: Float[Tensor, "B C"]) -> Float[Tensor, "B D"]:
        return torch.cat([self.centre(mean), self.spread(spread)], dim=1)


class Gram(nn.Module):
    """Covariances of ``projections`` P learned mixtures of the channels; ``dim`` = P (P + 1) / 2.

    Each covariance is replaced by its signed root, and all are normalised by layer. The mixtures start as random
    orthogonal ones.
    """

    def __init__(self, part: StatisticsLayout, projections: int) -> None:
        super().__init__()
        self.mix = nn.Linear(part.channels, projections, bias=False)
        nn.init.orthogonal_(self.mix.weight)
        self.dim = projections * (projections + 1) // 2
        self.norm = nn.LayerNorm(self.dim)
        self.register_buffer("upper", upper(projections), persistent=False)

    def forward(self, square: Float[Tensor, "B C C"]) -> Float[Tensor, "B D"]:
        with torch.autocast(square.device.type, enabled=False):
            products: Tensor = _Mixed.apply(square, self.mix.weight)
        flat = products.flatten(1).index_select(1, self.upper)  # type: ignore[arg-type]
        return self.norm(signed_roots(flat))


class _Mixed(torch.autograd.Function):
    """W S Wᵀ of symmetric S (B, C, C) and W (P, C). Both W have the same gradient but for a transposition, so the
    dear product, of S, is needed once instead of twice."""

    @staticmethod
    def forward(ctx: Any, square: Tensor, weight: Tensor) -> Tensor:
        half = square @ weight.t()
        ctx.save_for_backward(half, weight)
        return weight @ half

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        (gradient,), (half, weight) = gradients, ctx.saved_tensors
        square = weight.t() @ gradient @ weight if ctx.needs_input_grad[0] else None
        both = gradient + gradient.transpose(1, 2)
        return square, torch.einsum("bpq,bcq->pc", both, half)


class Statistics(nn.Module):
    """The chosen ``kinds`` of every part of a readout side by side; ``dim`` is the sum of theirs.

    A part without covariances has no Gram matrix.
    """

    def __init__(self, kinds: Sequence[str], layout: Sequence[StatisticsLayout], projections: int) -> None:
        super().__init__()
        self.layout = list(layout)
        parts: list[Moments | Gram] = []
        self.map_numbers: list[int] = []  # in the layout, of each of them
        for number, part in enumerate(layout):
            for kind in kinds:
                if kind == "moments":
                    parts.append(Moments(part))
                elif part.covariances:
                    parts.append(Gram(part, min(projections, part.channels)))
                    self.register_buffer(
                        f"symmetric_{number}", symmetric_index(part.channels), persistent=False
                    )
                else:
                    continue
                self.map_numbers.append(number)
        self.parts = nn.ModuleList(parts)
        self.dim = sum(part.dim for part in parts)

    def unpacked(self, readout: Float[Tensor, "B L 1 1"]) -> UnpackedStatistics:
        """The parts of a readout, laid out for :meth:`read`. Nothing here is learned, so that necks which share a
        readout do it once; unpacking the covariances is a fifth of a step."""
        pieces: UnpackedStatistics = []
        for number, (mean, second) in enumerate(parts_of(readout, self.layout)):
            part, whole = self.layout[number], getattr(self, f"symmetric_{number}", None)
            square = None
            if whole is not None:
                square = second.index_select(1, whole).view(-1, part.channels, part.channels)
            pieces.append((mean, deviations(part, second), square))
        return pieces

    def read(self, unpacked: UnpackedStatistics) -> Float[Tensor, "B D"]:
        statistics = []
        for number, part in zip(self.map_numbers, self.parts, strict=True):
            mean, spread, square = unpacked[number]
            statistics.append(part(mean, spread) if isinstance(part, Moments) else part(square))
        return torch.cat(statistics, dim=1)

    def forward(self, readout: Float[Tensor, "B L 1 1"]) -> Float[Tensor, "B D"]:
        return self.read(self.unpacked(readout))
