"""The recurrent layers of a neck, with initial weights that keep a long sequence's first tokens alive."""

from __future__ import annotations

from torch import nn

from morelli import recipe
from morelli.network.necks.mingru import MinGRU


def build_recurrence(settings: recipe.Neck, channels: int, bidirectional: bool) -> nn.LSTM | nn.GRU | MinGRU:
    """An LSTM or a minGRU where the neck's kind is that, else a GRU, over tokens of ``channels`` channels."""
    between = settings.dropout if settings.layer_dropout is None else settings.layer_dropout
    if settings.kind == "mingru":
        return MinGRU(channels, settings.width, settings.layers, bidirectional, between)
    kind = nn.LSTM if settings.kind == "lstm" else nn.GRU
    rnn = kind(
        channels,
        settings.width,
        num_layers=settings.layers,
        batch_first=True,
        bidirectional=bidirectional,
        # torch warns about a dropout that has no second layer to act before
        dropout=between if settings.layers > 1 else 0.0,
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
