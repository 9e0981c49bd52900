"""Principal components of a readout: tens of thousands of statistics as a vector of a few thousand, without labels.

The statistics of one map are very unequal, and most of the covariances repeat what others hold. Signed roots tame
the large ones, each is standardised over the training works, and what is left is turned onto its principal axes, which
a layer can learn from in a fraction of the time, and better (docs/research/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli.network.backbone.map_statistics import StatisticsLayout, deviations, parts_of, signed_roots


class Components(nn.Module):
    """Readouts (B, L, 1, 1) of the given ``layout`` to ``width`` numbers each, (B, width, 1, 1) float32, whose length
    is the root of ``width``.

    ``mean`` and ``scale`` (L') and ``basis`` (L', width), of the L' numbers of :func:`roots`, are fitted to the
    training works before anything is learned (:func:`morelli.training.components.fit_components`); until then
    ``fitted`` is False.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor

    def __init__(self, layout: Sequence[StatisticsLayout], width: int) -> None:
        super().__init__()
        self.layout, self.width = list(layout), width
        length = sum(part.length + part.channels * part.covariances for part in layout)
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("scale", torch.zeros(length))
        self.register_buffer("basis", torch.zeros(length, width, dtype=torch.float16))

    @property
    def fitted(self) -> bool:
        return bool(self.scale.any())

    def forward(self, readout: Float[Tensor, "B L 1 1"]) -> Float[Tensor, "B W 1 1"]:
        with torch.autocast(readout.device.type, enabled=False):
            numbers = torch.cat(list(roots(readout, self.layout)), dim=1)
            components = ((numbers - self.mean) * self.scale) @ self.basis.float()
            components = nn.functional.normalize(components, dim=1) * self.width**0.5
        return components[:, :, None, None]


def roots(readout: Tensor, layout: Sequence[StatisticsLayout]) -> Iterator[Tensor]:
    """Of each part of readouts (B, L, …) its means, its deviations, and the signed roots of its covariances where it
    has any; (B, …) float32 each."""
    for part, (mean, second) in zip(layout, parts_of(readout, layout), strict=True):
        yield mean
        yield deviations(part, second)
        if part.covariances:
            yield signed_roots(second)
