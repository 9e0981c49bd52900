"""Retrieval scores are scikit-learn's where it has them, hand-worked elsewhere, and unknown works never count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from morelli.errors import DataError
from morelli.evaluation.search import retrieval
from morelli.evaluation.search.retrieval import (
    Works,
    average_precision,
    local_scaling,
    precision_at_all_ranks,
    retrieve,
    split_works,
)
from morelli.report.figures.retrieval import retrieval_figure
from morelli.report.figures.style import png


def works_of(count: int, seed: int, classes: int = 4, first_group: int = 0, known: float = 1.0) -> Works:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    vectors = np.eye(classes, 12)[labels] + rng.normal(size=(count, 12))
    labels = np.where(rng.random(count) < known, labels, -1)
    return Works(vectors, {"style": labels}, np.arange(count) + first_group)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_QUERIES", 17)


def test_map_is_scikit_learns_average_precision_over_the_known_works() -> None:
    queries, database = works_of(50, 1, known=0.8), works_of(300, 2, first_group=1000, known=0.7)
    score = retrieve(queries, database)["tasks"]["style"]
    own, others = queries.labels["style"], database.labels["style"]
    similarity = cosine_similarity(queries.vectors, database.vectors)
    truth = [
        average_precision_score(others[others >= 0] == label, row[others >= 0])
        for label, row in zip(own, similarity, strict=True)
        if label >= 0
    ]
    assert score["n"] == len(truth) == (own >= 0).sum() < 50
    assert score["database"] == (others >= 0).sum() < 300
    assert score["map"] == pytest.approx(np.mean(truth), abs=1e-6)
    for label in range(4):
        mean = np.mean([ap for ap, known in zip(truth, own[own >= 0], strict=True) if known == label])
        assert score["per_class"][label]["map"] == pytest.approx(mean, abs=1e-6)
    assert score["relevant"] == np.median([(others == label).sum() for label in own if label >= 0])


# ranking: relevant, not, relevant, not, not; P = 1, 1/2, 2/3, 1/2, 2/5
HAND = {
    "map": (1 + 2 / 3) / 2,
    "map@1": 1.0,
    "map@5": (1 + 2 / 3) / 2,
    "all_ranks": (1 + 1 / 2 + 2 / 3 + 1 / 2 + 2 / 5) / 5,
    "all_ranks@1": 1.0,
    "r_precision": 1 / 2,
    "recall@1": 1.0,
    "precision@1": 1.0,
    "precision@5": 2 / 5,
    "precision@10": 2 / 10,
}


def ranking(relevant: list[bool]) -> tuple[Works, Works]:
    """One query and a database that lies around it in the order of ``relevant``."""
    angles = 0.1 * np.arange(1, len(relevant) + 1)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.where(relevant, 0, 1)
    query = Works(np.array([[2.0, 0.0]]), {"style": np.array([0])}, np.array([99]))
    return query, Works(vectors, {"style": labels}, np.arange(len(relevant)))


def test_a_hand_worked_ranking_has_its_hand_worked_figures() -> None:
    score = retrieve(*ranking([True, False, True, False, False]))["tasks"]["style"]
    assert {name: score[name] for name in HAND} == pytest.approx(HAND)
    late = retrieve(*ranking([False] * 6 + [True] + [False] * 4))["tasks"]["style"]
    assert [late[f"recall@{k}"] for k in (1, 5, 10)] == [0, 0, 1]
    assert [late["map"], late["map@5"], late["map@10"]] == pytest.approx([1 / 7, 0, 1 / 7])


def test_the_two_averages_of_precision_are_different_numbers_even_of_a_perfect_ranking() -> None:
    perfect = np.array([True, True, False, False])
    assert average_precision(perfect) == 1
    assert precision_at_all_ranks(perfect) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        relevant = rng.random(40) < 0.3
        assert average_precision(relevant) == pytest.approx(average_precision_score(relevant, -np.arange(40)))
        precisions = [relevant[: i + 1].mean() for i in range(40)]
        assert precision_at_all_ranks(relevant) == pytest.approx(np.mean(precisions))
        assert precision_at_all_ranks(relevant, 7) == pytest.approx(np.mean(precisions[:7]))
    assert np.isnan(average_precision(np.zeros(3, bool))) and np.isnan(
        precision_at_all_ranks(np.zeros(3, bool))
    )


def test_a_cut_below_the_relevant_works_is_perfect_where_all_before_it_are_relevant() -> None:
    assert average_precision(np.array([True, True, True, False]), 2) == 1
    assert average_precision(np.array([True, False, True, True]), 2) == pytest.approx(1 / 2)


def test_near_duplicates_of_the_query_are_not_found() -> None:
    query, database = ranking([True, False, True, False, False])
    found = retrieve(query, Works(database.vectors, database.labels, np.array([99, 1, 2, 3, 4])))
    score = found["tasks"]["style"]
    assert score["map"] == pytest.approx(1 / 2) and score["recall@1"] == 0
    alone = retrieve(query, Works(database.vectors, database.labels, np.array([99, 1, 99, 3, 4])))
    assert alone["tasks"]["style"]["n"] == 0, "the two relevant works are both near-duplicates"
    assert alone["tasks"]["style"]["map"] is None


def test_a_label_that_is_not_known_moves_no_work_in_the_ranking() -> None:
    query, database = ranking([True, False, False, True])
    unknown = Works(database.vectors, {"style": np.array([0, -1, 1, 0])}, database.groups)
    assert retrieve(query, unknown)["tasks"]["style"]["map"] == pytest.approx((1 + 2 / 3) / 2)
    nobody = Works(query.vectors, {"style": np.array([-1])}, query.groups)
    assert retrieve(nobody, unknown)["tasks"]["style"]["n"] == 0


def test_intervals_hold_the_figure_and_are_those_of_a_loop_of_resamplings() -> None:
    queries, database = works_of(80, 3), works_of(200, 4, first_group=1000)
    score = retrieve(queries, database, draws=4000)["tasks"]["style"]
    similarity = cosine_similarity(queries.vectors, database.vectors)
    values = [
        average_precision_score(database.labels["style"] == label, row)
        for label, row in zip(queries.labels["style"], similarity, strict=True)
    ]
    rng = np.random.default_rng(9)
    means = [rng.choice(values, len(values)).mean() for _ in range(4000)]
    low, high = score["map_ci95"]
    assert low < score["map"] < high
    assert [low, high] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=4e-3)


def test_local_scaling_is_its_formula_and_ranks_as_retrieve_does() -> None:
    queries, database = works_of(40, 5), works_of(90, 6, first_group=1000)
    cosine = cosine_similarity(queries.vectors, database.vectors)
    scaled = local_scaling(cosine, 7)
    for q, d in ((0, 0), (39, 89), (12, 40)):
        own = np.sort(cosine[q])[-7:].mean() + np.sort(cosine[:, d])[-7:].mean()
        assert scaled[q, d] == pytest.approx(2 * cosine[q, d] - own)
    truth = [
        average_precision_score(database.labels["style"] == label, row)
        for label, row in zip(queries.labels["style"], scaled, strict=True)
    ]
    score = retrieve(queries, database, csls=7)["tasks"]["style"]
    assert score["map"] == pytest.approx(np.mean(truth), abs=1e-6)


def test_hubness_is_the_skewness_of_occurrences_and_local_scaling_lowers_it() -> None:
    rng = np.random.default_rng(7)
    queries = rng.normal(size=(200, 60)) + 0.5
    database = rng.normal(size=(300, 60))
    database[:5] = 0.5 + 0.1 * rng.normal(size=(5, 60))  # near to the middle of all queries: hubs
    parts = (
        Works(queries, {"style": np.zeros(200, int)}, np.arange(200)),
        Works(database, {"style": np.zeros(300, int)}, np.arange(300) + 1000),
    )
    plain, scaled = (retrieve(*parts, csls=csls)["hubness"] for csls in (0, 10))
    nearest = np.argsort(-cosine_similarity(queries, database), axis=1)[:, :10]
    counts = np.bincount(nearest.ravel(), minlength=300)
    assert plain["skewness"] == pytest.approx(skew(counts))
    assert plain["largest"] == counts.max() and plain["never"] == pytest.approx((counts == 0).mean())
    assert scaled["skewness"] < plain["skewness"] and scaled["largest"] < plain["largest"]


def test_test_works_are_sought_among_training_and_validation_or_among_themselves() -> None:
    works = works_of(60, 8)
    splits = np.array(["train", "val", "test", "none"] * 15)
    queries, database = split_works(works, splits)
    np.testing.assert_array_equal(queries.vectors, works.vectors[2::4])
    np.testing.assert_array_equal(database.vectors, works.vectors[np.isin(splits, ["train", "val"])])
    queries, database = split_works(works, splits, rest_of_test=True)
    label = works.labels["style"][splits == "test"]
    alone = [(label == own).sum() == 1 for own in label]
    # a query never finds itself: its own group is left out
    assert retrieve(queries, database)["tasks"]["style"]["n"] == 15 - sum(alone)
    with pytest.raises(DataError, match="retrieval needs test works"):
        split_works(works, np.full(60, "train"))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 41, 129])
def test_the_figure_has_a_row_for_each_class_best_first_with_its_numbers(classes: int) -> None:
    values = np.random.default_rng(classes).permutation(classes) / classes
    per_class = {k: {"n": k + 1, "map": value, "recall@1": 1 - value} for k, value in enumerate(values)}
    score = {"n": 9, "map": 0.4, "map_ci95": [0.3, 0.5], "per_class": per_class}
    drawn = retrieval_figure(score, [f"Class {k}" for k in range(classes)], "style")
    assert png(drawn)[1:4] == b"PNG"
    rows = [label.get_text() for axes in drawn.axes for label in axes.get_yticklabels()]
    assert rows == [f"Class {k}" for k in np.argsort(-values)]
    texts = {text.get_text() for axes in drawn.axes for text in axes.texts}
    assert texts == {f"{v:.2f} · {1 - v:.2f}  ({k + 1:,d})" for k, v in enumerate(values)}
    empty = retrieval_figure({"n": 0, "map": None, "per_class": {}}, [], "style")
    assert [text.get_text() for text in empty.axes[0].texts] == ["no query has a work to find"]
