"""Losses against torch's own, against values worked by hand, and against plain loops."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from morelli.errors import UsageError
from morelli.network.loss import MultiTaskLoss, class_weights, task_loss
from morelli.recipe import Loss, Phase, Recipe

COUNTS = torch.tensor([50, 20, 5, 1])
KINDS = get_args(Loss.model_fields["kind"].annotation)
WEIGHTS = get_args(Loss.model_fields["class_weights"].annotation)
EVERY_LOSS = [
    Loss(kind=kind, smoothing=smoothing, class_weights=weights, gamma=0.5, alpha=0.25, tau=1.5)
    for kind, smoothing, weights in itertools.product(KINDS, [0.0, 0.1], WEIGHTS)
]


def name_of(settings):
    return f"{settings.kind}-{settings.smoothing}-{settings.class_weights}"


def batch(seed=0, size=8):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, 4, generator=generator)
    return logits, torch.randint(0, 4, (size,), generator=generator)


every_loss = pytest.mark.parametrize("settings", EVERY_LOSS, ids=name_of)


@every_loss
def test_unknown_labels_contribute_nothing_to_any_loss(settings):
    logits, labels = batch()
    labels[[1, 4, 5]] = -1
    logits[4] = 1e30  # not even if the work's own scores are absurd
    known = labels >= 0
    expected = task_loss(logits[known], labels[known], settings, COUNTS)
    logits.requires_grad_()
    loss = task_loss(logits, labels, settings, COUNTS)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert logits.grad[~known].abs().max() == 0
    assert (logits.grad[known].abs().sum(1) > 0).all()


@every_loss
def test_a_batch_without_a_known_label_has_a_loss_and_a_gradient_of_zero(settings):
    logits = batch()[0].requires_grad_()
    loss = task_loss(logits, torch.full((8,), -1), settings, COUNTS)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@every_loss
def test_a_loss_of_half_precision_scores_is_computed_in_full(settings):
    logits, labels = batch()
    half = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = task_loss(half, labels, settings, COUNTS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(task_loss(half.float(), labels, settings, COUNTS).item(), rel=1e-6)


@every_loss
def test_a_loss_stays_finite_with_extreme_scores_and_a_class_without_training_works(settings):
    counts = torch.tensor([50, 20, 5, 0])
    logits = torch.tensor([[90.0, -90, 0, 0], [-90, 90, 0, 0], [0, 0, 0, 0]], requires_grad=True)
    loss = task_loss(logits, torch.tensor([0, 0, 3]), settings, counts)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_cross_entropy_is_torchs_weighted_smoothed_mean(weights, smoothing):
    logits, labels = batch(size=32)
    labels[::5] = -1
    expected = F.cross_entropy(
        logits, labels, class_weights(COUNTS, weights), ignore_index=-1, label_smoothing=smoothing
    )
    loss = task_loss(logits, labels, Loss(smoothing=smoothing, class_weights=weights), COUNTS)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_balanced_class_weights_are_scikit_learns():
    labels = np.repeat(np.arange(4), COUNTS.numpy())
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(class_weights(COUNTS, "balanced").numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(class_weights(COUNTS, "sqrt").numpy(), np.sqrt(expected), rtol=1e-6)


def test_a_class_without_training_works_has_weight_zero():
    assert class_weights(torch.tensor([3, 0, 1]), "balanced").tolist() == pytest.approx([4 / 9, 0, 4 / 3])


def test_focal_loss_of_two_works_is_the_value_worked_by_hand():
    # p of the true class is 3/4 and 1/3; γ = 2, α = 1/4
    logits = torch.tensor([[math.log(3), 0.0], [math.log(2), 0.0]])
    expected = 0.25 * (0.25**2 * -math.log(0.75) + (2 / 3) ** 2 * -math.log(1 / 3)) / 2
    loss = task_loss(
        logits, torch.tensor([0, 1]), Loss(kind="focal", gamma=2, alpha=0.25), torch.tensor([1, 1])
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_focal_loss_without_focus_is_cross_entropy():
    logits, labels = batch()
    focal = task_loss(logits, labels, Loss(kind="focal", gamma=0), COUNTS)
    assert focal.item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)


def test_balanced_softmax_is_the_papers_formula():
    logits, labels = batch()
    # Ren et al., equation 3: n_y exp(z_y) / Σ n_k exp(z_k)
    weighted = COUNTS * logits.exp()
    p = weighted[range(8), labels] / weighted.sum(1)
    loss = task_loss(logits, labels, Loss(kind="balanced-softmax"), COUNTS)
    assert loss.item() == pytest.approx(-p.log().mean().item(), rel=1e-5)


def test_logit_adjustment_is_the_papers_formula():
    logits, labels = batch()
    prior = COUNTS / COUNTS.sum()
    # Menon et al., equation 10: −log (π_y^τ exp z_y / Σ π_k^τ exp z_k)
    weighted = prior**1.5 * logits.exp()
    p = weighted[range(8), labels] / weighted.sum(1)
    loss = task_loss(logits, labels, Loss(kind="logit-adjustment", tau=1.5), COUNTS)
    assert loss.item() == pytest.approx(-p.log().mean().item(), rel=1e-5)


@every_loss
def test_mixed_labels_are_mixed_losses_each_over_its_own_known_labels(settings):
    logits, labels = batch()
    labels[[0, 3]] = -1
    permuted = labels.roll(3)
    loss = task_loss(logits, labels, settings, COUNTS, (permuted, 0.3))
    parts = [task_loss(logits[y >= 0], y[y >= 0], settings, COUNTS).item() for y in (labels, permuted)]
    assert loss.item() == pytest.approx(0.3 * parts[0] + 0.7 * parts[1], rel=1e-5)


# all tasks together -----------------------------------------------------------------------------------


def recipe(**changes):
    return Recipe(name="test", phases=[Phase(epochs=1)], tasks=["artist", "style"], **changes)


def both(**changes):
    loss = MultiTaskLoss(["artist", "style"], recipe(**changes), {"artist": COUNTS, "style": [3, 1]})
    logits = {"artist": batch()[0].requires_grad_(), "style": torch.randn(8, 2).requires_grad_()}
    labels = {"artist": batch()[1], "style": torch.tensor([0, 1, -1, 0, 0, 1, -1, 1])}
    return loss, logits, labels


def test_fixed_task_weights_default_to_one():
    loss, logits, labels = both(task_weights={"style": 0.25})
    total, losses = loss(logits, labels)
    assert total.item() == pytest.approx(losses["artist"].item() + 0.25 * losses["style"].item(), rel=1e-6)
    assert losses["artist"].item() == pytest.approx(
        F.cross_entropy(logits["artist"], labels["artist"]).item()
    )


def test_each_task_has_the_loss_its_recipe_names():
    loss, logits, labels = both(losses={"default": Loss(smoothing=0.2), "style": Loss(kind="focal")})
    _, losses = loss(logits, labels)
    artist = task_loss(logits["artist"], labels["artist"], Loss(smoothing=0.2), COUNTS)
    style = task_loss(logits["style"], labels["style"], Loss(kind="focal"), torch.tensor([3, 1]))
    assert [losses["artist"], losses["style"]] == [artist, style]


def test_uncertainty_weights_are_kendalls_formula():
    loss, logits, labels = both(task_weights="uncertainty")
    with torch.no_grad():
        loss.log_variances.copy_(torch.tensor([0.7, -0.4]))
    total, losses = loss(logits, labels)
    expected = math.exp(-0.7) * losses["artist"].item() + 0.35 + math.exp(0.4) * losses["style"].item() - 0.2
    assert total.item() == pytest.approx(expected, rel=1e-6)


def test_learned_uncertainty_settles_where_the_formula_has_its_minimum():
    loss, logits, labels = both(task_weights="uncertainty")
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(200):
        total, losses = loss(logits, labels)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    # d/ds (exp(−s) L + s / 2) = 0 at s = log 2L
    expected = [math.log(2 * losses[task].item()) for task in ("artist", "style")]
    assert loss.log_variances.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_task_without_a_known_label_leaves_total_and_its_uncertainty_alone(mixed):
    loss, logits, labels = both(task_weights="uncertainty")
    with torch.no_grad():
        loss.log_variances.copy_(torch.tensor([0.7, -0.4]))
    labels["style"] = torch.full((8,), -1)
    mix = ({task: y.roll(1) for task, y in labels.items()}, 0.6) if mixed else None
    total, losses = loss(logits, labels, mix)
    total.backward()
    assert losses["style"].item() == 0
    assert total.item() == pytest.approx(math.exp(-0.7) * losses["artist"].item() + 0.35, rel=1e-6)
    assert loss.log_variances.grad[1] == 0 and loss.log_variances.grad[0] != 0
    assert logits["style"].grad.abs().max() == 0


def test_fixed_weights_add_nothing_to_learn_and_nothing_to_save():
    loss = both()[0]
    assert list(loss.parameters()) == [] and loss.state_dict() == {}
    assert isinstance(both(task_weights="uncertainty")[0].log_variances, nn.Parameter)


def test_a_task_without_counts_is_named():
    with pytest.raises(UsageError, match="style"):
        MultiTaskLoss(["artist", "style"], recipe(), {"artist": COUNTS})
