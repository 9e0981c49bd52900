"""An artist prior: what the likely artists of a work painted in training makes some classes of it likelier.

An extra head predicts the artist. Its probabilities are combined with each artist's share of classes in training, and
added to a task's scores with a weight that is fitted on validation.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

# the extra head; its classes are the artists of enough training works, of whom few may be classes of the task artist
PRIOR_ARTIST = "prior_artist"
_MIN_PROBABILITY = 1e-6  # added before the logarithm


class ArtistPrior(nn.Module):
    """Adds to one task's scores (B, K) ``weight`` times the logarithm of P(class | picture's likely artists).

    That is the mean of ``class_given_artist`` (A, K), each artist's share of each class, under the softmax of
    ``sharpness`` times the artist scores (B, A). All three are set when training is over
    (:func:`morelli.evaluation.calibration.artist_prior.fit_artist_prior`); until then ``weight`` is 0, and scores pass
    unchanged.
    """

    class_given_artist: Tensor
    weight: Tensor
    sharpness: Tensor

    def __init__(self, artists: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("class_given_artist", torch.full((artists, classes), 1 / classes))
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("sharpness", torch.ones(()))

    def forward(
        self, scores: Float[Tensor, "B K"], artist_scores: Float[Tensor, "B A"]
    ) -> Float[Tensor, "B K"]:
        if not self.weight:
            return scores
        artists = (artist_scores.float() * self.sharpness).softmax(dim=1)
        prior = artists @ self.class_given_artist
        return scores.float().log_softmax(dim=1) + self.weight * (prior + _MIN_PROBABILITY).log()
