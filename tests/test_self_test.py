"""The self-test, with a simulated reader in place of the network: what it plants, measures, keeps and shows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import softmax

from morelli.collection.collection import Collection
from morelli.errors import UsageError
from morelli.evaluation.audit.label_noise import measures
from morelli.evaluation.audit.rules import RULES
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.jobs import self_test as job
from morelli.jobs.crossfit import CrossFit
from morelli.jobs.results.self_test import SelfTest
from morelli.jobs.self_test import ASIDE, PICTURES_ALONE, RANKS, self_test
from morelli.report.figures.self_test import self_test_figure

WORKS = 800
NAMES = {
    "artist": [f"painter-{k}" for k in range(12)],
    "style": ["Cubism", "Impressionism", "Post_Impressionism", "Rococo"],
}
SYSTEMS = {name for name, rule in RULES.items() if not rule.cross_fit}


def world() -> tuple[Collection, dict[str, np.ndarray], np.ndarray]:
    """A collection without images, the true labels, and an embedding of the style; each artist has one style."""
    rng = np.random.default_rng(0)
    artist = rng.integers(0, 12, WORKS)
    true = {"artist": artist, "style": artist // 3}
    works = pd.DataFrame({"id": [f"w{k}.jpg" for k in range(WORKS)], "file": "", "split": "train"})
    works = works.assign(
        **true, genre=-1, artist_name=[NAMES["artist"][k] for k in artist], group=range(WORKS)
    )
    info = {"vocabularies": NAMES | {"genre": []}, "images_fingerprint": "f"}
    embedding = np.eye(4, 10)[true["style"]] + 0.6 * rng.normal(size=(WORKS, 10))
    return Collection(Path("c"), works, info), true, embedding.astype(np.float32)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A run whose network reads three works of four rightly; counts the fits."""
    collection, true, embedding = world()
    fits: list[Collection] = []

    def read(noisy: Collection, tasks: list[str], seed: int) -> Predictions:
        rng = np.random.default_rng(seed)
        parts = {}
        for task in tasks:
            skill = 2.2 * np.eye(len(NAMES[task]))[true[task]]
            odds = softmax(rng.normal(size=skill.shape) + skill, axis=1).astype(np.float32)
            parts[task] = TaskPredictions(NAMES[task], noisy.labels(task), odds)
        ids = list(noisy.table["id"])
        return Predictions(ids, ids, parts, embedding)

    def fit_all(model: Any, noisy: Collection, folder: Path, facts: dict[str, Any], *_: Any) -> Any:
        fits.append(noisy)
        return read(noisy, facts["tasks"], 1), read(noisy, facts["tasks"], 2)

    def facts_of(model: Any, noisy: Collection, folds: int, epochs: int, tasks: list[str]) -> dict[str, Any]:
        return {"tasks": tasks, "folds": folds, "labels": int(noisy.labels("style") @ np.arange(WORKS))}

    both = ["artist", "style"]
    given = CrossFit(
        collection, read(collection, both, 1), read(collection, both, 2), {"folds": 3, "epochs": 2}
    )
    monkeypatch.setattr(job, "crossfit", lambda run: given)
    monkeypatch.setattr("morelli.prediction.model.load_model", lambda run: SimpleNamespace())
    monkeypatch.setattr(job, "fit_all", fit_all)
    monkeypatch.setattr(job, "facts_of", facts_of)
    monkeypatch.setattr(job, "pooled", lambda model, c: None)
    return {"run": tmp_path, "fits": fits, "true": true}


@pytest.mark.slow
def test_every_rule_is_measured_and_the_combination_is_ahead_of_every_system(made: dict[str, Any]) -> None:
    summary = self_test(made["run"], rates=(0.1,), tasks=["style"])
    assert json.loads(json.dumps(summary.to_dict())) == summary.to_dict()
    settings = summary.tasks["style"]["settings"]
    assert [(s["kind"], s["rate"], s["planted"]) for s in settings] == [
        ("symmetric", 0.1, 80),
        ("confusing", 0.1, 80),
    ]
    for setting in settings:
        rules = setting["rules"]
        assert set(rules) == {*RULES, RANKS, PICTURES_ALONE, ASIDE}
        best = rules["combined"]
        assert best["auroc"] > 0.95
        for name in SYSTEMS:
            assert best["auroc"] > rules[name]["auroc"] + 0.01
            assert best["average_precision"] > rules[name]["average_precision"] + 0.02
        assert 50 < setting["estimated"] < 160
    assert summary.tasks["style"]["given"]["labels"] == WORKS
    assert summary.tasks["style"]["given"]["estimated"] < 20


@pytest.mark.slow
def test_the_wrong_labels_are_those_that_were_planted_and_only_in_the_tasks_asked_for(
    made: dict[str, Any],
) -> None:
    self_test(made["run"], rates=(0.05,), kinds=("confusing",), tasks=["style"])
    (noisy,) = made["fits"]
    true, labels = made["true"], noisy.labels("style")
    wrong = labels != true["style"]
    assert wrong.sum() == 40
    # Impressionism and Post-Impressionism become one another
    swapped = np.isin(true["style"], [1, 2])
    assert (labels[wrong & swapped] == 3 - true["style"][wrong & swapped]).all()
    assert (noisy.labels("artist") == true["artist"]).all()
    self_test(made["run"], rates=(0.05,), kinds=("symmetric",), tasks=["artist"])
    noisy = made["fits"][-1]
    named = noisy.table["artist_name"].map(NAMES["artist"].index)
    assert (named == noisy.labels("artist")).all() and (named != true["artist"]).sum() == 40
    assert (noisy.labels("style") == true["style"]).all()


@pytest.mark.slow
def test_a_planted_artist_is_spelt_as_the_artists_other_works_are(
    made: dict[str, Any],
) -> None:
    given = job.crossfit(made["run"])
    spelt = [name.replace("painter-", "Painter ") for name in given.collection.table["artist_name"]]
    given.collection.table["artist_name"] = spelt
    self_test(made["run"], rates=(0.05,), kinds=("symmetric",), tasks=["artist"])
    (noisy,) = made["fits"]
    assert set(noisy.table["artist_name"]) == set(spelt)
    classes = [NAMES["artist"][k].replace("painter-", "Painter ") for k in noisy.labels("artist")]
    assert noisy.table["artist_name"].tolist() == classes


@pytest.mark.slow
def test_verified_labels_are_taken_as_right_and_hide_no_planted_error(made: dict[str, Any]) -> None:
    options: dict[str, Any] = {"rates": (0.1,), "kinds": ("confusing",), "tasks": ["style"]}
    given = job.crossfit(made["run"])
    labels = given.predictions.tasks["style"].labels
    labels[::25] = (labels[::25] + 1) % 4  # errors that were there before
    given.collection.table["style"] = labels
    unverified = self_test(made["run"], **options).tasks["style"]
    assert unverified["given"]["verified"] == 0 and unverified["given"]["estimated"] > 0
    before = unverified["settings"][0]["rules"]
    assert before[ASIDE]["average_precision"] != before["combined"]["average_precision"]

    given.collection.table["verified_style"] = True
    verified = self_test(made["run"], **options).tasks["style"]
    assert verified["given"]["verified"] == WORKS and verified["given"]["estimated"] == 0
    assert made["fits"][-1].table.columns.str.startswith("verified_").sum() == 0
    after = verified["settings"][0]["rules"]
    # with every label right as it was, there is nothing to leave aside; all else is as without
    assert after[ASIDE] == after["combined"]
    assert {**after, ASIDE: None} == {**before, ASIDE: None}


@pytest.mark.slow
def test_an_interrupted_self_test_does_not_do_again_what_is_done(made: dict[str, Any]) -> None:
    first = self_test(made["run"], rates=(0.1,), kinds=("symmetric",))
    assert len(made["fits"]) == 1 and set(first.tasks) == {"artist", "style"}
    again = self_test(made["run"], rates=(0.05, 0.1), kinds=("symmetric",))
    assert len(made["fits"]) == 2
    assert again.tasks["style"]["settings"][1] == first.tasks["style"]["settings"][0]
    self_test(made["run"], rates=(0.1,), kinds=("symmetric",), folds=7)
    assert len(made["fits"]) == 3


@pytest.mark.slow
def test_seeds_are_averaged_in_the_table_and_the_figure_opens(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    summary = self_test(made["run"], rates=(0.1,), kinds=("symmetric",), tasks=["style"], seeds=2)
    assert (
        len(made["fits"]) == 2 and (made["fits"][0].labels("style") != made["fits"][1].labels("style")).any()
    )
    rows = summary.table
    assert len(rows) == len(RULES) + 3
    each = [s["rules"]["combined"]["auroc"] for s in summary.tasks["style"]["settings"]]
    assert rows.set_index("rule").loc["combined", "auroc"] == pytest.approx(np.mean(each))
    folder = summary.folder
    saved = pd.read_csv(folder / "table.csv")
    pd.testing.assert_frame_equal(saved[list(rows)], rows, check_dtype=False, atol=1e-4)
    with Image.open(io.BytesIO(self_test_figure(rows))) as image:
        assert image.format == "PNG" and image.width > 600
    assert (folder / "self-test.png").stat().st_size > 10_000
    summary.show()
    shown = capsys.readouterr().err
    assert "Style: symmetric errors in 10% of the labels" in shown and "self-test.png" in shown


def test_where_a_rate_comes_to_no_work_the_figures_are_missing_and_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nothing = measures(np.zeros(5, bool), np.arange(5.0))
    found = measures(np.array([False] * 4 + [True]), np.arange(5.0))
    settings = [
        {"kind": "symmetric", "rate": rate, "seed": 0, "rules": {"entropy": figures}}
        for rate, figures in ((0.01, nothing), (0.2, found))
    ]
    given = {"labels": 5, "verified": 0, "estimated": 0, "two_labels": 0}
    for chosen in (settings, settings[:1]):
        summary = SelfTest(Path("x"), 2, 1, {"style": {"given": given, "settings": chosen}})
        assert summary.table["auroc"].dtype == np.float64
        summary.show()
        assert self_test_figure(summary.table)
    shown = capsys.readouterr().err
    assert "nan" not in shown.lower() and "–" in shown and "1.000" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rates": (0.6,)}, "rates: 0.6 must be above 0 and at most 0.5"),
        ({"rates": (0.0,)}, "rates: 0 must be above 0"),
        ({"kinds": ("odd",)}, "kinds: odd must be one of symmetric, confusing"),
        ({"tasks": ["genre"]}, "--task genre: not a task of this run; it has artist, style"),
        ({"seeds": 0}, "seeds: 0 must be at least 1"),
        ({"folds": 1}, "--folds 1: must be from 2 to 50"),
    ],
)
def test_a_wrong_call_is_refused_in_one_sentence(
    made: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        self_test(made["run"], **options)
    assert str(caught.value).startswith(said) and not made["fits"]
