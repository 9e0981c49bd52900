"""The artist prior: which artists it has, each one's share of classes, and the weight that is fitted to it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy.optimize import brute
from scipy.special import log_softmax, softmax
from test_map_statistics import NAMES, READER
from tiny import morelli, painted_collection, recipe_file

from morelli.collection.collection import Collection
from morelli.evaluation.calibration.artist_prior import class_given_artist, fit_artist_prior
from morelli.evaluation.predictions import read
from morelli.network.network import Network
from morelli.prediction.model import load_model
from morelli.recipe import parse
from morelli.training.crossfit import fold_recipe

ARTISTS = ["ann", "bob", "cyd"]
NECK = {"kind": "statistics", "fused": 12, "members": 2}


def collection(artists: list[str | None], splits: list[str]) -> Collection:
    table = pd.DataFrame({"artist_name": pd.Series(artists, dtype="str"), "split": splits})
    return Collection(Path(), table, {"vocabularies": {}})


def test_artists_are_those_of_enough_training_works_classes_or_not() -> None:
    artists = ["zoe", "zoe", "ann", "bob", "bob", "bob", None, "ann"]
    here = collection(artists, ["train", "train", "train", "train", "test", "test", "train", "val"])
    assert here.prolific_artists(2) == ["zoe"]
    assert here.prolific_artists(1) == ["ann", "bob", "zoe"]
    assert here.artist_labels(["ann", "zoe"]).tolist() == [1, 1, 0, -1, -1, -1, -1, 0]


def test_class_shares_are_those_of_the_known_works_drawn_to_those_of_all() -> None:
    artists, labels = np.array([0, 0, 0, 1, -1, 1, 1]), np.array([0, 0, 1, 1, 1, -1, 1])
    made = class_given_artist(artists, labels, 3, 2)
    prior = 3 * np.array([3, 5]) / 8  # two works of class 0 and four of 1, and one more of each
    assert np.allclose(made[0], (prior + np.array([2, 1])) / 6)
    assert np.allclose(made[1], (prior + np.array([0, 2])) / 5)
    assert np.allclose(made[2], prior / 3)  # of whom no work is known


def simulated(leaning: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores (600, 3) that hold little of the class; scores of artists (600, 6), each of whom paints one class in
    ``leaning`` of the works beyond chance; their shares of classes; the labels."""
    rng = np.random.default_rng(0)
    table = (1 - leaning) / 3 + leaning * np.eye(3)[np.arange(6) % 3]
    artists = rng.integers(6, size=600)
    labels = np.array([rng.choice(3, p=table[each]) for each in artists])
    logits = 1.0 * np.eye(3)[labels] + rng.normal(size=(600, 3))
    who = log_softmax(3.0 * np.eye(6)[artists] + rng.normal(size=(600, 6)), axis=1)
    return logits, who, table, labels


def loss(
    numbers: np.ndarray, logits: np.ndarray, who: np.ndarray, table: np.ndarray, labels: np.ndarray
) -> float:
    scale, weight, sharpness = numbers
    prior = np.log(softmax(sharpness * who, axis=1) @ table + 1e-6)
    return -log_softmax(scale * log_softmax(logits, axis=1) + weight * prior, axis=1)[
        range(600), labels
    ].mean()


@pytest.mark.slow
def test_the_weight_is_that_of_the_greatest_likelihood() -> None:
    given = simulated(0.9)
    made = fit_artist_prior(*given, None)
    best = brute(loss, [(0.3, 2.1, 0.1), (0, 2, 0.1), (0.25, 4, 0.25)], given, finish=None)
    assert made.weight == pytest.approx(best[1] / best[0], abs=0.2)
    reached = min(
        loss(np.array([s, s * made.weight, made.sharpness]), *given) for s in np.arange(0.3, 2.1, 0.01)
    )
    assert reached <= loss(best, *given) + 1e-4
    alone = min(loss(np.array([s, 0, 1]), *given) for s in np.arange(0.3, 2.1, 0.01))
    assert reached < alone - 0.2


def test_artist_scores_without_information_get_no_weight() -> None:
    logits, who, table, labels = simulated(0.9)
    strangers = np.random.default_rng(1).permutation(who)
    assert fit_artist_prior(logits, strangers, table, labels, None).weight < 0.1
    nobody = fit_artist_prior(logits, who, table, np.full(600, -1), np.array([3, 3, 3]))
    assert nobody.weight == 0


def network() -> Network:
    torch.manual_seed(0)
    return Network(parse(READER | {"neck": NECK, "artist_prior": 2}, "test"), NAMES, artists=ARTISTS)


def test_the_prior_is_added_in_evaluation_and_not_in_training() -> None:
    made = network()
    features = torch.rand(5, made.backbone.channels, 1, 1)
    before = made.eval().read(features)[1]
    table = torch.tensor([[0.8, 0.2], [0.1, 0.9], [0.5, 0.5]])
    made.artist_prior["style"].class_given_artist.copy_(table)
    made.artist_prior["style"].weight.fill_(0.7)
    made.artist_prior["style"].sharpness.fill_(2.0)
    after = made.read(features)[1]
    assert list(after) == [*NAMES, "prior_artist"]
    prior = (2 * before["prior_artist"]).softmax(dim=1) @ table
    torch.testing.assert_close(after["style"], before["style"] + 0.7 * (prior + 1e-6).log())
    torch.testing.assert_close(after["genre"], before["genre"])
    for module in made.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    each = made.read(features)[1]["style"].log_softmax(dim=1)
    mean = each.view(2, 5, 2).logsumexp(dim=0) - math.log(2)
    torch.testing.assert_close(mean, before["style"])


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_a_run_learns_artists_predicts_its_tasks_and_can_be_loaded(tmp_path: Path) -> None:
    painted_collection(tmp_path)
    source = f"{tmp_path}/p/wikiart --lists {tmp_path}/p/wikiart_csv --size 32"
    morelli(f"collect {source} --out {tmp_path}/few --min-works 18")
    file = recipe_file(tmp_path, artist_prior=4, neck=NECK | {"statistics": ["moments"]})
    run, few = tmp_path / "run", Collection.open(tmp_path / "few")
    morelli(f"train {file} --data {tmp_path}/few --out {run}")
    morelli(f"evaluate {run}")
    facts = json.loads((run / "model.json").read_text())
    assert facts["prior_artists"] == few.prolific_artists(4)
    assert len(facts["prior_artists"]) > len(facts["vocabularies"]["artist"])
    assert facts["architecture"]["heads"]["prior_artist"]["classes"] == len(facts["prior_artists"])
    predictions = read(run / "predictions-test.parquet")
    assert list(predictions.tasks) == ["artist", "style", "genre"]
    assert predictions.tasks["artist"].probabilities.shape[1] == len(few.vocabularies["artist"])
    training = few.rows("train")
    painted = few.artist_labels(facts["prior_artists"])[training]
    for task in few.vocabularies:
        table = load_file(run / "model.safetensors")[f"artist_prior.{task}.class_given_artist"].numpy()
        labels, classes = few.labels(task)[training], len(few.vocabularies[task])
        assert np.allclose(table, class_given_artist(painted, labels, len(facts["prior_artists"]), classes))
    model = load_model(run)
    assert model.network.artists == facts["prior_artists"]
    morelli(
        f"train {file} --data {tmp_path}/few --out {tmp_path}/alone --set artist_prior=1000 --set phases.0.epochs=1"
    )
    assert load_model(tmp_path / "alone").network.artists == []
    assert fold_recipe(model.recipe, 1).artist_prior is None
