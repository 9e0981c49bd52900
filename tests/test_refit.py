"""`training.refit`: what is learned again with the validation works, and what stays as validation gave it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_artist_prior import NECK
from tiny import painted_collection, recipe_file

from morelli.collection.collection import Collection
from morelli.errors import RecipeError, RunError, StoppedError
from morelli.evaluation.calibration.artist_prior import class_given_artist
from morelli.evaluation.predictions import read
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train
from morelli.recipe import parse

pytestmark = pytest.mark.slow  # of the fixture that all share

REFIT = ["training.refit=true"]
RECIPE: dict[str, Any] = {"neck": NECK | {"statistics": ["moments"]}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection ``c``; of one recipe a run as it is, ``plain``, and one with a refit, ``refitted``; both scored."""
    here = tmp_path_factory.mktemp("world")
    data, recipe = painted_collection(here), recipe_file(here, **RECIPE)
    for name, changes in {"plain": [], "refitted": REFIT}.items():
        train(recipe, data, here / name, changes)
        evaluate(here / name, page=False)
    return here


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=False)["state_dict"]


def take_last(run: Path, recipe: Path, data: Path) -> None:
    """Finishes a run again, with its last epoch for its best."""
    shutil.copy(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt")
    train(recipe, data, run, resume=True)


def test_a_refit_is_a_training_on_the_works_of_both_splits(world: Path, tmp_path: Path) -> None:
    """As if the validation works had been training works from the beginning, to the bit."""
    data = shutil.copytree(world / "c", tmp_path / "c")
    collection = Collection.open(data)
    split = collection.table["split"].replace({"val": "train", "test": "val"})
    collection.table.assign(split=split).to_parquet(data / "collection.parquet", index=False)
    train(world / "tiny.yaml", data, tmp_path / "r")
    expected = weights(tmp_path / "r" / "checkpoints" / "last.ckpt")
    made = weights(world / "refitted" / "refit" / "checkpoints" / "last.ckpt")
    assert expected.keys() == made.keys()
    assert all(torch.equal(made[name], expected[name]) for name in made)
    assert not (world / "refitted" / "refit" / "checkpoints" / "best.ckpt").exists()
    stored = load_file(world / "refitted" / "model.safetensors")
    assert all(torch.equal(stored[name], made[f"network.{name}"]) for name in stored)


def test_what_validation_gave_is_kept(world: Path, tmp_path: Path) -> None:
    """It is that of a plain run's last epoch, as long as the refit; a plain run itself takes its best."""
    plain = shutil.copytree(world / "plain", tmp_path / "plain")
    take_last(plain, world / "tiny.yaml", world / "c")
    evaluate(plain, page=False)
    told, kept = (json.loads((run / "model.json").read_text()) for run in (plain, world / "refitted"))
    assert kept["refit"] is True and "refit" not in told
    for fact in ("temperature", "shift", "conformal", "vocabularies"):
        assert kept[fact] == told[fact]
    before = read(plain / "predictions-val.parquet")
    found = read(world / "refitted" / "predictions-before-refit.parquet")
    assert found.ids == before.ids
    for task in found.tasks:
        assert np.array_equal(found.tasks[task].probabilities, before.tasks[task].probabilities)
    test = [read(run / "predictions-test.parquet").tasks["style"] for run in (plain, world / "refitted")]
    assert not np.allclose(test[0].probabilities, test[1].probabilities)


def test_validation_scores_are_those_of_works_that_had_not_been_learned(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(world / "refitted", tmp_path / "r")
    kept = run / "predictions-before-refit.parquet"
    first = evaluate(run, page=False)["style"].to_dict()
    assert first["conformal"] is not None and first["logit_adjusted"] is not None
    evaluate(run, "val", page=False)
    assert "answers of the network before its refit" in capsys.readouterr().err
    assert (run / "predictions-val.parquet").read_bytes() == kept.read_bytes()
    kept.write_bytes(kept.read_bytes()[:100])
    assert evaluate(run, page=False)["style"].details["logit_adjusted"] is None
    assert "tuned on the run's validation works are left out" in capsys.readouterr().err
    shutil.copy(run / "predictions-test.parquet", kept)
    assert evaluate(run, page=False)["style"].details["logit_adjusted"] is None
    with pytest.raises(RunError, match=r"before-refit\.parquet: missing, damaged or of other works"):
        evaluate(run, "val", page=False)


def test_the_artist_oracle_has_met_what_the_refit_learned(world: Path) -> None:
    """By hand: of each artist the most frequent style of his training and validation works."""
    table = Collection.open(world / "c").table
    seen = table[table["split"].isin(["train", "val"]) & (table["style"] >= 0)]
    most = seen.groupby("artist_name")["style"].agg(
        lambda styles: styles.value_counts().sort_index().idxmax()
    )
    test = table[(table["split"] == "test") & (table["style"] >= 0)]
    guessed = test["artist_name"].map(most).fillna(seen["style"].value_counts().idxmax())
    scores = json.loads((world / "refitted" / "scores-test.json").read_text())["tasks"]["style"]
    assert scores["baselines"]["artist_oracle"] == pytest.approx((guessed == test["style"]).mean())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_shots_count_the_works_that_the_refit_learned(
    elsewhere: bool, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: classes of few works are counted among training and validation works, on another collection too."""
    run = shutil.copytree(world / "refitted", tmp_path / "r")
    table = Collection.open(world / "c").table
    counts = {
        splits: table.loc[table["split"].isin(splits) & (table["style"] >= 0), "style"].value_counts()
        for splits in (("train",), ("train", "val"))
    }
    trained, learned = counts["train",], counts["train", "val"]
    few = int(
        learned[learned > trained.reindex(learned.index, fill_value=0)].iloc[0]
    )  # a class that validation lifts
    monkeypatch.setattr("morelli.evaluation.scores.longtail.FEW", few)
    data = world / "c" if elsewhere else None
    for split in (
        "test",
        *(["val"] if elsewhere else []),
    ):  # its own are answered by the network before the refit
        shots = evaluate(run, split, data=data, page=False).to_dict()["tasks"]["style"]["shots"]
        classes = len(Collection.open(world / "c").vocabularies["style"])
        assert shots["few"]["classes"] == classes - (learned >= few).sum() < classes - (trained >= few).sum()
    shots = evaluate(run, "val", page=False).to_dict()["tasks"]["style"]["shots"]
    assert shots["few"]["classes"] == classes - (trained >= few).sum()


def test_another_run_begins_with_what_had_not_learned_the_validation_works(
    world: Path, tmp_path: Path
) -> None:
    train(
        world / "tiny.yaml", world / "c", tmp_path / "r", ["phases.0.lr=1e-12"], start_from=world / "refitted"
    )
    made = weights(tmp_path / "r" / "checkpoints" / "last.ckpt")
    before = weights(world / "refitted" / "checkpoints" / "last.ckpt")
    after = weights(world / "refitted" / "refit" / "checkpoints" / "last.ckpt")
    name = next(n for n in made if n.startswith("network.heads.style"))
    torch.testing.assert_close(made[name], before[name], rtol=0, atol=1e-6)
    assert (made[name] - after[name]).abs().max() > 1e-3
    run = shutil.copytree(world / "refitted", tmp_path / "cut")
    (run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(RunError, match=r"last\.ckpt: missing, and the run's own weights have learned"):
        train(world / "tiny.yaml", world / "c", tmp_path / "r2", start_from=run)


def test_stopping_in_the_last_validation_before_the_refit_is_heard(world: Path, tmp_path: Path) -> None:
    from morelli.training.callbacks import Checkpoints, GracefulStop

    asked: list[GracefulStop] = []
    begin, save = GracefulStop.__init__, Checkpoints.save

    def note(self: GracefulStop, *arguments: Any) -> None:
        begin(self, *arguments)
        asked.append(self)

    def saved(self: Checkpoints, trainer: Any, file: Path) -> None:
        save(self, trainer, file)
        asked[-1].asked = file.name == "last.ckpt" and trainer.current_epoch == 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GracefulStop, "__init__", note)
        patch.setattr(Checkpoints, "save", saved)
        with pytest.raises(StoppedError, match="go on with: morelli train"):
            train(world / "tiny.yaml", world / "c", tmp_path / "r", REFIT)
    assert len(asked) == 1 and not (tmp_path / "r" / "refit").exists()


def test_painters_are_heard_as_validation_said_and_have_painted_all_that_was_learned(
    world: Path, tmp_path: Path
) -> None:
    recipe = recipe_file(tmp_path, artist_prior=4, **RECIPE)
    for name, changes in {"plain": [], "refitted": REFIT}.items():
        train(recipe, world / "c", tmp_path / name, changes)
    take_last(tmp_path / "plain", recipe, world / "c")
    plain, refitted = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "refitted"))
    painters = json.loads((tmp_path / "refitted" / "model.json").read_text())["prior_artists"]
    collection = Collection.open(world / "c")
    rows = np.concatenate([collection.rows("train"), collection.rows("val")])
    painted = collection.artist_labels(painters)[rows]
    for task, names in collection.vocabularies.items():
        for part in ("weight", "sharpness"):
            assert torch.equal(refitted[f"artist_prior.{task}.{part}"], plain[f"artist_prior.{task}.{part}"])
        expected = class_given_artist(painted, collection.labels(task)[rows], len(painters), len(names))
        assert np.allclose(refitted[f"artist_prior.{task}.class_given_artist"].numpy(), expected)


def test_an_interrupted_refit_goes_on_where_it_stopped(world: Path, tmp_path: Path) -> None:
    """A run with the checkpoints of its first epochs only, resumed, gives the same model as an uninterrupted one."""
    from morelli.training.callbacks import Checkpoints

    run, saves = tmp_path / "r", []

    def save(self: Checkpoints, trainer: Any, file: Path) -> None:
        before(self, trainer, file)
        saves.append(self.run.folder.name)
        if saves.count("refit") == 2:
            raise StoppedError("stopped")

    before = Checkpoints.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(StoppedError):
            train(world / "tiny.yaml", world / "c", run, REFIT)
    assert not (run / "model.json").exists()
    train(world / "tiny.yaml", world / "c", run, REFIT, resume=True)
    made, expected = (load_file(each / "model.safetensors") for each in (run, world / "refitted"))
    assert all(torch.equal(made[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"refit": True, "patience": 3}},
        {"training": {"refit": True}, "phases": [{"epochs": 2, "schedule": {"kind": "plateau"}}]},
    ],
)
def test_a_refit_needs_a_length_that_no_validation_decides(change: dict[str, Any]) -> None:
    tree = {"name": "x", "phases": [{"epochs": 2}]}
    parse(tree | {"training": {"refit": True}}, "test")
    with pytest.raises(RecipeError, match=r"training\.refit needs a length"):
        parse(tree | change, "test")
