"""Label rules and their evidence against cleanlab, scikit-learn, a plain loop and hand-worked cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from morelli.errors import DataError
from morelli.evaluation.audit import label_rules
from morelli.evaluation.audit.evidence import (
    Column,
    SharedEvidence,
    TaskEvidence,
    gather_evidence,
    other_label,
    year,
)
from morelli.evaluation.audit.neighbours import nearest_works, neighbour_disagreement, neighbour_votes
from morelli.evaluation.audit.opinion_pool import fit_weights, pool_evidence, pool_opinions, rank_average
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.vectors import highest
from morelli.report.sections.reasons import reasons_of_labels, reasons_of_pool

NAMES = ["Cubism", "Rococo", "Pop_Art"]


def world(works: int = 900, seed: int = 0, classes: int = 3) -> tuple[TaskEvidence, np.ndarray, np.ndarray]:
    """Evidence of every kind, the true classes, and which labels were made wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, works)
    labels, wrong = true.copy(), rng.random(works) < 0.06
    labels[wrong] = (labels[wrong] + rng.integers(1, classes, wrong.sum())) % classes

    def reader(skill: float) -> np.ndarray:
        return softmax(rng.normal(size=(works, classes)) + skill * np.eye(classes)[true], axis=1)

    embedding = (np.eye(classes, 12)[true] + 0.8 * rng.normal(size=(works, 12))).astype(np.float32)
    artist = np.where(rng.random(works) < 0.9, 4 * true + rng.integers(0, 4, works), -1)
    artist = np.where(rng.random(works) < 0.9, artist, rng.integers(0, 4 * classes, works))
    others = {"artist": Column(artist.astype(np.int64), [f"painter-{k}" for k in range(4 * classes)])}
    names = NAMES if classes == 3 else [f"c{k}" for k in range(classes)]
    task = TaskPredictions(names, labels.astype(np.int32), reader(2.0).astype(np.float32))
    shared = SharedEvidence(embedding, np.arange(works))
    years = 1700 + 60 * true + rng.normal(0, 25, works)
    years[::7] = np.nan
    return TaskEvidence("style", task, shared, reader(2.0).astype(np.float32), others, years), true, wrong


def test_the_combination_is_ahead_of_every_rule_that_it_combines() -> None:
    evidence, _, wrong = world()
    area = {
        rule.__name__: roc_auc_score(wrong, np.nan_to_num(rule(evidence).score, nan=-2))
        for rule in (
            label_rules.combined,
            label_rules.self_confidence,
            label_rules.margin,
            label_rules.confident_joint,
            label_rules.neighbours,
            label_rules.second_opinion,
            label_rules.cross_task,
        )
    }
    best = area.pop("combined")
    assert best > 0.98 and best > max(area.values()) + 0.005 and min(area.values()) > 0.8


def test_the_confident_joint_is_cleanlabs() -> None:
    from cleanlab.count import num_label_issues
    from cleanlab.rank import get_label_quality_scores

    evidence, _, _ = world()
    found = label_rules.confident_joint(evidence)
    probabilities = evidence.task.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    quality = get_label_quality_scores(
        evidence.task.labels, probabilities, method="normalized_margin", adjust_pred_probs=True
    )
    np.testing.assert_allclose(found.score, 1 - quality, atol=1e-6)
    assert found.flagged is not None
    assert found.flagged.sum() == num_label_issues(evidence.task.labels, probabilities) > 20


def test_a_class_that_no_label_names_changes_nothing_for_the_confident_joint() -> None:
    evidence, _, _ = world()
    odds = np.concatenate([0.5 * evidence.task.probabilities, np.full((900, 1), 0.5, np.float32)], axis=1)
    wider = replace(evidence, task=TaskPredictions([*NAMES, "Minimalism"], evidence.task.labels, odds))
    before, after = (label_rules.confident_joint(c).score for c in (evidence, wider))
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_margin_and_self_confidence_of_a_hand_worked_case() -> None:
    odds = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.5, 0.4, 0.1]])
    task = TaskPredictions(NAMES, np.array([0, 1, 0, 1, -1], np.int32), odds.astype(np.float32))
    evidence = TaskEvidence.of_predictions(task)
    assert label_rules.self_confidence(evidence).score == pytest.approx(
        [0.3, 0.8, 0.9, 0.7, np.nan], nan_ok=True
    )
    assert label_rules.margin(evidence).score == pytest.approx([-0.5, 0.5, 0.6, 0.1, np.nan], nan_ok=True)


def test_a_class_of_one_picture_is_not_judged_even_where_the_picture_is_there_twice() -> None:
    task = TaskPredictions(NAMES, np.array([0, 0, 1, 1, 2], np.int32), np.full((5, 3), 1 / 3, np.float32))
    evidence = TaskEvidence(
        "style", task, SharedEvidence(np.eye(5, dtype=np.float32), np.array([0, 1, 2, 2, 3]))
    )
    assert list(evidence.judged) == [True, True, False, False, False]
    for rule in (label_rules.combined, label_rules.margin, label_rules.neighbours):
        assert list(np.isnan(rule(evidence).score)) == [False, False, True, True, True]


def test_the_nearest_works_are_those_of_scikit_learn_without_near_duplicates() -> None:
    rng = np.random.default_rng(3)
    embedding, groups = rng.normal(size=(120, 6)), np.repeat(np.arange(60), 2)
    found = nearest_works(embedding, groups, k=7)
    likeness = cosine_similarity(embedding)
    for row in range(120):
        order = [k for k in np.argsort(-likeness[row], kind="stable") if groups[k] != groups[row]][:7]
        assert list(found.rows[row]) == order
        np.testing.assert_allclose(found.similarity[row], likeness[row, order], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("width", [16, 300])  # fewer and more than the axes by which candidates are found
def test_beyond_the_exact_limit_nearly_all_of_the_nearest_works_are_found(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    from morelli.evaluation.audit import neighbours

    rng = np.random.default_rng(5)
    centres = rng.normal(size=(40, 16))
    hidden = centres[rng.integers(0, 40, 4000)] + 0.5 * rng.normal(size=(4000, 16))
    embedding = np.tanh(hidden @ rng.normal(size=(16, width)) / 4) + 0.1 * rng.normal(size=(4000, width))
    likeness = cosine_similarity(embedding)
    np.fill_diagonal(likeness, -2)
    truth = np.argsort(-likeness, axis=1)[:, :40]
    monkeypatch.setattr(neighbours, "EXACT", 1000)
    near = nearest_works(embedding, np.arange(4000), k=40)
    same = [len(set(a) & set(b)) / 40 for a, b in zip(truth, near.rows, strict=True)]
    assert 0.95 < np.mean(same) < 1
    # what is found has its true likeness, nearest first
    np.testing.assert_allclose(near.similarity, np.take_along_axis(likeness, near.rows, 1), atol=1e-5)
    assert (np.diff(near.similarity, axis=1) <= 0).all()


@pytest.mark.parametrize("exact", [15_000, 100])
def test_of_equally_near_works_the_first_are_taken_and_each_work_has_its_share(
    monkeypatch: pytest.MonkeyPatch, exact: int
) -> None:
    from morelli.evaluation.audit import neighbours

    monkeypatch.setattr(neighbours, "EXACT", exact)
    found = nearest_works(np.ones((300, 4)), np.arange(300), k=7)
    assert (found.rows >= 0).all() and found.similarity == pytest.approx(1.0)
    if exact > 300:
        assert list(found.rows[299]) == list(range(7)) and list(found.rows[3]) == [0, 1, 2, 4, 5, 6, 7]


def test_the_highest_are_those_of_a_stable_sort() -> None:
    values = np.random.default_rng(6).integers(0, 9, size=(50, 30)).astype(np.float32)
    order = np.argsort(-values, axis=1, kind="stable")[:, :8]
    found, columns = highest(values, 8)
    np.testing.assert_array_equal(columns, order)
    np.testing.assert_array_equal(found, np.take_along_axis(values, order, axis=1))


def test_votes_and_their_disagreement_are_those_of_a_plain_loop() -> None:
    evidence, _, _ = world(200)
    labels = evidence.task.labels.copy()
    labels[:30] = -1
    found = nearest_works(evidence.shared.embedding, evidence.shared.groups, k=9)
    prior = np.array([0.5, 0.3, 0.2])
    said, otherwise = neighbour_votes(found, labels, prior), neighbour_disagreement(found, labels)
    for row in range(200):
        weight, voters = np.zeros(3), 0
        for place, near in enumerate(found.rows[row]):
            if labels[near] >= 0:
                gap = found.similarity[row, place] - found.similarity[row, 0]
                weight[labels[near]] += np.exp(10 * gap)
                voters += 1
        truth = (voters * weight / weight.sum() + 2 * prior) / (voters + 2)
        np.testing.assert_allclose(said[row], truth, atol=1e-5)
        if labels[row] >= 0:
            assert otherwise[row] == pytest.approx(1 - weight[labels[row]] / weight.sum(), abs=1e-5)
    assert np.isnan(otherwise[:30]).all() and not np.isnan(otherwise[30:]).any()


def test_too_few_works_leave_places_empty() -> None:
    found = nearest_works(np.eye(3), np.array([0, 0, 1]), k=5)
    assert [sorted(row[row >= 0]) for row in found.rows] == [[2], [2], [0, 1]]
    assert list(np.isfinite(found.similarity).sum(axis=1)) == [1, 1, 2]
    with pytest.raises(DataError, match="not a number"):
        nearest_works(np.array([[np.nan, 1], [1, 0]]), np.arange(2))


def test_another_label_is_counted_without_the_work_and_its_near_duplicates() -> None:
    rng = np.random.default_rng(2)
    labels, values = rng.integers(-1, 4, 150), rng.integers(-1, 6, 150)
    groups = np.where(rng.random(150) < 0.3, rng.integers(0, 12, 150), 100 + np.arange(150))
    prior = np.array([0.4, 0.3, 0.2, 0.1])
    made = other_label(labels, prior, values, groups, strength=1.5)
    for row in range(150):
        like = (values == values[row]) & (groups != groups[row]) & (labels >= 0) & (values[row] >= 0)
        counts = np.bincount(labels[like], minlength=4)
        np.testing.assert_allclose(made[row], (counts + 1.5 * prior) / (counts.sum() + 1.5), rtol=1e-5)


def test_the_year_is_a_gaussian_kernel_over_the_other_works_without_near_duplicates() -> None:
    rng = np.random.default_rng(4)
    labels, years = rng.integers(-1, 3, 60), rng.integers(1800, 1900, 60).astype(float)
    years[::9] = np.nan
    groups = np.where(rng.random(60) < 0.3, rng.integers(0, 6, 60), 100 + np.arange(60))
    prior = np.array([0.5, 0.3, 0.2])
    made = year(labels, prior, years, groups)
    for row in range(60):
        if np.isnan(years[row]):
            np.testing.assert_allclose(made[row], prior, rtol=1e-5)
            continue
        others = (groups != groups[row]) & (labels >= 0) & (abs(years - years[row]) <= 40)
        kernel = norm.pdf((years - years[row]) / 10) / norm.pdf(0)
        weight = np.array([kernel[others & (labels == k)].sum() for k in range(3)]) + prior
        np.testing.assert_allclose(made[row], weight / weight.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "cells", "years"),
    [
        ("year", ["1889", "", None, "1901.0"], [1889, np.nan, np.nan, 1901]),
        ("Year", [1889, np.nan, 18890501, -300], [1889, np.nan, np.nan, -300]),
        ("date", ["c. 1889-90", "May 1901", "1889-05-01", "unknown"], [1889, 1901, 1889, np.nan]),
        (
            "date",
            pd.to_datetime(["1889-05-01", None, "1901-01-01", "1950-12-31"]),
            [1889, np.nan, 1901, 1950],
        ),
        ("completion_year", pd.array([1889, None, 1901, 1950], "Int64"), [1889, np.nan, 1901, 1950]),
    ],
)
def test_years_are_read_as_museums_write_them(name: str, cells: Any, years: list[float]) -> None:
    table = pd.DataFrame({"artist": -1, "style": [0, 0, 1, 1], "genre": -1, name: cells})
    task = TaskPredictions(NAMES, np.array([0, 0, 1, 1], np.int32), np.full((4, 3), 1 / 3, np.float32))
    made = gather_evidence(Predictions(list("abcd"), list("abcd"), {"style": task}), table, {"style": NAMES})
    np.testing.assert_array_equal(made["style"].years, years)


def test_a_column_without_any_year_gives_way_to_the_next() -> None:
    table = pd.DataFrame(
        {"artist": -1, "style": [0, 1], "genre": -1, "year": [None, None], "date": ["1889", "n/a"]}
    )
    task = TaskPredictions(NAMES, np.array([0, 1], np.int32), np.full((2, 3), 1 / 3, np.float32))
    made = gather_evidence(Predictions(list("ab"), list("ab"), {"style": task}), table, {"style": NAMES})
    np.testing.assert_array_equal(made["style"].years, [1889, np.nan])
    del table["date"]
    assert (
        gather_evidence(Predictions(list("ab"), list("ab"), {"style": task}), table, {"style": NAMES})[
            "style"
        ].years
        is None
    )


def test_a_work_out_of_its_years_is_suspected_by_the_year_alone() -> None:
    labels = np.repeat([0, 1], 40).astype(np.int32)
    years = np.concatenate([np.linspace(1900, 1930, 40), np.linspace(1720, 1780, 40)])
    years[79] = 1915
    task = TaskPredictions(NAMES[:2], labels, np.full((80, 2), 0.5, np.float32))
    evidence = TaskEvidence("style", task, SharedEvidence(None, np.arange(80)), years=years)
    found = label_rules.cross_task(evidence)
    assert np.nanargmax(found.score) == 79 and found.score[79] > 0.9
    words = reasons_of_labels(evidence, 79)
    low, high = np.percentile(years[40:79], [5, 95])
    assert words == (f"it is dated 1915, nine in ten works of Rococo {low:.0f} to {high:.0f}",)


def test_the_weights_are_those_of_a_logistic_regression_where_there_is_one_source_and_no_noise() -> None:
    """Of two equally frequent classes, the log-odds x of one opinion: P(1) = 1 / (1 + exp(−w x))."""
    rng = np.random.default_rng(6)
    score = rng.normal(0, 2, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-1.7 * score))).astype(int)
    opinion = log_softmax(np.stack([np.zeros(4000), score], axis=1), axis=1).astype(np.float32)
    weights = fit_weights([opinion], np.log([0.5, 0.5]), labels, noise=0.0)
    model = LogisticRegression(C=1.0, fit_intercept=False).fit(score[:, None], labels)
    assert weights[0] == pytest.approx(model.coef_[0, 0], rel=0.01)


def test_wrong_labels_do_not_make_good_evidence_weak() -> None:
    """With a tenth of the labels at random the weight stays near the true one where noise is allowed for."""
    rng = np.random.default_rng(7)
    score = rng.normal(0, 3, 8000)
    labels = (rng.random(8000) < 1 / (1 + np.exp(-2 * score))).astype(int)
    labels = np.where(rng.random(8000) < 0.1, rng.integers(0, 2, 8000), labels)
    opinion = np.stack([np.zeros(8000), score], axis=1).astype(np.float32)
    blind, aware = (fit_weights([opinion], np.log([0.5, 0.5]), labels, n)[0] for n in (0.0, 0.1))
    assert aware == pytest.approx(2, rel=0.15) and blind < 0.6 * aware


def test_verified_labels_are_certain_when_the_weights_are_fitted_and_no_estimate_counts_them() -> None:
    evidence, _, wrong = world(3000)
    # labels that were all verified leave no room for noise
    log_prior, opinions = np.log(evidence.prior), list(evidence.opinions.values())
    certain = pool_evidence(replace(evidence, verified=np.ones(3000, bool))).weights
    exact = fit_weights(opinions, log_prior, evidence.task.labels, 0.0)
    np.testing.assert_allclose(list(certain.values()), exact[:-1], rtol=1e-3)
    # with the wrong ones among them verified, evidence against them weighs less
    doubted = pool_evidence(evidence).weights
    believed = pool_evidence(replace(evidence, verified=wrong)).weights
    assert all(believed[source] < doubted[source] for source in doubted)
    estimate = label_rules.estimated_errors(evidence, evidence.task.probabilities)
    half = replace(evidence, verified=np.arange(3000) % 2 == 0)
    left = label_rules.estimated_errors(half, half.task.probabilities)
    other = replace(evidence, verified=np.arange(3000) % 2 == 1)
    assert 0 < left < estimate
    assert left + label_rules.estimated_errors(other, other.task.probabilities) == estimate


def test_a_source_that_knows_nothing_gets_no_weight_and_one_that_is_missing_is_left_out() -> None:
    evidence, _, _ = world(5000)
    noise = np.random.default_rng(8).normal(size=(5000, 3)).astype(np.float32)
    weights = pool_opinions(evidence, evidence.opinions | {"noise": noise}).weights
    # its standard error is 0.07, and the others' weights are above 1
    assert weights.pop("noise") < 0.2 and min(weights.values()) > 1 and len(weights) == 5
    alone = pool_evidence(TaskEvidence.of_predictions(evidence.task))
    assert set(alone.weights) == {"network"}
    np.testing.assert_allclose(np.exp(alone.log_probabilities).sum(axis=1), 1, rtol=1e-5)


def test_the_mean_rank_of_a_hand_worked_case() -> None:
    made = rank_average([np.array([0.1, 0.3, 0.2, np.nan]), np.array([5.0, np.nan, 9.0, np.nan])])
    assert made == pytest.approx([(1 / 3 + 1 / 2) / 2, 1, (2 / 3 + 1) / 2, np.nan], nan_ok=True)


def test_the_reasons_name_the_evidence_and_the_near_duplicate() -> None:
    evidence, true, wrong = world()
    groups = np.arange(900)
    row = int(np.flatnonzero(wrong & (evidence.others["artist"].values // 4 == true))[0])
    twin = int(np.flatnonzero(~wrong & (true == true[row]))[0])
    groups[twin] = groups[row]
    evidence = replace(evidence, shared=SharedEvidence(evidence.shared.embedding, groups))
    pool = pool_evidence(evidence)
    words = "; ".join(reasons_of_pool(evidence, pool, row))
    given, other = (NAMES[k].replace("_", " ") for k in (evidence.task.labels[row], true[row]))
    assert words.startswith(
        f"the evidence favours {other} over {given}; a near-duplicate of it is filed under {other}"
    )
    like = (evidence.others["artist"].values == evidence.others["artist"].values[row]) & (
        groups != groups[row]
    )
    counts = np.bincount(evidence.task.labels[like], minlength=3)
    artist = f"painter-{evidence.others['artist'].values[row]}"
    own = counts[evidence.task.labels[row]]
    have = f"{own} {'is' if own == 1 else 'are'}" if own else "none is"
    assert f"of {like.sum()} other works by {artist} {have} {given}, {counts[true[row]]} {other}" in words
    assert "works most like it" in words


def test_rules_say_which_evidence_they_lack() -> None:
    task = TaskPredictions(NAMES, np.array([0, 0], np.int32), np.full((2, 3), 1 / 3, np.float32))
    with pytest.raises(DataError, match="no second opinion"):
        label_rules.second_opinion(TaskEvidence.of_predictions(task))
    with pytest.raises(DataError, match="no embedding, which the rule neighbours needs"):
        label_rules.neighbours(TaskEvidence.of_predictions(task))
    assert np.isnan(label_rules.cross_task(TaskEvidence.of_predictions(task)).score).all()
