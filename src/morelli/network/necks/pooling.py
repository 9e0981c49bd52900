"""Pooling: a sequence of states (B, T, C) becomes one vector (B, C)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class MeanPool(nn.Module):
    """The average over all states."""

    def forward(self, states: Float[Tensor, "B T C"]) -> Float[Tensor, "B C"]:
        return states.mean(dim=1)


class AttentionPool(nn.Module):
    """A weighted average whose weights are learned: softmax over t of vᵀ tanh(W · state_t).

    Source: Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning", ICML 2018.
    The last layer has no bias, for the softmax would cancel it. With ``hidden`` 0 it scores the states themselves:
    vᵀ state_t.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.project = nn.Linear(channels, hidden) if hidden else None
        self.score = nn.Linear(hidden or channels, 1, bias=False)

    def weights(self, states: Float[Tensor, "B T C"]) -> Float[Tensor, "B T"]:
        """How much each state counts: not negative, and sums to one over T (float32)."""
        hidden = states if self.project is None else self.project(states).tanh()
        return self.score(hidden).squeeze(-1).float().softmax(dim=1)

    def forward(self, states: Float[Tensor, "B T C"]) -> Float[Tensor, "B C"]:
        weights = self.weights(states).unsqueeze(-1)
        return (weights * states).sum(dim=1).to(states.dtype)
