"""Losses of one task and of all tasks together; an unknown label (−1) contributes nothing to any of them.

Everything is computed in float32, whatever autocast does around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from morelli.errors import UsageError
from morelli.network.contrastive import ContrastiveLoss
from morelli.recipe import Loss, Recipe


def task_loss(
    logits: Float[Tensor, "B K"],
    labels: Int[Tensor, " B"],
    settings: Loss,
    counts: Num[Tensor, " K"],
    mix: tuple[Tensor, float] | None = None,
) -> Float[Tensor, ""]:
    """The mean loss over the works whose label is known; exactly zero, with zero gradient, if none is.

    ``labels`` (B,) are in 0…K−1, or −1 for unknown; ``counts`` (K,) are the training split's works a class,
    on the device of the logits. Kinds:

    - cross-entropy, as torch computes it, weighted mean and label smoothing included;
    - focal: α (1 − p)^γ · −log p (Lin et al., "Focal loss for dense object detection", 2017);
    - balanced-softmax: cross entropy of logits + log counts (Ren et al., "Balanced meta-softmax for
      long-tailed visual recognition", 2020);
    - logit-adjustment: cross entropy of logits + τ · log prior (Menon et al., "Long-tail learning via logit
      adjustment", 2021).

    The last two take a class without training works as one of a single work, so that the loss of a
    validation work stays finite. Class weights are n / (K · n_k), or the square root of that, and 0 where
    n_k is 0; the mean divides by the sum of the weights of the labels present.

    ``mix`` is for mixup and cutmix: (permuted labels (B,), λ) gives λ · loss(labels) + (1 − λ) ·
    loss(permuted labels), each over its own known labels.
    """
    loss = _known_mean(logits.float(), labels, settings, counts.float())
    if mix is None:
        return loss
    permuted, share = mix
    other = _known_mean(logits.float(), permuted, settings, counts.float())
    return share * loss + (1 - share) * other


def class_weights(counts: Num[Tensor, " K"], kind: str) -> Float[Tensor, " K"]:
    """Weight of each class: 1, n / (K · n_k) ("balanced"), or its square root ("sqrt"); 0 where n_k is 0."""
    counts = counts.float()
    if kind == "none":
        return torch.ones_like(counts)
    balanced = counts.sum() / (len(counts) * counts.clamp(min=1))
    balanced = torch.where(counts > 0, balanced, 0.0)
    return balanced.sqrt() if kind == "sqrt" else balanced


def _known_mean(logits: Tensor, labels: Tensor, settings: Loss, counts: Tensor) -> Tensor:
    known = labels >= 0
    labels = labels.long().clamp(min=0)
    weights = class_weights(counts, settings.class_weights)
    losses = _each(_adjusted(logits, settings, counts), labels, weights, settings)
    # where, not a product: an unknown work's overflowing logits must not turn the sum into NaN
    total = torch.where(known, losses, 0.0).sum()
    mass = torch.where(known, weights[labels], 0.0).sum()
    return total / torch.where(mass > 0, mass, 1.0)


def _adjusted(logits: Tensor, settings: Loss, counts: Tensor) -> Tensor:
    counts = counts.clamp(min=1)
    if settings.kind == "balanced-softmax":
        return logits + counts.log()
    if settings.kind == "logit-adjustment":
        return logits + settings.tau * (counts / counts.sum()).log()
    return logits


def _each(logits: Tensor, labels: Tensor, weights: Tensor, settings: Loss) -> Tensor:
    """Each work's loss (B,): Σ_k target_k · weight_k · −log p_k, times (1 − p_k)^γ if focal."""
    log_p = logits.log_softmax(dim=-1)
    costs = -log_p * weights
    if settings.kind == "focal":
        # the slope of (1 − p)^γ at p = 1 is infinite for γ < 1
        costs = costs * (1 - log_p.exp()).clamp(min=1e-6) ** settings.gamma
        costs = costs * (1.0 if settings.alpha is None else settings.alpha)
    own = costs.gather(1, labels[:, None]).squeeze(1)
    if not settings.smoothing:
        return own
    return (1 - settings.smoothing) * own + settings.smoothing * costs.mean(dim=1)


class MultiTaskLoss(nn.Module):
    """All tasks' losses as one: a weighted sum with fixed weights, or with weights that are learned.

    ``recipe.task_weights`` of {task: weight} fixes them (1 where a task is not named). ``uncertainty``
    learns s = log σ² of each task and sums exp(−s) · loss + s / 2, the form for classification of Kendall,
    Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018. A task without any
    known label in the batch adds neither term, and its s has zero gradient.

    With ``recipe.contrastive`` a :class:`ContrastiveLoss` is added, except for mixed batches, which have no
    labels of their own. ``counts`` is {task: works a class (K,) of the training split}. Raises
    :class:`UsageError` if a task has
    no counts.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        recipe: Recipe,
        counts: Mapping[str, Tensor | np.ndarray | Sequence[float]],
    ) -> None:
        super().__init__()
        missing = [task for task in tasks if task not in counts]
        if missing:
            raise UsageError(
                f"counts: no class counts for {missing[0]}; give the training split's for each task"
            )
        self.tasks = list(tasks)
        self.settings = {task: recipe.loss(task) for task in tasks}
        self.log_variances: nn.Parameter | None = None
        self.weights = dict.fromkeys(tasks, 1.0)
        if isinstance(recipe.task_weights, dict):
            self.weights |= {task: w for task, w in recipe.task_weights.items() if task in self.weights}
        else:
            self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))
        self.contrastive = ContrastiveLoss(recipe.contrastive) if recipe.contrastive else None
        for task in tasks:
            # not saved: they describe the training split, not the network
            self.register_buffer(f"counts_{task}", torch.as_tensor(counts[task]).float(), persistent=False)

    def forward(
        self,
        logits: dict[str, Tensor],
        labels: dict[str, Tensor],
        mix: tuple[dict[str, Tensor], float] | None = None,
        projected: Float[Tensor, "B P"] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Logits {task: (B, K)} and labels {task: (B,)} to the total and each task's own, unweighted loss.

        ``mix`` is ({task: permuted labels (B,)}, λ), see :func:`task_loss`; ``projected`` (P, …) is what the
        contrastive loss compares, by the first P labels (with several members the others repeat them).
        """
        losses, terms = {}, []
        for position, task in enumerate(self.tasks):
            pair = (mix[0][task], mix[1]) if mix else None
            counts = self.get_buffer(f"counts_{task}")
            losses[task] = task_loss(logits[task], labels[task], self.settings[task], counts, pair)
            if self.log_variances is None:
                terms.append(self.weights[task] * losses[task])
                continue
            s = self.log_variances[position]
            known = (labels[task] >= 0).any() | (pair[0] >= 0).any() if pair else (labels[task] >= 0).any()
            terms.append(torch.where(known, (-s).exp() * losses[task] + s / 2, 0.0))
        if self.contrastive is not None and projected is not None:
            # a mixed batch too must use the projection, for processes that wait for its gradient
            own = {task: given[: len(projected)] for task, given in labels.items()}
            terms.append(projected.sum() * 0.0 if mix else self.contrastive(projected, own))
        return torch.stack(terms).sum(), losses
