"""Necks: the feature map (B, C, h, w) becomes one vector (B, D).

``lstm``, ``gru`` and ``mingru`` read the tokens along a scan, ``convlstm`` row after row, ``rowcol`` all
rows and all columns side by side; ``mean`` and ``attention`` pool without recurrence, ``statistics`` has only
the pooled statistics that any other neck may be fused with, and ``mlp`` one hidden layer. Every other neck normalises
its tokens first, because the scale of features cut from an inner stage is arbitrary. All have ``dim``, their D.

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
from morelli.network.necks.mingru import MinGRU
from morelli.network.necks.pooled_necks import FusedNeck, HiddenLayer, Neck
from morelli.network.necks.pooling import AttentionPool, MeanPool
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
        self.rnn = _recurrent(settings, channels, settings.bidirectional)
        self.dim = settings.width * (2 if settings.bidirectional else 1)
        self.pool: nn.Module | None = None
        if settings.pool != "last":
            self.pool = AttentionPool(self.dim) if settings.pool == "attention" else MeanPool()

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


class RowColumnNeck(Neck):
    """A bidirectional GRU along every row and another along every column; D = 2 · width.

    The states of each are pooled by attention, and both are fused with the mean of the tokens, so that the
    neck starts from what plain pooling knows. The design follows ReNet's sweeps in both axes (Visin et al.,
    "ReNet: a recurrent neural network based alternative to convolutional networks", 2015), side by side
    rather than stacked.
    """

    def __init__(self, settings: recipe.Neck, channels: int) -> None:
        super().__init__()
        self.dim = 2 * settings.width
        self.norm = nn.LayerNorm(channels)
        self.rows = _recurrent(settings, channels, bidirectional=True)
        self.columns = _recurrent(settings, channels, bidirectional=True)
        self.row_pool = AttentionPool(self.dim)
        self.column_pool = AttentionPool(self.dim)
        self.fuse = nn.Sequential(
            nn.Linear(2 * self.dim + channels, self.dim), nn.LayerNorm(self.dim), nn.GELU()
        )
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        batch, _, height, width = features.shape
        cells = self.norm(features.permute(0, 2, 3, 1))
        rows = self.rows(cells.flatten(0, 1))[0]
        columns = self.columns(cells.transpose(1, 2).flatten(0, 1))[0]
        parts = [
            self.row_pool(rows.reshape(batch, height * width, self.dim)),
            self.column_pool(columns.reshape(batch, height * width, self.dim)),
            cells.mean(dim=(1, 2)),
        ]
        return self.dropout(self.fuse(torch.cat(parts, dim=-1)))


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
            self.pool = AttentionPool(self.dim) if settings.pool == "attention" else MeanPool()
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
        self.pool = AttentionPool(channels) if settings.kind == "attention" else MeanPool()

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


def _recurrent(settings: recipe.Neck, channels: int, bidirectional: bool) -> nn.LSTM | nn.GRU | MinGRU:
    if settings.kind == "mingru":
        return MinGRU(channels, settings.width, settings.layers, bidirectional, settings.dropout)
    kind = nn.LSTM if settings.kind == "lstm" else nn.GRU
    rnn = kind(
        channels,
        settings.width,
        num_layers=settings.layers,
        batch_first=True,
        bidirectional=bidirectional,
        # torch warns about a dropout that has no second layer to act before
        dropout=settings.dropout if settings.layers > 1 else 0.0,
    )
    _initialise(rnn)
    return rnn


def _initialise(rnn: nn.LSTM | nn.GRU) -> None:
    """Orthogonal recurrences (Saxe et al., 2014), and an LSTM's forget gate open at first (bias 1;
    Jozefowicz et al., 2015): both keep a long scan's first tokens alive in its last state."""
    width = rnn.hidden_size
    for name, parameter in rnn.named_parameters():
        if name.startswith("weight_hh"):
            for gate in parameter.data.split(width):
                nn.init.orthogonal_(gate)
        elif name.startswith("bias") and isinstance(rnn, nn.LSTM):
            parameter.data[width : 2 * width] = 1.0 if name.startswith("bias_ih") else 0.0
