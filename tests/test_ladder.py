"""The ladder and the ablation: every rung is a recipe, and their tables say what scikit-learn says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from benchmarks.experiments import ablation, ladder
from morelli.recipe import load


def test_every_rung_is_a_recipe_of_its_own() -> None:
    for rungs in (ladder.RUNGS, ablation.CHANGES):
        made = [load("morelli", changes).model_dump_json() for changes in rungs.values()]
        assert len(set(made)) == len(rungs)
        assert load("morelli").model_dump_json() in made


def test_scores_are_means_over_the_seeds() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=400)
    answers = np.where(rng.random((3, 400)) < [[0.5], [0.7], [0.6]], labels, rng.integers(5, size=(3, 400)))
    accuracy, f1 = ladder.scores(labels, answers)
    assert accuracy == pytest.approx(100 * np.mean([accuracy_score(labels, each) for each in answers]))
    assert f1 == pytest.approx(100 * np.mean([f1_score(labels, each, average="macro") for each in answers]))


def test_an_interval_of_differences_is_paired() -> None:
    """A rung that is wrong on 40 of 400 works more differs by ten points, and by what the draw of those 40 gives."""
    labels = np.arange(400) % 4
    own = np.stack([np.where(np.arange(400) < 100, (labels + 1) % 4, labels)] * 2)
    other = own.copy()
    other[:, 200:240] = (labels[200:240] + 1) % 4
    low, high = ladder.drawn((labels, other), (labels, own))
    half = 196 * np.sqrt(0.1 * 0.9 / 400)
    assert (low[0], high[0]) == pytest.approx((10 - half, 10 + half), abs=0.5)
    assert ladder.difference((labels, other), (labels, own)).startswith("+10.0 (+")
    with pytest.raises(SystemExit, match="different collections"):
        ladder.difference((labels[1:], other[:, 1:]), (labels, own))
