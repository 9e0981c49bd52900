"""Necks: the feature map (B, C, h, w) becomes one vector (B, D).

``lstm``, ``gru`` and ``mingru`` read the tokens along a scan, ``convlstm`` row after row, ``rowcol`` all
rows and all columns side by side; ``mean`` and ``attention`` pool without recurrence, ``statistics`` has only
the pooled statistics that any other neck may be fused with, and ``mlp`` one hidden layer. Every other neck normalises
its tokens first, because the scale of features cut from an inner stage is arbitrary; only ``rowcol`` with a
``projection`` leaves that to the projection's batch norm. All have ``dim``, their D.

A new neck is one class and one entry of :data:`NECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli import recipe
from morelli.errors import RecipeError
from morelli.network.backbone.map_statistics import StatisticsLayout
from morelli.network.necks.convlstm import RowConvLSTM
from morelli.network.necks.pooled_necks import FusedNeck, HiddenLayer, Neck
from morelli.network.necks.pooling import AttentionPool, MeanPool
from morelli.network.necks.recurrence import build_recurrence
from morelli.network.necks.rowcol import RowColumnNeck
from morelli.network.necks.scan import rows_as_tokens, scan


class TokenNeck(Neck):
    """A neck that sees tokens in the order of a scan; ``embed`` also takes the first t tokens alone,
    which gives the vector as it would be had the reading stopped there."""

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__()
        self.scan = settings.scan
        self.rows = settings.tokens == "rows"
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(settings.dropout)

    def embed(self, tokens: Float[Tensor, "B T C"]) -> Float[Tensor, "B D"]:
        """Tokens (B, T, C) in reading order, T ≥ 1, to one vector (B, D)."""
        raise NotImplementedError

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        return self.embed(rows_as_tokens(features) if self.rows else scan(features, self.scan))


class RecurrentNeck(TokenNeck):
    """An LSTM, a GRU or a minGRU over the tokens; D = width, or 2 · width when bidirectional.

    ``pool`` last takes the final hidden state of each direction (the backward one has then read the whole
    sequence from its end); mean and attention pool the states of all tokens. ``dropout`` acts between
    layers and on the output.
    """

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__(settings, channels)
        self.rnn = build_recurrence(settings, channels, settings.bidirectional)
        self.dim = settings.width * (2 if settings.bidirectional else 1)
        self.pool: nn.Module | None = None
        if settings.pool != "last":
            self.pool = _state_pool(settings, self.dim)

    def states(self, tokens: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        """The hidden state after each token (forward and backward side by side)."""
        return self.rnn(self.norm(tokens))[0]

    def embed(self, tokens: Float[Tensor, "B T C"]) -> Float[Tensor, "B D"]:
        states = self.states(tokens)
        return self.dropout(self.pool(states) if self.pool else self._last(states))

    def _last(self, states: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        if not self.rnn.bidirectional:
            return states[:, -1]
        forward, backward = states.chunk(2, dim=-1)
        return torch.cat([forward[:, -1], backward[:, 0]], dim=-1)


class RowConvLSTMNeck(Neck):
    """A convolutional LSTM from the top row to the bottom one (see :class:`RowConvLSTM`); D = width, or 2 · width
    when bidirectional, for a second one reads from the bottom up.

    ``pool`` last takes the mean over the last row's states of each direction; mean and attention pool the
    states of all cells.
    """

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.down = RowConvLSTM(channels, settings.width)
        self.up = RowConvLSTM(channels, settings.width) if settings.bidirectional else None
        self.dim = settings.width * (2 if settings.bidirectional else 1)
        self.pool: nn.Module | None = None
        if settings.pool != "last":
            self.pool = _state_pool(settings, self.dim)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        cells = self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        states = [self.down(cells)]
        if self.up is not None:
            states.append(self.up(cells.flip(2)).flip(2))
        if self.pool is None:
            ends = [state[:, :, -1 if number == 0 else 0] for number, state in enumerate(states)]
            return self.dropout(torch.cat(ends, dim=1).mean(dim=-1))
        return self.dropout(self.pool(torch.cat(states, dim=1).flatten(2).transpose(1, 2)))


class PoolNeck(TokenNeck):
    """No recurrence: the mean of the tokens, or their attention-weighted mean; D = C."""

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__(settings, channels)
        self.dim = channels
        attends = settings.kind == "attention"
        self.pool = AttentionPool(channels, settings.attention_hidden) if attends else MeanPool()

    def embed(self, tokens: Float[Tensor, "B T C"]) -> Float[Tensor, "B D"]:
        return self.dropout(self.pool(self.norm(tokens)))


NECKS: dict[str, Callable[[recipe.Neck, int], Neck]] = {
    "lstm": RecurrentNeck,
    "gru": RecurrentNeck,
    "mingru": RecurrentNeck,
    "convlstm": RowConvLSTMNeck,
    "rowcol": RowColumnNeck,
    "mean": PoolNeck,
    "attention": PoolNeck,
    "statistics": lambda settings, channels: FusedNeck(settings, channels, None),
    "mlp": HiddenLayer,
}


def build_neck(
    settings: recipe.Neck,
    channels: int,
    grid: tuple[int, int],
    layout: Sequence[StatisticsLayout] | None = None,
) -> Neck:
    """The neck that ``settings`` describes, for feature maps of ``channels`` channels and ``grid`` (h, w) cells, or for
    readouts of the given ``layout``.

    Raises :class:`RecipeError` where rows are to be tokens of a neck that does not read tokens in order, where a neck
    that reads a map is given a readout, and where one that reads a vector is given a map.
    """
    if layout and settings.kind != "statistics":
        raise RecipeError(
            f"neck.kind: {settings.kind} reads a map, but features.readout is statistics; set neck.kind=statistics, "
            "neck.kind=mlp with features.components, or features.readout=map"
        )
    if layout:
        return FusedNeck(settings, channels, None, layout)
    if settings.tokens == "rows" and NECKS[settings.kind] is not RecurrentNeck:
        raise RecipeError(
            f"neck.tokens: rows is for lstm, gru and mingru, not for {settings.kind}; leave it out"
        )
    if settings.kind == "mlp" and grid != (1, 1):
        raise RecipeError(
            f"neck.kind: mlp reads one vector, and the backbone gives a map of {grid[0]} × {grid[1]} cells; set "
            "features.readout=statistics with features.components, or backbone.grid=1"
        )
    neck = NECKS[settings.kind](settings, channels * (grid[1] if settings.tokens == "rows" else 1))
    if settings.statistics and not isinstance(neck, FusedNeck):
        return FusedNeck(settings, channels, neck)
    return neck


def _state_pool(settings: recipe.Neck, dim: int) -> nn.Module:
    return AttentionPool(dim, settings.attention_hidden) if settings.pool == "attention" else MeanPool()
