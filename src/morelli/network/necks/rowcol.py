"""Recurrence along the rows and along the columns of a feature map, side by side."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from morelli import recipe
from morelli.network.necks.pooled_necks import Neck
from morelli.network.necks.pooling import AttentionPool
from morelli.network.necks.recurrence import build_recurrence


class Projection(nn.Module):
    """A 1 × 1 convolution of a map (B, C, h, w) to ``reduced`` channels, batch norm and ReLU.

    A batch of one map of one cell has no variance: in training it is normalised by the running statistics, and
    leaves them as they are.
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, reduced, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(reduced)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B R h w"]:
        mixed, norm = self.mix(features), self.norm
        if mixed[:, 0].numel() > 1:
            return norm(mixed).relu()
        known = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return functional.batch_norm(mixed, *known, eps=norm.eps).relu()


class RowColumnNeck(Neck):
    """A bidirectional GRU along every row and another along every column; D = 2 · width.

    The states of each are pooled by attention, and both are fused with the mean of the tokens, so that the
    neck starts from no less than plain pooling. The design follows ReNet's sweeps in both axes (Visin et al.,
    "ReNet: a recurrent neural network based alternative to convolutional networks", 2015), side by side
    rather than stacked.

    With a ``projection`` the GRUs read a :class:`Projection` of the map, and the mean is of the map as it is. With
    ``line_mean`` attention weighs each line's mean state. With ``fuse`` concat nothing is mixed: D = 4 · width + C.
    """

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__()
        states = 2 * settings.width
        reduced = settings.projection
        self.norm = nn.Identity() if reduced else nn.LayerNorm(channels)
        self.projection = Projection(channels, reduced) if reduced else None
        self.rows = build_recurrence(settings, reduced or channels, bidirectional=True)
        self.columns = build_recurrence(settings, reduced or channels, bidirectional=True)
        self.row_pool = AttentionPool(states, settings.attention_hidden)
        self.column_pool = AttentionPool(states, settings.attention_hidden)
        self.line_mean = settings.line_mean
        self.dim = 2 * states + channels
        self.fuse: nn.Module = nn.Identity()
        if settings.fuse == "linear":
            self.fuse = nn.Sequential(nn.Linear(self.dim, states), nn.LayerNorm(states), nn.GELU())
            self.dim = states
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        cells = self.norm(features.permute(0, 2, 3, 1))
        tokens = cells if self.projection is None else self.projection(features).permute(0, 2, 3, 1)
        parts = [
            self.row_pool(self._states(self.rows, tokens)),
            self.column_pool(self._states(self.columns, tokens.transpose(1, 2))),
            cells.mean(dim=(1, 2)),
        ]
        return self.dropout(self.fuse(torch.cat(parts, dim=-1)))

    def _states(self, rnn: nn.Module, lines: Float[Tensor, "B N T C"]) -> Float[Tensor, "B S D"]:
        """What attention weighs: the state at each of the N · T cells, or the mean of each of the N lines."""
        states = rnn(lines.flatten(0, 1))[0].unflatten(0, lines.shape[:2])
        return states.mean(dim=2) if self.line_mean else states.flatten(1, 2)
