"""Heads: the neck's vector (B, D) becomes one task's class scores, logits (B, K).

All normalisation is by layer, so that a head works on a batch of one in training too.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from morelli import recipe


class ResidualGate(nn.Module):
    """A residual block on vectors whose branch is scaled, channel by channel, by a gate it computes itself.

    Source of the gate: squeeze-and-excitation, Hu, Shen and Sun, CVPR 2018; a vector needs no squeeze.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        squeezed = max(1, width // 16)
        self.branch = nn.Sequential(*_hidden(width, width, dropout), nn.Linear(width, width))
        # GELU, not ReLU: with few squeezed channels a ReLU can be dead from the start
        self.gate = nn.Sequential(
            nn.Linear(width, squeezed), nn.GELU(), nn.Linear(squeezed, width), nn.Sigmoid()
        )

    def forward(self, vectors: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
        branch = self.branch(vectors)
        return vectors + branch * self.gate(branch)


def build_head(settings: recipe.Head, dim: int, classes: int) -> nn.Sequential:
    """A head from ``dim`` (D) to ``classes`` (K).

    ``linear`` is dropout and one linear layer; ``mlp`` puts Linear, LayerNorm, GELU and dropout before it
    for every width; ``residual-se`` projects to the first width, applies one :class:`ResidualGate`, and
    goes on through the remaining widths as an MLP.
    """
    if not isinstance(settings.dropout, list) and settings.kind == "linear":
        return nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(dim, classes))
    layers: list[nn.Module] = []
    for position, (width, dropout) in enumerate(zip(settings.widths, settings.rates(), strict=True)):
        layers += _hidden(dim, width, dropout)
        if settings.kind == "residual-se" and position == 0:
            layers.append(ResidualGate(width, dropout))
        dim = width
    return nn.Sequential(*layers, nn.Linear(dim, classes))


def _hidden(dim: int, width: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(dim, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)]
