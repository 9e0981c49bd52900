"""Supervised contrastive learning on a projection of the embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli import recipe


class ProjectionHead(nn.Sequential):
    """The embedding (B, D) to the vector (B, P) that the contrastive loss compares: one hidden layer of D."""

    def __init__(self, dim: int, projection: int) -> None:
        super().__init__(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, projection))


class ContrastiveLoss(nn.Module):
    """The mean over ``settings.tasks`` of the supervised contrastive loss, times ``settings.weight``.

    Vectors of works with the same label attract each other, all others repel; a work whose label is unknown
    (−1) takes no part in that task, and a batch without any pair adds exactly zero. Source: Khosla et al.,
    "Supervised contrastive learning", NeurIPS 2020, as pytorch-metric-learning computes it.
    """

    def __init__(self, settings: recipe.Contrastive) -> None:
        super().__init__()
        from pytorch_metric_learning.losses import SupConLoss

        self.settings = settings
        self.loss = SupConLoss(temperature=settings.temperature)

    def forward(self, vectors: Float[Tensor, "B P"], labels: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Projections (B, P) and labels {task: (B,)} to one number, in float32."""
        terms = []
        for task in self.settings.tasks:
            known = labels[task] >= 0
            own = labels[task][known]
            if len(own.unique()) == len(own):  # no pair
                terms.append(vectors.sum() * 0.0)
                continue
            terms.append(self.loss(vectors[known].float(), own))
        return self.settings.weight * torch.stack([term.float() for term in terms]).mean()
