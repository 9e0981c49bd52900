"""What may stand beside the tasks' losses: contrastive learning, mixed statistics, heads of another run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import painted_collection, recipe_file

from morelli.collection.collection import Collection
from morelli.errors import RecipeError
from morelli.jobs.runner import read_rows
from morelli.jobs.train import train
from morelli.network.contrastive import ContrastiveLoss
from morelli.prediction.model import load_model
from morelli.recipe import Augment, Contrastive, load
from morelli.training.augment import mixstyle


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_collection(tmp_path_factory.mktemp("data"))


def metrics(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def by_the_paper(vectors: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Equation 2 of Khosla et al., works without a partner left out of the mean."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T / temperature
    losses = []
    for i in range(len(unit)):
        others = [j for j in range(len(unit)) if j != i]
        partners = [j for j in others if labels[j] == labels[i]]
        if partners:
            total = np.log(np.exp(scores[i, others]).sum())
            losses.append(-np.mean([scores[i, p] - total for p in partners]))
    return float(np.mean(losses))


def test_the_contrastive_loss_is_the_papers_over_the_known_labels_of_each_task() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(12, 5))
    style = np.array([0, 0, 0, 1, 1, 2, -1, -1, 2, 1, 0, -1])
    genre = np.array([0, 1] * 6)
    loss = ContrastiveLoss(Contrastive(weight=0.5, tasks=["style", "genre"], temperature=0.2))
    labels = {"style": torch.tensor(style), "genre": torch.tensor(genre)}
    known = style >= 0
    wanted = [by_the_paper(vectors[known], style[known], 0.2), by_the_paper(vectors, genre, 0.2)]
    assert loss(torch.tensor(vectors), labels).item() == pytest.approx(0.5 * np.mean(wanted), rel=1e-5)


def test_a_batch_without_two_works_of_a_class_gives_nothing_to_contrast() -> None:
    vectors = torch.randn(4, 3, requires_grad=True)
    loss = ContrastiveLoss(Contrastive(tasks=["style"]))(vectors, {"style": torch.tensor([0, 1, -1, -1])})
    loss.backward()
    assert loss.item() == 0 and vectors.grad is not None and vectors.grad.abs().sum() == 0


@pytest.mark.slow
def test_contrastive_learning_draws_works_of_a_class_together(data: Path, tmp_path: Path) -> None:
    collection = Collection.open(data)
    rows = collection.rows("train")

    def contrast(run: Path) -> float:
        network = load_model(run).network
        embedding = read_rows(load_model(run), collection, rows, "").embedding
        assert network.projection is not None
        vectors = network.projection(torch.tensor(embedding)).detach().numpy()
        return by_the_paper(vectors.astype(np.float64), collection.labels("style")[rows], 0.1)

    recipe = recipe_file(tmp_path, tasks=["style"], phases=[{"epochs": 12, "lr": 3e-3}])
    for name, weight in (("without", 1e-9), ("with", 2.0)):
        changes = [f"contrastive={{tasks: [style], weight: {weight}}}", "neck.dropout=0"]
        train(recipe, data, tmp_path / name, changes)
    assert contrast(tmp_path / "with") < contrast(tmp_path / "without") - 0.5


def test_a_contrastive_task_that_is_not_learned_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"contrastive\.tasks names genre, which is not among the tasks"):
        load(recipe_file(tmp_path, tasks=["style"]), ["contrastive.tasks=[genre]"])


def test_mixstyle_exchanges_statistics_and_keeps_what_is_drawn() -> None:
    maps = torch.randn(6, 3, 5, 4) * torch.rand(6, 3, 1, 1) * 4 + torch.randn(6, 3, 1, 1) * 3
    mixed = mixstyle(maps, Augment(mixstyle=1.0, mixstyle_alpha=0.3), np.random.default_rng(1))

    def parts(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean = values.mean(dim=(2, 3), keepdim=True)
        spread = values.std(dim=(2, 3), keepdim=True, unbiased=False)
        return mean, spread, (values - mean) / spread

    (mean, spread, drawn), (new_mean, new_spread, new_drawn) = parts(maps), parts(mixed)
    torch.testing.assert_close(new_drawn, drawn, rtol=1e-3, atol=1e-3)
    moved = (new_mean - mean).abs().sum(dim=(1, 2, 3)) > 1e-3
    assert moved.sum() >= 3
    # each work's new mean lies on the line between its own and one other's, and so does its deviation
    for work in range(6):
        fits = []
        for other in range(6):
            step = (mean[other] - mean[work]).flatten()
            share = float((new_mean[work] - mean[work]).flatten() @ step / (step @ step + 1e-12))
            wanted = spread[work] + share * (spread[other] - spread[work])
            fits.append(
                torch.allclose(new_mean[work], mean[work] + share * (mean[other] - mean[work]), atol=1e-3)
                and torch.allclose(new_spread[work], wanted, atol=1e-3)
                and -1e-3 <= share <= 1.001
            )
        assert any(fits)


def test_mixstyle_changes_the_share_of_batches_that_it_names_and_none_unasked() -> None:
    maps, rng = torch.randn(4, 2, 3, 3), np.random.default_rng(0)
    assert mixstyle(maps, Augment(), rng) is maps
    assert mixstyle(maps[:1], Augment(mixstyle=1.0), rng).equal(maps[:1])
    changed = sum(mixstyle(maps, Augment(mixstyle=0.25), rng) is not maps for _ in range(800))
    assert 150 < changed < 250


@pytest.mark.slow
def test_mixed_statistics_train_and_resume_on_cached_features(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, augment={"mixstyle": 0.5})
    train(recipe, data, tmp_path / "a", ["phases.0.epochs=1"])
    train(recipe, data, tmp_path / "b", ["phases.0.epochs=1", "augment.mixstyle=0"])
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert any(not torch.equal(one[k], two[k]) for k in one if k.startswith("neck"))


@pytest.mark.slow
def test_heads_of_the_same_classes_are_taken_over_too(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    train(recipe, data, tmp_path / "first", ["tasks=[artist, style]"])
    # a rate so small that nothing moves: what differs was not taken over
    still = ["tasks=[style, genre]", "phases.0.lr=1e-12", "phases.0.epochs=1", "seed=9"]
    train(recipe, data, tmp_path / "second", still, start_from=tmp_path / "first")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    shared = [k for k in two if k in one]
    assert any(k.startswith("heads.style") for k in shared)
    assert all(torch.allclose(one[k].float(), two[k].float(), atol=1e-6) for k in shared)


def test_the_log_counts_doubts_and_training_answers(data: Path, tmp_path: Path) -> None:
    train(recipe_file(tmp_path), data, tmp_path / "r", ["neck.dropout=0", "phases.0.epochs=2"])
    for row in metrics(tmp_path / "r"):
        for task in ("artist", "style", "genre"):
            assert 0 <= row[f"val_{task}_wrong_and_unsure"] <= 1 - row[f"val_{task}_accuracy"] + 1e-6
            assert row[f"val_{task}_wrong_and_unsure"] <= row[f"val_{task}_unsure"] + 1e-6
            assert 0 < row[f"train_{task}_accuracy"] < 1


def test_doubts_in_the_log_are_those_of_the_models_own_answers(data: Path, tmp_path: Path) -> None:
    """The last epoch's shares against the saved model's answers, with the calibration taken back."""
    train(recipe_file(tmp_path, phases=[{"epochs": 1, "lr": 3e-3}]), data, tmp_path / "r")
    model, collection = load_model(tmp_path / "r"), Collection.open(data)
    model.temperature = {}
    rows = collection.rows("val")
    probabilities = read_rows(model, collection, rows, "").probabilities["style"]
    labels = collection.labels("style")[rows]
    sure, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    known = labels >= 0
    (row,) = metrics(tmp_path / "r")
    assert row["val_style_unsure"] == pytest.approx(np.mean(sure[known] < 0.6), abs=1e-6)
    wanted = np.mean(wrong[known] & (sure[known] < 0.5))
    assert row["val_style_wrong_and_unsure"] == pytest.approx(wanted, abs=1e-6)


def test_no_training_accuracy_is_claimed_for_mixed_batches(data: Path, tmp_path: Path) -> None:
    train(recipe_file(tmp_path, augment={"mixup": 0.3}), data, tmp_path / "r", ["phases.0.epochs=1"])
    assert not [
        name for name in metrics(tmp_path / "r")[0] if name.startswith("train_") and "loss" not in name
    ]


def test_the_model_says_what_it_is_made_of(data: Path, tmp_path: Path) -> None:
    train(recipe_file(tmp_path), data, tmp_path / "r", ["phases.0.epochs=1"])
    told: dict[str, Any] = json.loads((tmp_path / "r" / "model.json").read_text())["architecture"]
    state = load_file(tmp_path / "r" / "model.safetensors")
    gru = sum(v.numel() for k, v in state.items() if k.startswith("neck."))
    assert told["neck"]["parameters"] == gru and told["features"]["grid"] == [4, 4]
