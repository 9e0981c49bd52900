"""Pooled statistics: what the tokens of a feature map are on average and how they vary, in no order.

A painting's style lies much in these: the correlations of channels (Gram matrices) are what style transfer copies
(Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks", CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Moments(nn.Module):
    """Mean and standard deviation of each channel over the map, each normalised by layer; ``dim`` = 2 C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = 2 * channels
        self.centre, self.spread = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        # half precision would lose small deviations; the gradient of a root at zero is infinite
        tokens = features.flatten(2).float()
        deviation = (tokens.var(dim=2, correction=0) + 1e-6).sqrt()
        return torch.cat([self.centre(tokens.mean(dim=2)), self.spread(deviation)], dim=1)


class Gram(nn.Module):
    """Covariances of ``projections`` P learned mixtures of the channels; ``dim`` = P (P + 1) / 2.

    Each covariance is replaced by its signed root, which tames the large ones (bilinear pooling: Lin, RoyChowdhury
    and Maji, ICCV 2015), and all are normalised by layer. The mixtures start as random orthogonal ones.
    """

    def __init__(self, channels: int, projections: int) -> None:
        super().__init__()
        self.mix = nn.Linear(channels, projections, bias=False)
        nn.init.orthogonal_(self.mix.weight)
        self.dim = projections * (projections + 1) // 2
        self.norm = nn.LayerNorm(self.dim)
        self.register_buffer("upper", torch.triu_indices(projections, projections), persistent=False)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        mixtures = self.mix(features.flatten(2).transpose(1, 2)).float()
        mixtures = mixtures - mixtures.mean(dim=1, keepdim=True)
        products = mixtures.transpose(1, 2) @ mixtures / mixtures.shape[1]
        rows, columns = self.upper  # type: ignore[misc]
        flat = products[:, rows, columns]
        return self.norm(flat.sign() * (flat.abs() + 1e-6).sqrt())


class Statistics(nn.Module):
    """The chosen kinds side by side; ``dim`` is the sum of theirs."""

    def __init__(self, kinds: Sequence[str], channels: int, projections: int) -> None:
        super().__init__()
        parts = [Moments(channels) if kind == "moments" else Gram(channels, projections) for kind in kinds]
        self.parts = nn.ModuleList(parts)
        self.dim = sum(part.dim for part in parts)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        return torch.cat([part(features) for part in self.parts], dim=1)
