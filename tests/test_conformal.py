"""Prediction sets: their coverage is what they promise, and by hand they hold what they should."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from shared import shared_paintings
from tiny import painted_collection, recipe_file

from morelli.collection.collect import CollectOptions, collect
from morelli.errors import DataError
from morelli.evaluation.calibration.conformal import (
    FREE,
    METHODS,
    PENALTY,
    Method,
    check_sets,
    conformity_scores,
    fit_threshold,
    fit_thresholds,
    in_sets,
    prediction_sets,
)
from morelli.evaluation.predictions import TaskPredictions, read
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train
from morelli.prediction.model import load_model


def works(count: int, classes: int, seed: int, sharpen: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from a softmax, and that softmax made too sure (``sharpen`` over 1) as networks do."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(count, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    sharp = np.exp(sharpen * logits)
    return labels, (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)


def test_a_share_that_is_a_whole_number_of_works_is_not_rounded_up() -> None:
    """0.55 · 100 is 55.00000000000001 to a computer."""
    own = np.arange(99) / 100
    probabilities = np.stack([1 - own, own], axis=1)
    assert fit_threshold(np.zeros(99, int), probabilities, "lac", 0.55) == pytest.approx(own[54])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_new_works_are_covered_as_promised_even_by_an_overconfident_network(
    method: Method, coverage: float
) -> None:
    # over splits into 100 and 200 works the mean coverage of the untouched scores is ⌈101 c⌉ / 101
    labels, probabilities = works(30_000, 8, seed=1, sharpen=3)
    promised = math.ceil(101 * coverage) / 101
    own = np.take_along_axis(conformity_scores(probabilities, method), labels[:, None], axis=1)[:, 0]
    found = []
    for start in range(0, 30_000, 300):
        first, rest = slice(start, start + 100), slice(start + 100, start + 300)
        threshold = fit_threshold(labels[first], probabilities[first], method, coverage)
        assert threshold is not None
        found.append(np.mean(own[rest] <= threshold))
        inside = in_sets(probabilities[rest], threshold, method)
        assert inside[np.arange(200), labels[rest]].mean() >= found[-1]
    assert np.mean(found) == pytest.approx(promised, abs=4 * np.std(found) / 10)


def test_scores_and_sets_by_hand() -> None:
    probabilities = np.array([[0.1, 0.5, 0.15, 0.25]])
    np.testing.assert_allclose(conformity_scores(probabilities, "lac"), [[0.9, 0.5, 0.85, 0.75]])
    # falling: 0.5, 0.25, 0.15, 0.1; what is more probable, and half the class itself
    adaptive = np.array([[0.95, 0.25, 0.825, 0.625]])
    np.testing.assert_allclose(conformity_scores(probabilities, "aps"), adaptive)
    ranks = np.array([[4, 1, 3, 2]])
    expected = adaptive + PENALTY * np.maximum(ranks - FREE, 0)
    np.testing.assert_allclose(conformity_scores(probabilities, "raps"), expected)
    assert prediction_sets(probabilities, 0.8, "lac") == [[1, 3]]
    assert prediction_sets(probabilities, 0.85, "aps") == [[1, 3, 2]]
    assert prediction_sets(probabilities, 0.1, "aps") == [[1]]  # never empty
    assert prediction_sets(probabilities, 2.0, "raps") == [[1, 3, 2, 0]]


@pytest.mark.parametrize("method", METHODS)
def test_the_sets_are_those_of_a_plain_loop(method: Method) -> None:
    labels, probabilities = works(60, 5, seed=2)
    threshold = fit_threshold(labels, probabilities, method, 0.8)
    assert threshold is not None
    scores, expected = [], []
    for row, label in zip(probabilities.astype(float), labels, strict=True):
        order = sorted(range(5), key=lambda k, r=row: (-r[k], k))
        own = {}
        for place, k in enumerate(order):
            before = sum(row[j] for j in order[:place])
            rank_cost = PENALTY * max(place + 1 - FREE, 0) if method == "raps" else 0
            own[k] = 1 - row[k] if method == "lac" else before + row[k] / 2 + rank_cost
        scores.append(own[int(label)])
        expected.append([k for k in order if own[k] <= threshold + 1e-9 or k == order[0]])
    assert threshold == pytest.approx(sorted(scores)[math.ceil(61 * 0.8) - 1])
    assert prediction_sets(probabilities, threshold, method) == expected


def test_too_few_works_give_no_threshold_and_unknown_labels_do_not_count() -> None:
    labels, probabilities = works(9, 4, seed=3)
    assert fit_threshold(labels, probabilities, "lac", 0.9) == pytest.approx(
        conformity_scores(probabilities, "lac")[np.arange(9), labels].max()
    )
    labels[0] = -1
    assert fit_threshold(labels, probabilities, "lac", 0.9) is None
    fitted = fit_thresholds(labels, probabilities)
    assert fitted == {"coverage": 0.9, "works": 8, "thresholds": dict.fromkeys(METHODS)}
    assert check_sets(TaskPredictions(list("abcd"), labels.astype(np.int32), probabilities), fitted) is None


def test_the_check_counts_coverage_sizes_and_the_class_covered_least() -> None:
    # class 0: always the sole answer and right; class 1: twelve works, nine of them taken for 0 alone
    sure, torn = [0.96, 0.03, 0.01], [0.45, 0.5, 0.05]
    probabilities = np.array([sure] * 20 + [sure] * 9 + [torn] * 3 + [torn], np.float32)
    labels = np.array([0] * 20 + [1] * 12 + [-1], np.int32)
    task = TaskPredictions(["a", "b", "c"], labels, probabilities)
    fitted = {"coverage": 0.9, "works": 50, "thresholds": {"lac": 0.6, "aps": None}}
    found = check_sets(task, fitted)
    assert found is not None and set(found["methods"]) == {"lac"} and found["works"] == 50
    lac = found["methods"]["lac"]
    assert lac["coverage"] == pytest.approx(23 / 32)
    assert lac["coverage_ci95"][0] < 23 / 32 < lac["coverage_ci95"][1]
    assert lac["mean_size"] == pytest.approx((29 + 3 * 2) / 32)
    assert lac["singletons"] == pytest.approx(29 / 32)
    assert lac["least_covered"] == {"class": "b", "coverage": pytest.approx(3 / 12), "n": 12}


def test_nonsense_is_refused() -> None:
    labels, probabilities = works(20, 3, seed=4)
    for coverage in (0.0, 1.0, 90):
        with pytest.raises(DataError, match="between 0 and 1"):
            fit_threshold(labels, probabilities, "lac", coverage)
    with pytest.raises(DataError, match="known are lac, aps, raps"):
        prediction_sets(probabilities, 0.5, "best")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a collection ``c`` and a run ``r`` of it."""
    folder = tmp_path_factory.mktemp("trained")
    train(recipe_file(folder), painted_collection(folder), folder / "r")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_thresholds_are_stored_at_training_and_checked_on_other_works(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / "r", tmp_path / "r")
    stored = json.loads((run / "model.json").read_text())["conformal"]
    scores = evaluate(run).to_dict()
    assert load_model(run).facts["conformal"] == stored
    validation = read(run / "predictions-val.parquet")
    test = read(run / "predictions-test.parquet").tasks
    for name, task in validation.tasks.items():
        fitted = fit_thresholds(task.labels, task.probabilities)
        assert stored[name]["works"] == fitted["works"] == task.known.sum()
        for method in METHODS:
            threshold = stored[name]["thresholds"][method]
            # the model and the fit divide by the temperature in other precisions
            assert threshold == pytest.approx(fitted["thresholds"][method], abs=1e-5)
            inside = in_sets(test[name].probabilities, threshold, method)[test[name].known]
            covered = inside[np.arange(len(inside)), test[name].labels[test[name].known]]
            found = scores["tasks"][name]["conformal"]["methods"][method]
            assert found["coverage"] == pytest.approx(covered.mean())
    html = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert 'id="calibration"' in html and "Prediction sets" in html and "Leakage" in html


@pytest.mark.slow
def test_validation_works_are_read_again_only_where_the_file_is_not_theirs(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morelli.jobs.evaluate.write_report", lambda run, split: run / "no-report")
    run = shutil.copytree(trained / "r", tmp_path / "r")
    first = evaluate(run).to_dict()
    file = run / "predictions-val.parquet"
    good = file.read_bytes()
    os.utime(file, ns=(1, 1))  # older than the model, as after training again
    file.write_bytes(good[:100])
    assert evaluate(run).to_dict()["tasks"] == first["tasks"] and file.read_bytes() == good
    shutil.copy(run / "predictions-test.parquet", file)  # other works
    assert evaluate(run).to_dict()["tasks"] == first["tasks"] and file.read_bytes() == good
    before = file.stat().st_mtime_ns
    evaluate(run)
    assert file.stat().st_mtime_ns == before
    # scored on validation itself, what was tuned there is left out; another collection's file is kept as it is
    own = evaluate(run, "val").to_dict()["tasks"]["style"]
    assert own["logit_adjusted"] is None and own["conformal"] is None
    shared_paintings(tmp_path / "q", 60, seed=8)
    collect(CollectOptions(tmp_path / "q" / "wikiart", tmp_path / "c2", size=32, min_works=1))
    other = evaluate(run, "val", tmp_path / "c2").to_dict()["tasks"]["style"]
    assert other["conformal"] is not None and len(read(file)) == other["n"] != own["n"]
    (run / "collection.txt").write_text(str(tmp_path / "gone"))
    file.unlink()
    assert evaluate(run, "test", tmp_path / "c2").to_dict()["tasks"]["style"]["conformal"] is None
