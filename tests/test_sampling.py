"""Sampling, augmentation and schedules, against distributions and hand-worked values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PIL
from torch.optim.lr_scheduler import CosineAnnealingLR

from morelli.recipe import Augment, Image, Optimizer, Phase, Recipe, Schedule
from morelli.training.augment import TrainingView, mix
from morelli.training.optimisation import build_optimizer, parameter_groups, schedule_factor
from morelli.training.samplers import EpochBatches, balancing_weights

LABELS = np.repeat([0, 1, 2, -1], [800, 150, 40, 10])


def drawn(sampler: EpochBatches) -> np.ndarray:
    return np.array([place for batch in sampler for _, place in batch])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_classes_are_drawn_in_proportion_to_count_to_the_power(power: float) -> None:
    weights = balancing_weights([LABELS], power)
    sampler = EpochBatches(1000, 64, 0, weights)
    counts = np.zeros(3)
    for epoch in range(60):
        sampler.set_epoch(epoch)
        labels = LABELS[drawn(sampler)]
        counts += np.bincount(labels[labels >= 0], minlength=3)
    wanted = np.array([800, 150, 40]) ** (1 - power)
    assert np.allclose(counts / counts.sum(), wanted / wanted.sum(), atol=0.01)


def test_works_of_unknown_class_are_neither_favoured_nor_lost() -> None:
    weights = balancing_weights([LABELS], 1.0)
    assert weights[LABELS == -1] == pytest.approx(weights[LABELS >= 0].mean())
    assert balancing_weights([np.full(5, -1)], 1.0) == pytest.approx(np.ones(5))


def test_several_tasks_are_balanced_by_the_mean_of_their_weights() -> None:
    other = np.random.default_rng(0).integers(0, 4, 1000)
    both = balancing_weights([LABELS, other], 1.0)
    parts = [balancing_weights([column], 1.0) for column in (LABELS, other)]
    assert both == pytest.approx((parts[0] + parts[1]) / 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_processes_share_one_epoch_between_them(weighted: bool) -> None:
    weights = balancing_weights([LABELS], 1.0) if weighted else None
    alone = drawn(EpochBatches(1000, 16, 3, weights, (0, 1)))
    shares = [drawn(EpochBatches(1000, 16, 3, weights, (rank, 3))) for rank in range(3)]
    assert {len(share) for share in shares} == {334}
    together = np.stack(shares, axis=1).ravel()  # rank 0, 1, 2, 0, 1, 2 …
    assert (together[:1000] == alone).all()


def test_an_epoch_shows_each_work_once_and_differs_from_the_next() -> None:
    sampler = EpochBatches(50, 7, 1)
    first = drawn(sampler)
    assert sorted(first) == list(range(50)) and len(sampler) == 8
    assert (drawn(sampler) == first).all()
    sampler.set_epoch(1)
    assert (drawn(sampler) != first).any()


def test_skipping_leaves_out_the_first_batches_once() -> None:
    sampler = EpochBatches(50, 7, 1)
    whole = drawn(sampler)
    sampler.skip = 3
    assert (drawn(sampler) == whole[21:]).all() and (drawn(sampler) == whole).all()


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing_keeps_the_share_it_names(kind: str) -> None:
    inputs = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 8, 10)
    labels = torch.arange(6).view(6, 1)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        mixed, permuted, share = mix(inputs, labels, Augment(**{kind: 1.0}), rng)
        wanted = share * labels.view(-1) + (1 - share) * permuted.view(-1)
        assert mixed.mean(dim=(1, 2, 3)) == pytest.approx(wanted.float(), abs=1e-5)
        assert 0 <= share <= 1 and sorted(permuted.view(-1).tolist()) == list(range(6))


def test_nothing_is_mixed_unasked_or_in_a_batch_of_one() -> None:
    inputs, labels = torch.ones(4, 3, 2, 2), torch.zeros(4, 1)
    assert mix(inputs, labels, Augment(), np.random.default_rng(0))[2] == 1.0
    assert mix(inputs[:1], labels[:1], Augment(mixup=1), np.random.default_rng(0))[2] == 1.0


def test_augmented_views_have_the_size_and_kind_of_plain_ones() -> None:
    settings = Augment(flip=True, crop=0.4, colour=0.4, rotation=20, erasing=1.0)
    picture = PIL.fromarray(np.random.default_rng(0).integers(0, 255, (40, 70, 3), dtype=np.uint8))
    torch.manual_seed(0)
    view = TrainingView(settings, Image(size=32))(picture)
    assert view.shape == (3, 32, 32) and view.dtype == torch.uint8
    assert (view == 116).flatten(1).all(0).any()  # the erased part


def test_a_flip_mirrors_half_of_the_views() -> None:
    picture = PIL.new("RGB", (32, 32))
    picture.paste((255, 0, 0), (0, 0, 16, 32))
    view = TrainingView(Augment(flip=True), Image(size=32))
    torch.manual_seed(0)
    left = sum(bool(view(picture)[0, 0, 0] == 255) for _ in range(400))
    assert 160 < left < 240


def test_cosine_is_that_of_torch() -> None:
    factor = schedule_factor(Schedule(kind="cosine", floor=0.1), epochs=5, steps_an_epoch=4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = CosineAnnealingLR(optimizer, T_max=20, eta_min=0.1)
    for step in range(21):
        assert factor(step) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_schedules_have_their_hand_worked_values() -> None:
    warm = schedule_factor(Schedule(kind="constant", warmup=1), epochs=3, steps_an_epoch=4)
    assert [warm(s) for s in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    decay = schedule_factor(Schedule(kind="exponential", gamma=0.5), epochs=3, steps_an_epoch=2)
    assert [decay(s) for s in (0, 2, 4)] == pytest.approx([1, 0.5, 0.25])
    cycle = schedule_factor(Schedule(kind="one-cycle"), epochs=10, steps_an_epoch=1)
    values = [cycle(s) for s in range(11)]
    assert int(np.argmax(values)) == 3 and values[10] == pytest.approx(0, abs=1e-9) and values[0] == 0.25


def recipe(**changes: object) -> Recipe:
    tree = {"name": "x", "image": {"size": 32}, "phases": [{"epochs": 1}]} | changes
    tree["backbone"] = {"name": "resnet18", "stage": 2, "weights": "none"}
    return Recipe.model_validate(tree)


def test_stages_further_from_the_neck_learn_more_slowly() -> None:
    from morelli.network.network import Network

    network = Network(recipe(), {t: ["a", "b"] for t in ("artist", "style", "genre")})
    network.backbone.set_trainable(2)
    phase = Phase(epochs=1, train=2, lr=1e-2, backbone_lr=1e-3, decay=0.5)
    loss = torch.nn.Linear(1, 1)
    groups = parameter_groups(network, loss, phase, 0.1)
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    stages = network.backbone.stages()
    last = next(p for p in stages[-1].parameters() if p.ndim > 1)
    before = next(p for p in stages[-2].parameters() if p.ndim > 1)
    assert rates[id(last)] == (1e-3, 0.1) and rates[id(before)] == (5e-4, 0.1)
    assert not any(id(p) in rates for p in stages[0].parameters())
    bias = next(p for n, p in network.neck.named_parameters() if p.ndim == 1)
    assert rates[id(bias)] == (1e-2, 0.0)
    assert all(rates[id(p)][1] == 0.0 for p in loss.parameters())
    learning = sum(p.requires_grad for p in [*network.parameters(), *loss.parameters()])
    assert len(rates) == learning == sum(len(g["params"]) for g in groups)


def test_both_optimizers_take_the_groups() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.1, "weight_decay": 0.0}]
    assert isinstance(build_optimizer(groups, Optimizer(kind="sgd")), torch.optim.SGD)
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.1, "weight_decay": 0.0}]
    assert isinstance(build_optimizer(groups, Optimizer()), torch.optim.AdamW)
