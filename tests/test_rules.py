"""Outlier rules against scipy, scikit-learn, pandas and hand-worked cases; what every rule must keep to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_distances

from morelli.errors import DataError, UsageError
from morelli.evaluation.audit.evidence import Column, SharedEvidence, TaskEvidence
from morelli.evaluation.audit.rules import RULES, Rule, parse_rule
from morelli.evaluation.audit.uncertainty import entropy, given_probability, normalised_entropy, per_class
from morelli.evaluation.predictions import TaskPredictions

LABEL_FREE = ("entropy", "max-softmax<0.6", "energy")
LABEL_RULES = tuple(name for name, rule in RULES.items() if rule.question == "label")


def planted(
    works: int = 600, classes: int = 6, seed: int = 0
) -> tuple[TaskPredictions, np.ndarray, np.ndarray]:
    """Predictions that read most works rightly, an embedding of the true class, and which labels were made wrong;
    the last 20 works have no label."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, works)
    scores = rng.normal(size=(works, classes))
    scores[np.arange(works), true] += 3.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    embedding = np.eye(classes, 8)[true] + 0.4 * rng.normal(size=(works, 8)) + 0.2
    labels, wrong = true.copy(), np.zeros(works, dtype=bool)
    wrong[rng.choice(works - 20, 30, replace=False)] = True
    labels[wrong] = (labels[wrong] + rng.integers(1, classes, 30)) % classes
    labels[-20:] = -1
    names = [f"c{k}" for k in range(classes)]
    task = TaskPredictions(names, labels.astype(np.int32), probabilities.astype(np.float32))
    return task, embedding.astype(np.float32), wrong


def evidence_of(task: TaskPredictions, embedding: np.ndarray) -> TaskEvidence:
    """With a second opinion, and an artist who nearly always works in one class."""
    rng = np.random.default_rng(1)
    works = len(task.labels)
    true = task.predicted
    scores = rng.normal(size=task.probabilities.shape) + 3 * np.eye(len(task.names))[true]
    second = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    artist = np.where(rng.random(works) < 0.97, true, rng.integers(0, len(task.names), works))
    others = {"artist": Column(artist.astype(np.int64), [f"a{k}" for k in range(len(task.names))])}
    return TaskEvidence("style", task, SharedEvidence(embedding, np.arange(works)), second, others)


def of(labels: list[int], probabilities: list[list[float]]) -> TaskPredictions:
    names = [f"c{k}" for k in range(len(probabilities[0]))]
    return TaskPredictions(names, np.array(labels, np.int32), np.array(probabilities, np.float32))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_scores_flags_and_leaves_its_input_alone(rule: Rule) -> None:
    task, embedding, _ = planted()
    evidence = evidence_of(task, embedding)
    assert evidence.second_opinion is not None
    for array in (task.labels, task.probabilities, embedding, evidence.second_opinion):
        array.flags.writeable = False
    output = rule.judge(evidence, top=25)
    assert output.score.shape == output.flagged.shape == (600,)
    assert output.score.dtype == np.float64 and output.flagged.dtype == bool
    judged = ~np.isnan(output.score)
    assert 0 < output.flagged.sum() < judged.sum()
    assert not output.flagged[~judged].any()
    # higher is more suspicious: what is flagged stands above all that is not
    assert output.score[output.flagged].min() >= output.score[judged & ~output.flagged].max()


@pytest.mark.parametrize("name", [*LABEL_RULES, "centroid"])
def test_rules_that_read_the_label_rank_planted_wrong_labels_far_above_chance(name: str) -> None:
    task, embedding, wrong = planted()
    score = RULES[name].judge(evidence_of(task, embedding)).score
    assert roc_auc_score(wrong[task.known], score[task.known]) > 0.9
    assert np.isnan(score[~task.known]).all() and not np.isnan(score[task.known]).any()


@pytest.mark.parametrize("name", LABEL_FREE)
def test_rules_that_need_no_label_do_not_look_at_it(name: str) -> None:
    task, _, _ = planted()
    blind = TaskPredictions(task.names, np.full_like(task.labels, -1), task.probabilities)
    seen, unseen = RULES[name].judge_predictions(task), RULES[name].judge_predictions(blind)
    np.testing.assert_array_equal(seen.score, unseen.score)
    np.testing.assert_array_equal(seen.flagged, unseen.flagged)
    assert not np.isnan(seen.score).any()


def test_the_entropy_is_scipys_divided_by_that_of_even_odds() -> None:
    task, _, _ = planted()
    truth = scipy_entropy(task.probabilities.astype(np.float64), axis=1)
    np.testing.assert_allclose(entropy(task.probabilities), truth, atol=1e-6)
    score = RULES["entropy"].judge_predictions(task).score
    np.testing.assert_allclose(score, truth / np.log(6), atol=1e-6)


def test_the_entropy_of_certainty_is_nothing_of_even_odds_one_and_of_one_class_nothing() -> None:
    odds = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    assert normalised_entropy(odds) == pytest.approx([0, 1])
    assert list(normalised_entropy(np.ones((2, 1), np.float32))) == [0, 0]
    assert list(entropy(np.array([[1.005, 0]], np.float32))) == [0]


def test_a_rule_without_a_threshold_flags_the_highest_and_of_equals_the_first() -> None:
    task = of([0] * 5, [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.6, 0.4], [0.6, 0.4]])
    flagged = {top: RULES["entropy"].judge_predictions(task, top=top).flagged for top in (1, 3, 99)}
    assert list(np.flatnonzero(flagged[1])) == [2]
    assert list(np.flatnonzero(flagged[3])) == [1, 2, 3]
    assert flagged[99].all()


def test_the_given_label_is_flagged_strictly_below_the_threshold() -> None:
    task = of([0, 0, 1, -1], [[0.3, 0.7], [0.29, 0.71], [0.8, 0.2], [0.1, 0.9]])
    output = RULES["given-label<0.3"].judge_predictions(task)
    assert output.score[:3] == pytest.approx([0.7, 0.71, 0.8]) and np.isnan(output.score[3])
    assert list(output.flagged) == [False, True, True, False]
    # 0.7 as a float32 is a little less than 0.7, and yet not below it
    assert not parse_rule("given-label<0.7").judge_predictions(of([1], [[0.3, 0.7]])).flagged.any()
    assert list(parse_rule("given-label<0.25").judge_predictions(task).flagged) == [False, False, True, False]


def test_the_highest_probability_is_flagged_strictly_below_the_threshold() -> None:
    task = of([0, -1, 0], [[0.6, 0.4], [0.45, 0.55], [0.1, 0.9]])
    output = RULES["max-softmax<0.6"].judge_predictions(task)
    assert output.score == pytest.approx([0.4, 0.45, 0.1])
    assert list(output.flagged) == [False, True, False]


def test_wrong_and_unsure_needs_both() -> None:
    rows = [[0.45, 0.3, 0.25], [0.45, 0.3, 0.25], [0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]]
    output = RULES["wrong-and-unsure<0.5"].judge_predictions(of([1, 0, 1, 1, -1], rows))
    assert output.score[:4] == pytest.approx([0.55, 0, 0.1, 0.5]) and np.isnan(output.score[4])
    assert list(output.flagged) == [True, False, False, False, False]


def test_the_centroid_leaves_the_work_itself_out() -> None:
    task, embedding, _ = planted(works=80, classes=4)
    score = RULES["centroid"].judge_predictions(task, embedding).score
    for row in np.flatnonzero(task.known):
        others = (task.labels == task.labels[row]) & (np.arange(80) != row)
        mean = embedding[others].astype(np.float64).mean(axis=0)
        assert score[row] == pytest.approx(cosine_distances(embedding[[row]], mean[None])[0, 0], abs=1e-6)


def test_a_class_of_one_work_has_no_centroid_and_a_zero_vector_is_at_distance_one() -> None:
    task = of([0, 1, 1, 1, -1], [[0.5, 0.5]] * 5)
    embedding = np.array([[1, 0], [0, 1], [0, 2], [0, 0], [1, 1]], np.float32)
    output = RULES["centroid"].judge_predictions(task, embedding, top=5)
    assert output.score == pytest.approx([np.nan, 0, 0, 1, np.nan], nan_ok=True)
    assert list(output.flagged) == [False, True, True, True, False]


def test_the_centroid_says_what_is_wrong_with_the_embedding() -> None:
    task = of([0, 0], [[0.5, 0.5]] * 2)
    with pytest.raises(DataError, match="no embedding, which the rule centroid needs"):
        RULES["centroid"].judge_predictions(task)
    with pytest.raises(DataError, match="not a number"):
        RULES["centroid"].judge_predictions(task, np.array([[np.nan, 0], [1, 0]], np.float32))


def test_a_rule_is_found_by_its_name_with_or_without_a_threshold() -> None:
    for name, rule in RULES.items():
        assert parse_rule(name) == parse_rule(rule.kind) == rule and rule.name == name
        words = rule.text.format(threshold=0.123)
        assert ("0.123" in words) == (rule.threshold is not None) and rule.source
    assert parse_rule("max-softmax<0.75").name == "max-softmax<0.75"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("entrpy", "did you mean entropy?"),
        ("Given_Label<0.2", "did you mean given-label<0.3?"),
        ("xyz", "no such rule; the rules are"),
        ("", "no such rule"),
        ("entropy<0.5", "entropy takes no threshold"),
        ("given-label<", "a number between 0 and 1, as in given-label<0.3"),
        ("given-label<1", "a number between 0 and 1"),
        ("given-label<0", "a number between 0 and 1"),
        ("given-label<nan", "a number between 0 and 1"),
        ("max-softmax<half", "a number between 0 and 1, as in max-softmax<0.6"),
    ],
)
def test_a_rule_that_does_not_exist_is_refused_with_the_list_of_those_that_do(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rule(text)
    message = str(caught.value)
    assert message.startswith(f"--rule {text}:") and said in message
    assert all(name in message for name in RULES)


def test_the_table_by_class_is_that_of_pandas() -> None:
    task, _, _ = planted()
    flagged = RULES["given-label<0.3"].judge_predictions(task).flagged
    works = pd.DataFrame({"label": task.labels, "answer": task.predicted, "flagged": flagged})
    works["confidence"] = task.confidence
    works["entropy"] = scipy_entropy(task.probabilities.astype(np.float64), axis=1)
    works["p_given"] = [p[max(k, 0)] for p, k in zip(task.probabilities, task.labels, strict=True)]
    works["error_rate"] = works["label"] != works["answer"]
    works = works[works["label"] >= 0]
    works["class"] = [f"c{k}" for k in works["label"]]
    truth = works.groupby("class").agg(
        works=("label", "size"), error_rate=("error_rate", "mean"), entropy=("entropy", "mean"),
        confidence=("confidence", "mean"), p_given=("p_given", "mean"), flagged=("flagged", "sum"),
    )  # fmt: skip
    truth.insert(3, "entropy_normalised", truth["entropy"] / np.log(6))
    truth = truth.reset_index().sort_values(["error_rate", "class"], ascending=[False, True])
    made = per_class(task, flagged)
    pd.testing.assert_frame_equal(made, truth.reset_index(drop=True), check_dtype=False, atol=1e-5, rtol=1e-5)
    assert made["works"].sum() == 580 and len(made) == 6


def test_the_table_by_class_of_a_hand_worked_case() -> None:
    rows = [[0.8, 0.2, 0], [0.4, 0.6, 0], [0.5, 0.5, 0], [0.1, 0.9, 0], [0, 0, 1]]
    task = of([1, 1, 0, -1, 0], rows)
    table = per_class(task, np.array([True, False, False, True, False]))
    # c1: one of two answered otherwise; c0: works 2 (a tie, answered c0) and 4 (answered c2); c2 has no work
    assert list(table["class"]) == ["c0", "c1"] and list(table["error_rate"]) == [0.5, 0.5]
    assert list(table["works"]) == [2, 2] and list(table["flagged"]) == [0, 1]
    assert list(table["confidence"]) == pytest.approx([0.75, 0.7])
    assert list(table["p_given"]) == pytest.approx([0.25, 0.4])
    assert table["entropy"][0] == pytest.approx(np.log(2) / 2)
    assert table["entropy_normalised"][0] == pytest.approx(np.log(2) / 2 / np.log(3))
    assert given_probability(task) == pytest.approx([0.2, 0.6, 0.5, np.nan, 0], nan_ok=True)


def test_without_a_known_label_the_table_by_class_is_empty_and_only_label_free_rules_judge() -> None:
    task = of([-1, -1], [[0.5, 0.5], [0.9, 0.1]])
    for name, rule in RULES.items():
        evidence = evidence_of(task, np.ones((2, 3), np.float32))
        output = rule.judge(evidence)
        assert np.isnan(output.score).all() == (name not in LABEL_FREE)
        table = per_class(task, output.flagged)
        assert table.empty and "error_rate" in table.columns


def test_only_works_among_those_asked_for_are_flagged_and_as_many() -> None:
    task, embedding, _ = planted()
    evidence, among = evidence_of(task, embedding), np.arange(600) % 3 == 0
    for rule in RULES.values():
        everything, some = rule.judge(evidence), rule.judge(evidence, among=among)
        np.testing.assert_array_equal(some.score[among], everything.score[among])
        assert np.isnan(some.score[~among]).all() and not some.flagged[~among].any()
        if everything.selected is None:
            assert some.flagged.sum() == 25
        else:
            np.testing.assert_array_equal(some.flagged, everything.flagged & among)


def test_a_verified_label_is_never_suspected_and_a_work_with_one_may_still_be_unlike_the_others() -> None:
    task, embedding, wrong = planted()
    open_to_all = evidence_of(task, embedding)
    verified = wrong & (np.arange(600) % 2 == 0)
    evidence = replace(open_to_all, verified=verified)
    assert verified.sum() > 10
    for rule in RULES.values():
        before, after = rule.judge(open_to_all), rule.judge(evidence)
        if rule.question == "work":
            np.testing.assert_array_equal(after.score, before.score)
            assert after.counts() == before.counts() and after.counts()["verified"] == 0
            continue
        assert before.flagged[verified].any()
        assert np.isnan(after.score[verified]).all() and not after.flagged[verified].any()
        np.testing.assert_array_equal(np.isnan(after.score[~verified]), np.isnan(before.score[~verified]))
        counts = after.counts()
        assert counts["verified"] == verified.sum()
        assert counts["judged"] == before.counts()["judged"] - verified.sum()
        assert counts["share"] == after.flagged.sum() / counts["judged"]
    some = RULES["margin"].judge(evidence, among=np.arange(600) < 300)
    assert some.verified == verified[:300].sum()


def test_each_rule_asks_one_of_the_two_questions_and_the_five_systems_need_no_cross_fitting() -> None:
    systems = {"entropy", "given-label", "max-softmax", "wrong-and-unsure", "centroid"}
    assert {rule.kind for rule in RULES.values() if not rule.cross_fit} == systems
    unlike = {"knn-distance", "relative-mahalanobis", "centre-distance", "energy"}
    assert {r.kind for r in RULES.values() if r.cross_fit and r.question == "work"} == unlike
