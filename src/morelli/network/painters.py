"""Answers through the painter: who may have painted this, and what each of them painted in training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

PAINTER = "painter"  # what is learned beside the tasks; its classes are artists, of whom few may be classes of a task
_LEAST = 1e-6  # of a probability whose logarithm is taken


class ThroughPainters(nn.Module):
    """Adds to one task's scores (B, K) ``weight`` times the logarithm of what the painters say.

    What the painters say is the mean of ``habits`` (P, K), each painter's share of each class, by the probabilities of
    the painters (B, P) raised to the power of ``sharpness``. All are set once training is over
    (:func:`morelli.judgement.painters.fit_painters`); until then ``weight`` is 0 and nothing is added.
    """

    habits: Tensor
    weight: Tensor
    sharpness: Tensor

    def __init__(self, painters: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("habits", torch.full((painters, classes), 1 / classes))
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("sharpness", torch.ones(()))

    def forward(self, scores: Float[Tensor, "B K"], painters: Float[Tensor, "B P"]) -> Float[Tensor, "B K"]:
        if not self.weight:
            return scores
        said = (painters.float() * self.sharpness).softmax(dim=1) @ self.habits
        return scores.float().log_softmax(dim=1) + self.weight * (said + _LEAST).log()
