"""A GRU whose gates look at the token alone, so that all its steps can be computed side by side.

Its state is h(t) = (1 − z(t)) · h(t − 1) + z(t) · c(t), where the gate z, a sigmoid, and the candidate c see token t
alone (Feng et al., "Were RNNs All We Needed?", 2024). Such a recurrence is associative: prefixes of doubled length are
put together in log2 T rounds instead of T steps (Hillis and Steele, "Data parallel algorithms", CACM 1986).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

_MAX_MEMORY = 64  # tokens after which the slowest gates have forgotten, before training


class MinGRU(nn.Module):
    """Called as ``torch.nn.GRU`` with ``batch_first`` is: (B, T, C) to the last layer's states (B, T, D), and None.
    D = width, or 2 · width when ``bidirectional``, the forward states first. ``dropout`` acts between layers.

    Gates open so that states forget after 1 to 64 tokens (chrono initialisation: Tallec and Ollivier, ICLR 2018).
    """

    def __init__(
        self, channels: int, width: int, layers: int = 1, bidirectional: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.bidirectional = bidirectional
        ways = 2 if bidirectional else 1
        sizes = [channels] + [ways * width] * (layers - 1)
        layers_in_order = [nn.Linear(size, 2 * ways * width) for size in sizes]
        for layer in layers_in_order:
            nn.init.uniform_(layer.bias.data[: ways * width], 1, _MAX_MEMORY).log_().neg_()
        self.layers, self.dropout = nn.ModuleList(layers_in_order), nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "B T C"]) -> tuple[Float[Tensor, "B T D"], None]:
        for number, layer in enumerate(self.layers):
            if number:
                tokens = self.dropout(tokens)
            gates, candidates = layer(tokens).chunk(2, dim=-1)
            gates = gates.float().sigmoid()
            tokens = self._states(1 - gates, gates * candidates)
        return tokens, None

    def _states(self, kept: Tensor, new: Tensor) -> Tensor:
        if not self.bidirectional:
            return linear_recurrence(kept, new)
        (kept, kept_back), (new, new_back) = kept.chunk(2, dim=-1), new.chunk(2, dim=-1)
        back = linear_recurrence(kept_back.flip(1), new_back.flip(1)).flip(1)
        return torch.cat([linear_recurrence(kept, new), back], dim=-1)


def linear_recurrence(kept: Float[Tensor, "B T D"], new: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """h(t) = kept(t) · h(t − 1) + new(t) for all t, from h = 0 on, in ⌈log2 T⌉ rounds; stable for ``kept`` in 0–1."""
    for doubling in range(math.ceil(math.log2(new.shape[1]))):
        step = 2**doubling
        new = torch.cat([new[:, :step], new[:, step:] + kept[:, step:] * new[:, :-step]], dim=1)
        kept = torch.cat([kept[:, :step], kept[:, step:] * kept[:, :-step]], dim=1)
    return new
