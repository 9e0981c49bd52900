"""Several necks with their heads on one backbone, which differ in nothing but chance, and answer together.

Each learns from its own errors; the answer is the mean of their probabilities, which is more often right, and better
calibrated, than any one's (Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty
estimation using deep ensembles", NeurIPS 2017). On a frozen backbone members are cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morelli.network.necks.pooled_necks import MemberNeck, Neck


class Members(Neck):
    """Necks side by side; D is the sum of theirs."""

    def __init__(self, members: int, build: Callable[[], Neck]) -> None:
        super().__init__()
        self.necks: list[MemberNeck] = []
        for _ in range(members):
            neck = build()
            assert isinstance(neck, MemberNeck)  # the recipe refuses members of other kinds
            self.necks.append(neck)
        self.members = nn.ModuleList(self.necks)
        self.dim = sum(neck.dim for neck in self.necks)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D"]:
        unpacked = self.necks[0].unpacked(features)
        return torch.cat([neck.read(features, unpacked) for neck in self.necks], dim=1)


class MembersHead(nn.Module):
    """A head for each member's part of the vector.

    In training the logits are those of each member, one member's batch after the other's (M · B, K); else (B, K), the
    logarithms of the members' mean probabilities.
    """

    def __init__(self, members: int, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(build() for _ in range(members))

    def forward(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "N K"]:
        parts = vectors.chunk(len(self.members), dim=1)
        logits = [head(part) for head, part in zip(self.members, parts, strict=True)]
        if self.training:
            return torch.cat(logits)
        probabilities = torch.stack([each.float().log_softmax(dim=1) for each in logits])
        return probabilities.logsumexp(dim=0) - math.log(len(logits))
