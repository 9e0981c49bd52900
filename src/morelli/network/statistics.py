"""Pooled statistics: what the tokens of a feature map are on average and how they vary, in no order.

A painting's style lies much in these: the correlations of channels (Gram matrices) are what style transfer copies
(Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks", CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli.network.readout import Part, deviations, mirrored, parts_of, upper


class Moments(nn.Module):
    """Mean and standard deviation of each channel over the map, each normalised by layer; ``dim`` = 2 C."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part, self.dim = part, 2 * part.channels
        self.centre, self.spread = nn.LayerNorm(part.channels), nn.LayerNorm(part.channels)

    def forward(self, mean: Float[Tensor, "B C"], second: Float[Tensor, "B _"]) -> Float[Tensor, "B D"]:
        return torch.cat([self.centre(mean), self.spread(deviations(self.part, second))], dim=1)


class Gram(nn.Module):
    """Covariances of ``projections`` P learned mixtures of the channels; ``dim`` = P (P + 1) / 2.

    Each covariance is replaced by its signed root, which tames the large ones (bilinear pooling: Lin, RoyChowdhury
    and Maji, ICCV 2015), and all are normalised by layer. The mixtures start as random orthogonal ones.
    """

    def __init__(self, part: Part, projections: int) -> None:
        super().__init__()
        self.channels = part.channels
        self.mix = nn.Linear(part.channels, projections, bias=False)
        nn.init.orthogonal_(self.mix.weight)
        self.dim = projections * (projections + 1) // 2
        self.norm = nn.LayerNorm(self.dim)
        self.register_buffer("mirrored", mirrored(part.channels), persistent=False)
        self.register_buffer("upper", upper(projections), persistent=False)

    def forward(self, mean: Float[Tensor, "B C"], second: Float[Tensor, "B _"]) -> Float[Tensor, "B D"]:
        square = second.index_select(1, self.mirrored).view(-1, self.channels, self.channels)  # type: ignore[arg-type]
        with torch.autocast(second.device.type, enabled=False):
            products = self.mix.weight @ (square @ self.mix.weight.t())
        flat = products.flatten(1).index_select(1, self.upper)  # type: ignore[arg-type]
        return self.norm(flat.sign() * (flat.abs() + 1e-6).sqrt())


class Statistics(nn.Module):
    """The chosen ``kinds`` of every part of a readout side by side; ``dim`` is the sum of theirs.

    A part without covariances has no Gram matrix.
    """

    def __init__(self, kinds: Sequence[str], layout: Sequence[Part], projections: int) -> None:
        super().__init__()
        self.layout = list(layout)
        parts: list[Moments | Gram] = []
        self.places: list[int] = []  # in the layout, of each of them
        for place, part in enumerate(layout):
            for kind in kinds:
                if kind == "moments":
                    parts.append(Moments(part))
                elif part.covariances:
                    parts.append(Gram(part, min(projections, part.channels)))
                else:
                    continue
                self.places.append(place)
        self.parts = nn.ModuleList(parts)
        self.dim = sum(part.dim for part in parts)

    def forward(self, readout: Float[Tensor, "B L 1 1"]) -> Float[Tensor, "B D"]:
        found = parts_of(readout, self.layout)
        return torch.cat(
            [part(*found[place]) for place, part in zip(self.places, self.parts, strict=True)], dim=1
        )
