"""The optimizer and the learning-rate schedule of one phase."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from morelli.network.network import Network
from morelli.recipe import Optimizer, Phase, Schedule


def parameter_groups(
    network: Network, loss: nn.Module, phase: Phase, weight_decay: float
) -> list[dict[str, Any]]:
    """Neck, heads and learned task weights at ``phase.lr``; backbone stages at ``backbone_lr`` (a tenth of
    ``lr`` where not given), times ``decay`` for each stage further from the neck, and all further backbones at
    ``backbone_lr``. Biases and norms have no weight decay."""
    groups: list[dict[str, Any]] = []
    rest = [p for n, p in network.named_parameters() if not n.startswith("backbone.")]
    _add(groups, rest, phase.lr, weight_decay)
    _add(groups, list(loss.parameters()), phase.lr, 0.0)
    base = phase.backbone_lr if phase.backbone_lr is not None else phase.lr / 10
    for depth, stage in enumerate(reversed(network.backbone.stages())):
        _add(groups, list(stage.parameters()), base * phase.decay**depth, weight_decay)
    for backbone in network.backbone.each()[1:]:
        _add(groups, list(backbone.parameters()), base, weight_decay)
    return groups


def build_optimizer(groups: list[dict[str, Any]], settings: Optimizer) -> torch.optim.Optimizer:
    if settings.kind == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, nesterov=settings.momentum > 0)
    return torch.optim.AdamW(groups)


def schedule_factor(settings: Schedule, epochs: int, steps_an_epoch: int) -> Callable[[int], float]:
    """The share of the full rate at each optimizer step of a phase, in [floor, 1].

    Warm-up rises linearly from one step's share; then constant, half a cosine to ``floor``, ``gamma`` ** epoch
    (continuous), or one-cycle: up for 30 % of the phase, down by a cosine (Smith 2018). Plateau is the warm-up
    alone: the rest follows the validation. A cosine of a ``length`` of its own falls over so many epochs; with
    ``interval`` epoch each step has the rate of the first step of its epoch.
    """
    total = max(1, (settings.length or epochs) * steps_an_epoch)
    warm = round(settings.warmup * steps_an_epoch)
    if settings.kind == "one-cycle":
        warm = max(warm, round(0.3 * total))

    def factor(step: int) -> float:
        if settings.interval == "epoch":
            step -= step % steps_an_epoch
        if step < warm:
            return max(settings.floor, (step + 1) / (warm + 1))
        progress = (step - warm) / max(1, total - warm)
        if settings.kind in ("cosine", "one-cycle"):
            share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        elif settings.kind == "exponential":
            share = settings.gamma ** ((step - warm) / steps_an_epoch)
        else:
            share = 1.0
        return settings.floor + (1 - settings.floor) * share

    return factor


def _add(
    groups: list[dict[str, Any]], parameters: list[nn.Parameter], lr: float, weight_decay: float
) -> None:
    learning = [p for p in parameters if p.requires_grad]
    for chosen, decay in (
        ([p for p in learning if p.ndim > 1], weight_decay),
        ([p for p in learning if p.ndim <= 1], 0.0),
    ):
        if chosen:
            groups.append({"params": chosen, "lr": lr, "weight_decay": decay})
