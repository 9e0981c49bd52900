"""Cross-fitting: no work is read by a network that learned from it; what is made is reused, and resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from tiny import painted_collection, recipe_file

from morelli import recipe as recipes
from morelli.collection.collection import Collection
from morelli.errors import RunError, StoppedError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.jobs import crossfit as job
from morelli.jobs.audit import audit
from morelli.jobs.crossfit import crossfit
from morelli.jobs.train import train
from morelli.training import crossfit as fitting

pytestmark = pytest.mark.slow  # of the fixture that all share

TASKS = ("artist", "style", "genre")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("run")
    data = painted_collection(here, works=120)
    train(recipe_file(here), data, here / "run", ["phases.0.epochs=2"])
    return here / "run"


@pytest.fixture(scope="module")
def made(run: Path) -> job.CrossFit:
    return crossfit(run, folds=3, epochs=2)


def tables(groups: np.ndarray, labels: np.ndarray) -> Collection:
    table = pd.DataFrame(dict(zip(TASKS, labels.T, strict=True)) | {"group": groups, "split": "train"})
    return Collection(Path("c"), table, {"vocabularies": {}})


def test_folds_keep_near_duplicates_together_and_share_out_every_class() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 6, (600, 3))
    groups = np.where(rng.random(600) < 0.2, rng.integers(0, 40, 600), 100 + np.arange(600))
    collection = tables(groups, labels)
    parts = fitting.fold_parts(collection, 5, seed=1)
    assert set(parts) == set(range(10))
    assert pd.Series(parts).groupby(groups).nunique().max() == 1
    for task in range(3):
        for k in range(6):
            share = np.bincount(parts[labels[:, task] == k] // 2, minlength=5) / (labels[:, task] == k).sum()
            assert abs(share - 0.2).max() < 0.09
    np.testing.assert_array_equal(parts, fitting.fold_parts(collection, 5, seed=1))
    assert (parts != fitting.fold_parts(collection, 5, seed=2)).any()


def test_every_work_is_held_out_once_and_never_beside_the_training_of_its_fold() -> None:
    groups, labels = np.arange(100), np.random.default_rng(0).integers(0, 3, (100, 3))
    collection = tables(groups, labels)
    parts = fitting.fold_parts(collection, 4, seed=0)
    splits = np.stack([fitting.fold_collection(collection, parts, k).table["split"] for k in range(4)])
    assert ((splits == "test").sum(axis=0) == 1).all()
    for name, share in (("test", 0.25), ("val", 0.125), ("train", 0.625)):
        assert (abs((splits == name).mean(axis=1) - share) < 0.03).all()
    assert set(collection.table["split"]) == {"train"}


@pytest.mark.parametrize("width", [8, 90])
def test_principal_components_are_those_of_the_covariance_and_half_whitened(width: int) -> None:
    """With fewer works than numbers of each (40 < 90) as with more."""
    rng = np.random.default_rng(0)
    statistics = (rng.normal(size=(40, width)) * rng.uniform(0.5, 3, width)).astype(np.float32)
    components = fitting.principal(statistics, 5).astype(np.float64)
    spread = np.cov(components.T, bias=True)
    variances = np.linalg.eigvalsh(np.cov(statistics.T.astype(np.float64), bias=True))[::-1][:5]
    np.testing.assert_allclose(spread, np.diag(np.sqrt(variances)), atol=1e-4)


def test_the_recipe_of_a_fold_is_one_frozen_phase_without_augmentation(tmp_path: Path) -> None:
    file = recipe_file(
        tmp_path,
        phases=[
            {"epochs": 5, "lr": 0.02},
            {
                "epochs": 9,
                "lr": 1.0,
                "train": "all",
                "augment": {"flip": True},
            },  # not mixed, for the contrastive loss
        ],
        augment={"flip": True, "mixup": 0.2, "views": 3},
        sampler={"balance": ["genre", "style"], "power": 0.5},
        contrastive={"tasks": ["genre"]},
        heads={"genre": {"kind": "mlp", "widths": [8]}, "style": {"kind": "mlp", "widths": [4]}},
        losses={"genre": {"smoothing": 0.1}, "default": {"smoothing": 0.2}},
        task_weights={"genre": 2.0, "artist": 0.5},
    )
    recipe = recipes.load(file)
    made = fitting.fold_recipe(recipe, None, ["style", "artist"])
    assert [(p.epochs, p.train, p.lr) for p in made.phases] == [(6, "none", 0.02)]
    assert made.augment == recipes.Augment() and made.contrastive is None
    assert made.tasks == ["artist", "style"] and made.sampler.balance == ["style"]
    assert (
        set(made.heads) == {"style"}
        and set(made.losses) == {"default"}
        and made.task_weights == {"artist": 0.5}
    )
    assert fitting.fold_recipe(recipe, 9).phases[0].epochs == 9
    assert fitting.fold_recipe(recipe, None, ["artist"]).sampler == recipes.Sampler()
    assert fitting.fold_recipe(recipe, None).contrastive == recipe.contrastive
    assert made.neck == recipe.neck and made.backbones == recipe.backbones
    for tasks in (["style", "artist"], ["artist"], None):
        recipes.parse(fitting.fold_recipe(recipe, None, tasks).model_dump(mode="json"), "fold")


def test_the_embedding_is_scikit_learns_principal_components_half_whitened() -> None:
    rng = np.random.default_rng(0)
    statistics = rng.normal(size=(300, 8)) * np.arange(1, 9)
    statistics -= statistics.mean(axis=0)
    made = fitting.principal(statistics.astype(np.float32), 5)
    model = PCA(5).fit(statistics)
    deviation = np.sqrt(model.explained_variance_ * 299 / 300)
    truth = model.transform(statistics) / np.sqrt(deviation)
    np.testing.assert_allclose(abs(made), abs(truth), rtol=1e-2, atol=1e-2)
    flat = np.concatenate([statistics, statistics[:, :1], np.zeros((300, 1))], axis=1).astype(np.float32)
    assert fitting.principal(flat, 256).shape == (300, 8)


def test_the_second_opinion_has_not_learned_from_what_it_judges() -> None:
    """Labels that nothing tells apart: what had seen them could say them, what had not cannot."""
    rng = np.random.default_rng(0)
    statistics = rng.normal(size=(400, 300)).astype(np.float32)
    noise, real = rng.integers(0, 4, 400), (statistics[:, 0] > 0).astype(int)
    real[:50] = -1
    fold = rng.integers(0, 4, 400)
    made = fitting.second_opinion(
        statistics, {"genre": noise, "style": real}, {"genre": 4, "style": 2}, fold, 0
    )
    assert abs((made["genre"].argmax(axis=1) == noise).mean() - 0.25) < 0.08
    strong = statistics.copy()
    strong[:, 0] *= 30
    seen = fitting.second_opinion(strong, {"style": real}, {"style": 2}, fold, 0)["style"]
    assert (seen.argmax(axis=1) == (statistics[:, 0] > 0))[real >= 0].mean() > 0.9
    for odds in (*made.values(), seen):
        np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=1e-5)


def test_every_work_has_probabilities_and_an_embedding_that_knows_no_label(
    run: Path, made: job.CrossFit
) -> None:
    collection = made.collection
    predictions = predictions_file.read(run / "predictions-crossfit.parquet")
    assert predictions.ids == list(collection.table["id"]) and list(predictions.tasks) == list(TASKS)
    for name, task in predictions.tasks.items():
        np.testing.assert_array_equal(task.labels, collection.labels(name))
        np.testing.assert_allclose(task.probabilities.sum(axis=1), 1, rtol=1e-4)
        np.testing.assert_array_equal(task.probabilities, made.predictions.tasks[name].probabilities)
    assert predictions.embedding is not None and predictions.embedding.shape[1] <= 256
    facts = json.loads((run / "predictions-crossfit.json").read_text())
    assert (facts["folds"], facts["epochs"], facts["tasks"]) == (3, 2, list(TASKS))
    assert not (run / "audit" / "crossfit").exists()


def test_what_was_made_is_reused_until_a_setting_or_the_model_changes(
    run: Path, made: job.CrossFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(job, "fit_all", never)
    for options in ({}, {"folds": 3}, {"epochs": 2}, {"folds": 3, "epochs": 2}):
        again = crossfit(run, **options)
        assert again.predictions.ids == made.predictions.ids and again.facts == made.facts
    for options in ({"folds": 4}, {"epochs": 1}):
        with pytest.raises(AssertionError, match="made again"):
            crossfit(run, **options)
    weights = run / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before.replace(b'"morelli":', b'"morella":', 1))
    with pytest.raises(AssertionError, match="made again"):
        crossfit(run)
    weights.write_bytes(before)


def test_an_interrupted_call_goes_on_with_the_fold_where_it_stopped(
    run: Path, made: job.CrossFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(
        shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("predictions-*", "audit"))
    )
    whole, fitted = fitting.fit_fold, []

    def stops(model, collection, recipe, fold, *rest):  # type: ignore[no-untyped-def]
        fitted.append(fold)
        if fitted == [0, 1]:
            raise KeyboardInterrupt
        return whole(model, collection, recipe, fold, *rest)

    monkeypatch.setattr(fitting, "fit_fold", stops)
    with pytest.raises(StoppedError, match="nothing is lost, go on with: morelli audit"):
        crossfit(other, folds=3, epochs=2)
    again = crossfit(other, folds=3, epochs=2)
    assert fitted == [0, 1, 1, 2]
    for name, task in again.predictions.tasks.items():
        np.testing.assert_allclose(task.probabilities, made.predictions.tasks[name].probabilities, atol=1e-5)
    np.testing.assert_array_equal(again.predictions.embedding, made.predictions.embedding)


def test_the_audit_judges_training_works_too_and_both_questions_apart(run: Path, made: job.CrossFit) -> None:
    summary = audit(run, top=4)
    folder = summary.folder
    assert (summary.rule, summary.split, folder.name) == ("combined", "all", "combined-all")
    scores = pd.read_parquet(folder / "scores.parquet")
    assert set(scores["id"]) == set(made.predictions.ids)
    page = (folder / "index.html").read_text()
    assert page.index("Is this label wrong?") < page.index("Is this work unlike the others?")
    assert "had not learned from it" in page and "too mildly" not in page
    unlike = pd.read_csv(folder / "unlike.csv")
    assert (unlike.groupby("task").size() == 4).all() and "correct_label" not in unlike
    candidates = pd.read_csv(folder / "candidates.csv")
    assert {"suggested", "reason", "correct_label"} <= set(candidates)
    assert (candidates["suggested"] != candidates["given"]).all()
    assert candidates["reason"].str.startswith("the evidence favours ").all()
    assert summary["style"].flagged == (candidates["task"] == "style").sum()
    assert (folder / "unlike_style.jpg").exists() and (folder / "gallery_style.jpg").exists()


def test_a_split_shows_its_works_as_the_whole_audit_judges_them(run: Path, made: job.CrossFit) -> None:
    whole = pd.read_parquet(audit(run, "margin", tasks=["style"]).folder / "scores.parquet")
    test = pd.read_parquet(audit(run, "margin", "test", tasks=["style"]).folder / "scores.parquet")
    ids = made.collection.table["id"][made.collection.table["split"] == "test"]
    assert list(test["id"]) == list(ids) and test["score"].notna().any()
    np.testing.assert_array_equal(test["score"], whole.set_index("id").loc[ids, "score"])
    # a system's rule judges what was not evaluated by the same predictions
    entropy = pd.read_parquet(audit(run, "entropy", "train", tasks=["style"]).folder / "scores.parquet")
    assert len(entropy) == (made.collection.table["split"] == "train").sum()


def test_what_cannot_be_cross_fitted_is_said_in_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folds 1: must be from 2 to 50"):
        crossfit(run, folds=1)
    with pytest.raises(UsageError, match="--epochs 0: must be at least 1"):
        audit(run, epochs=0)
    other = Path(shutil.copytree(run, tmp_path / "run"))
    (other / "collection.txt").write_text("/nowhere/at/all\n")
    with pytest.raises(RunError, match=r"collection\.txt: names /nowhere/at/all, where no collection is now"):
        audit(other)
