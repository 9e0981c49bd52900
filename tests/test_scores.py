"""Scores and baselines of a small collection worked out by hand, and against scikit-learn's report."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from morelli.errors import DataError
from morelli.evaluation.calibration.conformal import fit_thresholds
from morelli.evaluation.calibration.temperature import apply_temperature
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.scores.baselines import baselines
from morelli.evaluation.scores.scores import class_report, score, trust_scores
from morelli.report.sections.trust import NOTHING, trust_tables

FIELDS = {
    *("n", "accuracy", "accuracy_ci95", "top5", "macro_f1", "macro_f1_ci95", "weighted_f1"),
    *("weighted_precision", "weighted_recall", "ece", "nll", "baselines", "per_class"),
}


@pytest.fixture
def table() -> pd.DataFrame:
    """Monet paints style 0 (twice of three), Hokusai style 1 (both); majority of training: style 0.

    Van Gogh has only a validation work, which no baseline may learn from.
    """
    rows = [
        ("a", "train", "monet", 0, 0),
        ("b", "train", "monet", 0, 0),
        ("c", "train", "monet", 0, 2),
        ("d", "train", "hokusai", 1, 1),
        ("e", "train", "hokusai", 1, 1),
        ("f", "train", None, -1, 0),
        ("g", "train", "rare-painter", -1, -1),
        ("h", "val", "van-gogh", -1, 2),
        ("i", "test", "monet", 0, 2),
        ("j", "test", "hokusai", 1, 1),
        ("k", "test", "van-gogh", -1, 2),
        ("l", "test", None, -1, 0),
        ("m", "test", "hokusai", 1, -1),
        ("n", "test", "rare-painter", -1, 0),
    ]
    return pd.DataFrame(rows, columns=["id", "split", "artist_name", "artist", "style"])


def certain(names: list[str], labels: list[int], answers: list[int]) -> TaskPredictions:
    probabilities = np.full((len(labels), len(names)), 0.1 / (len(names) - 1), np.float32)
    probabilities[np.arange(len(labels)), answers] = 0.9
    return TaskPredictions(names, np.array(labels, np.int32), probabilities)


@pytest.fixture
def predictions(table: pd.DataFrame) -> Predictions:
    test = table[table["split"] == "test"]
    artist = certain(["monet", "hokusai"], list(test["artist"]), [0, 0, 0, 0, 1, 1])
    style = certain(["Impressionism", "Ukiyo_e", "Cubism"], list(test["style"]), [2, 1, 0, 0, 1, 0])
    return Predictions(list(test["id"]), [f"{i}.jpg" for i in test["id"]], {"artist": artist, "style": style})


def test_baselines_by_hand(table: pd.DataFrame, predictions: Predictions) -> None:
    task = predictions.tasks["style"]
    # known: i=2, j=1, k=2, l=0, n=0. majority says 0: l and n. the oracle: i→0, j→1, k, l and n→0
    assert baselines(table, "style", predictions.ids, task.labels) == {
        "majority": pytest.approx(2 / 5),
        "artist_oracle": pytest.approx(3 / 5),
    }


def test_the_artist_baseline_has_no_oracle(table: pd.DataFrame, predictions: Predictions) -> None:
    got = baselines(table, "artist", predictions.ids, predictions.tasks["artist"].labels)
    assert got == {"majority": pytest.approx(1 / 3), "artist_oracle": None}


def test_baselines_follow_the_ids_and_not_the_order_of_the_table(
    table: pd.DataFrame, predictions: Predictions
) -> None:
    labels = predictions.tasks["style"].labels
    shuffled = table.sample(frac=1, random_state=4)
    assert baselines(shuffled, "style", predictions.ids[::-1], labels[::-1]) == baselines(
        table, "style", predictions.ids, labels
    )


def test_baselines_agree_with_a_plain_loop_over_many_works() -> None:
    rng = np.random.default_rng(0)
    works = 3000
    artists = rng.integers(0, 60, works)
    table = pd.DataFrame(
        {
            "id": [f"w{i}" for i in range(works)],
            "split": rng.choice(["train", "val", "test"], works, p=[0.5, 0.1, 0.4]),
            "artist_name": [None if a == 0 else f"p{a}" for a in artists],
            "style": np.where(rng.random(works) < 0.5, artists % 7, rng.integers(-1, 7, works)),
        }
    )
    test = table[table["split"] == "test"]
    train = [r for r in table.itertuples() if r.split == "train" and r.style >= 0]
    majority = max(range(7), key=lambda k: sum(r.style == k for r in train))
    right = known = 0
    for row in test.itertuples():
        own = [
            r.style for r in train if isinstance(row.artist_name, str) and r.artist_name == row.artist_name
        ]
        guess = max(range(7), key=own.count) if own else majority
        known += row.style >= 0
        right += row.style == guess
    got = baselines(table, "style", list(test["id"]), test["style"].to_numpy())
    assert got["artist_oracle"] == pytest.approx(right / known)


def test_a_collection_without_a_needed_column_is_named(table: pd.DataFrame, predictions: Predictions) -> None:
    with pytest.raises(DataError, match="artist_name"):
        score(predictions, table.drop(columns="artist_name"))


def test_scores_hold_exactly_the_documented_fields_and_survive_strict_json(
    table: pd.DataFrame, predictions: Predictions
) -> None:
    got = score(predictions, table)
    assert set(got) == {"tasks", "joint_exact_match", "joint_exact_match_ci95", "joint_n"}
    assert set(got["tasks"]) == {"artist", "style"}
    for task in got["tasks"].values():
        assert set(task) == FIELDS
        low, high = task["accuracy_ci95"]
        assert 0 <= low <= task["accuracy"] <= high <= 1
    assert json.loads(json.dumps(got, allow_nan=False)) == got


def test_scores_by_hand(table: pd.DataFrame, predictions: Predictions) -> None:
    got = score(predictions, table)
    style = got["tasks"]["style"]
    assert style["n"] == 5
    # truth 2 1 2 0 0, answers 2 1 0 0 0
    assert style["accuracy"] == pytest.approx(4 / 5)
    assert style["per_class"]["Impressionism"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
    }
    assert style["macro_f1"] == pytest.approx((0.8 + 1 + 2 / 3) / 3)
    assert style["weighted_f1"] == pytest.approx((2 * 0.8 + 1 + 2 * 2 / 3) / 5)
    assert style["ece"] == pytest.approx(0.1, abs=1e-6)
    # both labels known: i (0 right, 2 right) and j (1 taken for 0, 1 right); m's style is unknown
    assert (got["joint_n"], got["joint_exact_match"]) == (2, 0.5)


def test_a_task_without_a_known_label_has_null_figures(table: pd.DataFrame, predictions: Predictions) -> None:
    style = predictions.tasks["style"]
    unknown = TaskPredictions(style.names, np.full(6, -1, np.int32), style.probabilities)
    tasks = {"artist": predictions.tasks["artist"], "style": unknown}
    got = score(Predictions(predictions.ids, predictions.paths, tasks), table)
    figures = dict(got["tasks"]["style"])
    assert figures.pop("n") == 0
    assert figures.pop("baselines") == {"majority": None, "artist_oracle": None}
    per_class = figures.pop("per_class")
    assert all(
        row == {"precision": None, "recall": None, "f1": None, "support": 0} for row in per_class.values()
    )
    assert set(figures.values()) == {None}
    assert (got["joint_n"], got["joint_exact_match"], got["joint_exact_match_ci95"]) == (0, None, None)
    assert "–" in class_report(unknown)


def test_the_class_report_agrees_with_scikit_learn_and_is_sorted_by_support() -> None:
    rng = np.random.default_rng(1)
    names = ["Mannerism_Late_Renaissance", "Ukiyo_e", "Art_Nouveau_Modern", "Naive_Art_Primitivism"]
    labels = rng.choice(4, 2500, p=[0.1, 0.5, 0.15, 0.25]).astype(np.int32)
    answers = np.where(rng.random(2500) < 0.6, labels, rng.integers(0, 4, 2500))
    report = class_report(certain(names, list(labels), list(answers)))
    theirs = sk.classification_report(labels, answers, target_names=names, output_dict=True)
    lines = [re.split(r"\s{2,}", line) for line in report.splitlines()]
    read = {line[0]: line[1:] for line in lines if len(line) > 2}
    for name, key in [*zip(names, names, strict=True), *MEANS]:
        figures = [theirs[key][figure] for figure in ("precision", "recall", "f1-score")]
        assert [float(cell) for cell in read[name][:3]] == pytest.approx(figures, abs=5.1e-4)
        assert int(read[name][3].replace(",", "")) == theirs[key]["support"]
    assert float(read["accuracy"][0]) == pytest.approx(theirs["accuracy"], abs=5.1e-4)
    supports = [int(read[line[0]][3].replace(",", "")) for line in lines if line[0] in names]
    assert len(supports) == 4 and supports == sorted(supports, reverse=True)


MEANS = [("macro mean", "macro avg"), ("weighted mean", "weighted avg")]


TRUST = {"calibration", "logit_adjusted", "shots", "conformal", "selective"}


def drawn(works: int, seed: int) -> tuple[Predictions, pd.DataFrame]:
    """Works of a skewed style and an all but unknown genre, and a table that holds them as its split ``train``."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, works, p=[0.8, 0.15, 0.05]).astype(np.int32)
    scores = rng.normal(size=(works, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    genre = TaskPredictions(["x", "y", "z"], np.full(works, -1, np.int32), probabilities)
    tasks = {"style": TaskPredictions(["a", "b", "c"], labels, probabilities), "genre": genre}
    ids = [f"w{i}" for i in range(works)]
    table = pd.DataFrame({"id": ids, "split": "train", "artist_name": None, "style": labels, "genre": -1})
    return Predictions(ids, ids, tasks), table


def test_what_is_tuned_on_validation_is_left_out_without_it() -> None:
    predictions, table = drawn(300, seed=2)
    found = trust_scores(predictions, table, {"style": 2.0}, {}, None)
    assert set(found) == {"style", "genre"} and all(set(task) == TRUST for task in found.values())
    assert found["style"]["calibration"]["temperature"] == 2.0
    assert found["style"]["logit_adjusted"] is None and found["style"]["conformal"] is None
    assert found["style"]["selective"]["target"] is None
    assert found["style"]["shots"]["many"]["works"] > 0
    json.dumps(found, allow_nan=False)


def test_what_rare_classes_were_given_is_taken_back_in_the_figures_before_and_told() -> None:
    predictions, table = drawn(300, seed=2)
    plain = trust_scores(predictions, table, {}, {}, None)
    style, shift = predictions.tasks["style"], [-0.4, 0.1, 0.3]
    moved = apply_temperature(style.probabilities, 1.0, shift)
    shifted = Predictions(
        predictions.ids,
        predictions.paths,
        predictions.tasks | {"style": TaskPredictions(style.names, style.labels, moved)},
    )
    found = trust_scores(shifted, table, {}, {}, None, shift={"style": shift})
    before = found["style"]["calibration"]["before"]
    assert before == pytest.approx(plain["style"]["calibration"]["after"], abs=1e-4)
    assert found["style"]["calibration"]["after"]["nll"] != pytest.approx(before["nll"], abs=1e-3)
    rows = {
        row["label"]: row["cells"] for row in trust_tables({"tasks": found}, ["style", "genre"])[0]["rows"]
    }
    assert rows["Given to rare classes"] == [("0.70", ""), NOTHING]
    told = trust_tables({"tasks": plain}, ["style", "genre"])[0]["rows"]
    assert "Given to rare classes" not in {row["label"] for row in told}


def test_thresholds_of_training_are_preferred_to_those_of_validation() -> None:
    predictions, table = drawn(300, seed=2)
    validation, _ = drawn(400, seed=3)
    fresh = trust_scores(predictions, table, {}, {}, validation)
    expected = fit_thresholds(validation.tasks["style"].labels, validation.tasks["style"].probabilities)
    methods = fresh["style"]["conformal"]["methods"]
    assert {name: m["threshold"] for name, m in methods.items()} == expected["thresholds"]
    stored = {"style": {"coverage": 0.5, "works": 7, "thresholds": {"lac": 0.4}}}
    kept = trust_scores(predictions, table, {}, stored, validation)["style"]["conformal"]
    assert (kept["coverage"], kept["works"], list(kept["methods"])) == (0.5, 7, ["lac"])
    assert fresh["genre"]["conformal"] is None and fresh["genre"]["selective"] is None
    json.dumps(fresh, allow_nan=False)
