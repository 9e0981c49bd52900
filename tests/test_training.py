"""Training: a run that was stopped and resumed has the numbers of one that was not; phases, transfer, caching."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from shared import shared_paintings
from tiny import BASE, painted_collection, recipe_file

from morelli import recipe as recipes
from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.errors import DataError, RunError, StoppedError, UsageError
from morelli.evaluation.predictions import read
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train
from morelli.network.network import Network
from morelli.training.callbacks import EpochLog, GracefulStop
from morelli.training.samplers import EpochBatches
from morelli.training.sources import Sources

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_collection(tmp_path_factory.mktemp("data"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]


def same_weights(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


class StopAt:
    """Presses Ctrl-C when a batch of an epoch of a phase begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, phase: int, epoch: int, batch: int) -> None:
        self.when = (phase, epoch, batch)
        original = GracefulStop.on_train_batch_start

        def begin(stop: GracefulStop, trainer: Any, module: Any, data: Any, batch_idx: int) -> None:
            if (module.number, trainer.current_epoch, batch_idx) == self.when:
                signal.raise_signal(signal.SIGINT)
            original(stop, trainer, module, data, batch_idx)

        monkeypatch.setattr(GracefulStop, "on_train_batch_start", begin)


TWO_PHASES: dict[str, Any] = {
    "augment": {"flip": True, "crop": 0.7, "mixup": 0.4},
    "sampler": {"balance": ["style", "genre"], "power": 0.5},
    "task_weights": "uncertainty",
    "phases": [
        {"epochs": 2, "lr": 3e-3, "augment": {"mixup": 0.4}},
        {"epochs": 2, "train": 1, "lr": 1e-3, "schedule": {"kind": "one-cycle"}},
    ],
}
CASES = {
    "cached, in the middle": ({}, (0, 1, 3)),
    "first batch of all": ({}, (0, 0, 0)),
    "first batch of an epoch": ({}, (0, 2, 0)),
    "last batch of an epoch": ({}, (0, 1, 6)),
    "plateau": (
        {"phases": [{"epochs": 3, "schedule": {"kind": "plateau", "patience": 0, "warmup": 1}}]},
        (0, 1, 2),
    ),
    "two phases, in the second": (TWO_PHASES, (1, 1, 2)),
    "two phases, in the first": (TWO_PHASES, (0, 1, 2)),
    "averaged": ({"training": BASE["training"] | {"ema": 0.9}}, (0, 1, 3)),
    "read ahead by a worker": ({"training": BASE["training"] | {"cache": False, "workers": 1}}, (0, 1, 3)),
    "inside an accumulation": ({"training": BASE["training"] | {"accumulate": 2}}, (0, 1, 3)),
    "accumulated": ({"training": BASE["training"] | {"accumulate": 2}}, (0, 1, 4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(
    case: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, where = CASES[case]
    recipe = recipe_file(tmp_path, **changes)
    train(recipe, data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, *where)
        with pytest.raises(StoppedError, match="--resume"):
            train(recipe, data, tmp_path / "cut")
    assert not (tmp_path / "cut" / "model.json").exists()
    train(recipe, data, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")


@pytest.mark.slow
def test_every_epoch_shows_the_works_in_another_order(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[int, list[int]] = {}
    original = EpochBatches.draw

    def draw(batches: EpochBatches, epoch: int) -> np.ndarray:
        drawn[epoch] = list(original(batches, epoch))
        return original(batches, epoch)

    monkeypatch.setattr(EpochBatches, "draw", draw)
    train(recipe_file(tmp_path), data, tmp_path / "r")
    assert sorted(drawn) == [0, 1, 2]
    assert drawn[0] != drawn[1] != drawn[2] and sorted(drawn[0]) == sorted(drawn[2])


@pytest.mark.slow
def test_a_kill_between_epochs_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of an epoch's end serves too; here the first of a second phase, with averaged weights."""
    changes = TWO_PHASES | {"training": BASE["training"] | {"ema": 0.9}}
    recipe = recipe_file(tmp_path, **changes)
    train(recipe, data, tmp_path / "whole")
    for phase, epoch in ((0, 1), (1, 0), (1, 1)):
        run = tmp_path / f"cut-{phase}-{epoch}"

        def die(stop: Any, trainer: Any, module: Any, *_: Any, at: tuple[int, int] = (phase, epoch)) -> None:
            if (module.number, trainer.current_epoch) == at:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(GracefulStop, "on_train_batch_start", die)
            with pytest.raises((KeyboardInterrupt, StoppedError, SystemExit)):
                train(recipe, data, run)
        train(recipe, data, run, resume=True)
        assert same_weights(tmp_path / "whole", run), (phase, epoch)


@pytest.mark.slow
def test_ctrl_c_in_a_phases_last_validation_stops_before_the_next(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_file(tmp_path, **TWO_PHASES)
    train(recipe, data, tmp_path / "whole")

    def press(log: Any, trainer: Any, module: Any) -> None:
        if (module.number, trainer.current_epoch) == (0, 1):
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_validation_epoch_start", press, raising=False)
        with pytest.raises(StoppedError, match="--resume"):
            train(recipe, data, tmp_path / "cut")
    assert rows(tmp_path / "cut")[-1]["phase"] == "1"
    train(recipe, data, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, phases=[{"epochs": 9, "lr": 1e-9}])
    changes = ["training.patience=2", "neck.dropout=0"]
    train(recipe, data, tmp_path / "r", changes)
    before, epochs = weights(tmp_path / "r"), len(rows(tmp_path / "r"))
    train(recipe, data, tmp_path / "r", changes, resume=True)
    assert len(rows(tmp_path / "r")) == epochs < 9
    assert all(torch.equal(before[k], v) for k, v in weights(tmp_path / "r").items())


@pytest.mark.slow
def test_averaging_leaves_a_frozen_backbone_exactly_as_it_is(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, training=BASE["training"] | {"ema": 0.99})
    train(recipe, data, tmp_path / "r")
    plain = recipe_file(tmp_path / "plain")
    train(plain, data, tmp_path / "p")
    one, two = weights(tmp_path / "r"), weights(tmp_path / "p")
    assert all(torch.equal(one[k], two[k]) for k in one if k.startswith("backbone"))
    assert not all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.slow
def test_options_that_change_the_features_change_the_cache(data: Path, tmp_path: Path) -> None:
    backbone = BASE["backbone"] | {"stage": 3}
    plain = recipe_file(tmp_path / "a", backbone=backbone, phases=[{"epochs": 1}])
    dilated = recipe_file(
        tmp_path / "b", backbone=backbone | {"options": {"output_stride": 8}}, phases=[{"epochs": 1}]
    )
    before = set((data / "features").glob("*.npy"))
    train(plain, data, tmp_path / "r1")
    train(dilated, data, tmp_path / "r2")
    assert len(set((data / "features").glob("*.npy")) - before) == 2


@pytest.mark.slow
def test_a_collection_made_anew_is_not_scored_as_the_runs_own(data: Path, tmp_path: Path) -> None:
    source = data.parent / "p"
    options = {"lists": source / "wikiart_csv", "size": 32, "min_works": 1}
    collect(CollectOptions(source / "wikiart", tmp_path / "c", **options))  # type: ignore[arg-type]
    recipe = recipe_file(tmp_path, phases=[{"epochs": 1}])
    train(recipe, tmp_path / "c", tmp_path / "r")
    collect(CollectOptions(source / "wikiart", tmp_path / "c", seed=5, **options))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="collected again"):
        evaluate(tmp_path / "r")
    with pytest.raises(RunError, match="collected again"):
        train(recipe, tmp_path / "c", tmp_path / "r", resume=True)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_one_others(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, phases=[{"epochs": 1}])
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(recipe, data, tmp_path / name, [f"seed={seed}"])
    assert same_weights(tmp_path / "a", tmp_path / "b") and not same_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.slow
def test_cached_features_give_what_the_images_would(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, neck={"kind": "gru", "width": 12})
    train(recipe, data, tmp_path / "cached")
    train(recipe, data, tmp_path / "images", ["training.cache=false"])
    one, two = weights(tmp_path / "cached"), weights(tmp_path / "images")
    assert all(torch.allclose(one[k], two[k], atol=5e-3) for k in one if k.startswith(("neck", "heads")))


@pytest.mark.slow
def test_features_are_computed_once_for_all_runs_of_a_backbone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_file(tmp_path, seed=77)
    train(recipe, data, tmp_path / "a")
    calls: list[int] = []
    from morelli.prediction.model import Model

    original = Model.part
    monkeypatch.setattr(Model, "part", lambda self, n, x: calls.append(len(x)) or original(self, n, x))
    train(recipe, data, tmp_path / "b", ["neck.width=8", "phases.0.epochs=1"])
    assert calls == []
    train(recipe, data, tmp_path / "c", ["seed=78", "phases.0.epochs=1"])  # other random weights
    assert sum(calls) == 140


@pytest.mark.slow
def test_several_cached_views_are_made_of_the_training_works(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, seed=5, augment={"flip": True, "crop": 0.5, "views": 3})
    before = set((data / "features").glob("*.npy")) if (data / "features").exists() else set()
    train(recipe, data, tmp_path / "r")
    made = [np.load(f, mmap_mode="r") for f in set((data / "features").glob("*.npy")) - before]
    works = len(Collection.open(data).rows("train"))
    assert sorted(len(a) for a in made) == [works, works, works, 140]
    views = [a for a in made if len(a) == works]
    assert not np.array_equal(views[0], views[1])


@pytest.mark.slow
def test_a_frozen_backbone_does_not_move_and_a_learning_one_does(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, phases=[{"epochs": 1}, {"epochs": 1, "train": 1, "lr": 1e-2}])
    train(recipe, data, tmp_path / "r", ["phases.1.freeze_batch_norm=true"])
    torch.manual_seed(0)
    from morelli.network.network import Network

    settings = recipes.load(recipe)
    vocabularies = Collection.open(data).vocabularies
    start = Network(settings, vocabularies).state_dict()
    after = weights(tmp_path / "r")
    moved = {k for k in start if not torch.allclose(start[k].float(), after[k].float())}
    backbone = {k for k in moved if k.startswith("backbone.")}
    assert backbone and all(k.startswith("backbone.backbones.0.trunk.layer1") for k in backbone)
    assert not any("running" in k for k in backbone)


@pytest.mark.slow
def test_transfer_starts_from_the_other_runs_backbone_and_neck(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    train(recipe, data, tmp_path / "artist", ["tasks=[artist]"])
    still = ["tasks=[genre]", "phases.0.lr=1e-12", "phases.0.epochs=1"]
    train(recipe, data, tmp_path / "genre", [*still, "seed=9"], start_from=tmp_path / "artist")
    one, two = weights(tmp_path / "artist"), weights(tmp_path / "genre")
    shared = [k for k in one if k.startswith(("backbone", "neck"))]
    assert shared and all(torch.allclose(one[k].float(), two[k].float(), atol=1e-6) for k in shared)
    with pytest.raises(RunError, match="backbone"):
        train(recipe, data, tmp_path / "x", ["backbone.stage=2"], start_from=tmp_path / "artist")


@pytest.mark.slow
def test_early_stopping_ends_a_phase(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, phases=[{"epochs": 9, "lr": 1e-9}])
    train(recipe, data, tmp_path / "r", ["training.patience=2", "neck.dropout=0"])
    assert len(rows(tmp_path / "r")) == 3  # the first, and two without progress


@pytest.mark.slow
def test_training_learns_what_pixels_show(data: Path, tmp_path: Path) -> None:
    phases = [{"epochs": 12, "train": "all", "lr": 3e-3, "backbone_lr": 3e-3}]
    recipe = recipe_file(tmp_path, tasks=["style"], phases=phases, losses={"style": {"smoothing": 0.05}})
    train(recipe, data, tmp_path / "r")
    figures = [float(row["val_style_accuracy"]) for row in rows(tmp_path / "r")]
    majority = evaluate(tmp_path / "r", "val")["style"].baselines["majority"]
    assert max(figures) > majority + 0.15


@pytest.mark.slow
def test_the_run_directory_holds_what_is_documented(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "r"
    train(recipe_file(tmp_path), data, run)
    scores = evaluate(run)
    evaluate(run, "all")
    for name in (
        *("recipe.yaml", "collection.parquet", "model.safetensors", "model.json", "metrics.csv"),
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "class_names_style.txt", "scores-test.json"),
        *(
            "predictions-test.parquet",
            "report/index.html",
            "report/class_report_genre.txt",
            "scores-all.json",
        ),
    ):
        assert (run / name).stat().st_size > 0, name
    assert any((run / "tensorboard").rglob("events*"))
    assert recipes.load(run / "recipe.yaml") == recipes.load(recipe_file(tmp_path))
    stored = json.loads((run / "scores-test.json").read_text())
    assert stored == scores.to_dict()
    collection = Collection.open(data)
    predictions = read(run / "predictions-test.parquet")
    assert predictions.ids == list(collection.table["id"].iloc[collection.rows("test")])
    for task, found in predictions.tasks.items():
        assert list(found.labels) == list(collection.labels(task)[collection.rows("test")])
        known = found.labels >= 0
        right = (found.probabilities.argmax(1) == found.labels)[known].mean()
        assert stored["tasks"][task]["accuracy"] == pytest.approx(right)


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["temperature", "temperature-and-prior"])
def test_a_model_is_calibrated_on_validation(data: Path, tmp_path: Path, calibration: str) -> None:
    from sklearn.metrics import log_loss

    run = tmp_path / "r"
    phases = [{"epochs": 6, "train": "all", "lr": 1e-2, "backbone_lr": 1e-2}]
    train(recipe_file(tmp_path, phases=phases, training={"calibration": calibration}), data, run)
    stored = json.loads((run / "model.json").read_text())
    temperature, shift = stored["temperature"], stored["shift"]
    evaluate(run, "val")
    found = read(run / "predictions-val.parquet").tasks["style"]
    known = found.labels >= 0
    labels, probabilities = found.labels[known], found.probabilities[known].astype(float)

    def at(t: float) -> float:  # the reported probabilities are already at the stored temperature
        scaled = probabilities ** (1 / t)
        return float(
            log_loss(labels, scaled / scaled.sum(1, keepdims=True), labels=range(probabilities.shape[1]))
        )

    assert temperature["style"] != 1.0
    assert at(1.0) <= min(at(0.8), at(1.25)) + 1e-6
    assert set(shift) == (set(temperature) if calibration == "temperature-and-prior" else set())
    told = json.loads((run / "scores-val.json").read_text())["tasks"]["style"]["calibration"]
    assert told["shift"] == shift.get("style")
    assert told["after"]["nll"] == pytest.approx(at(1.0), rel=1e-4)
    assert told["after"]["nll"] <= told["before"]["nll"]


@pytest.mark.slow
def test_another_collections_classes_are_matched_by_name(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "r"
    train(recipe_file(tmp_path), data, run)
    shared_paintings(tmp_path / "q", 60, seed=8)
    options = CollectOptions(tmp_path / "q" / "wikiart", tmp_path / "c2", size=32, min_works=1)
    collect(options)  # class folders: fewer classes, another order
    scores = evaluate(run, "all", tmp_path / "c2")
    assert scores["style"].n == 60 and scores["genre"].n == 0
    predictions = read(run / "predictions-all.parquet").tasks["style"]
    given = [predictions.names[k] for k in predictions.labels]
    other = Collection.open(tmp_path / "c2")
    assert given == [other.vocabularies["style"][k] for k in other.labels("style")]
    train_table = Collection.open(data)
    favourite = np.bincount(train_table.labels("style")[train_table.rows("train")]).argmax()
    assert scores["style"].baselines["majority"] == pytest.approx((predictions.labels == favourite).mean())


def test_works_without_any_label_of_the_tasks_are_left_out(data: Path, tmp_path: Path) -> None:
    recipe = recipes.load(recipe_file(tmp_path), ["tasks=[genre]"])
    collection = Collection.open(data)
    sources = Sources(recipe, collection, Network(recipe, {"genre": collection.vocabularies["genre"]}))
    table = collection.table
    wanted = table.index[(table["split"] == "train") & (table["genre"] >= 0)]
    assert 0 < len(wanted) < (table["split"] == "train").sum()
    assert sources.train_rows.tolist() == wanted.tolist()
    assert sources.train_labels[:, 0].tolist() == table.loc[wanted, "genre"].tolist()


def test_a_run_is_not_overwritten_and_another_recipe_does_not_resume_it(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, phases=[{"epochs": 1}])
    train(recipe, data, tmp_path / "r")
    with pytest.raises(UsageError, match="--resume"):
        train(recipe, data, tmp_path / "r")
    with pytest.raises(UsageError, match="neck"):
        train(recipe, data, tmp_path / "r", ["neck.width=5"], resume=True)


@pytest.mark.slow
def test_a_task_with_one_class_and_an_empty_split_are_refused(data: Path, tmp_path: Path) -> None:
    source = data.parent / "p"
    options = {"lists": source / "wikiart_csv", "size": 32, "min_works": 1}
    collect(CollectOptions(source / "wikiart", tmp_path / "one", only={"style": ["Cubism"]}, **options))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="style has 1 class"):
        train(recipe_file(tmp_path), tmp_path / "one", tmp_path / "r1")
    collect(CollectOptions(source / "wikiart", tmp_path / "all", split="100/0/0", **options))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no validation works"):
        train(recipe_file(tmp_path), tmp_path / "all", tmp_path / "r2")


def test_a_validation_split_without_a_label_of_the_tasks_is_refused(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "c", ignore=shutil.ignore_patterns("features"))
    table = Collection.open(copy).table
    unknown = table["style"].where(table["split"] != "val", -1)
    table.assign(style=unknown).to_parquet(copy / "collection.parquet", index=False)
    with pytest.raises(
        DataError, match="no validation work has a label of style; collect with another --split"
    ):
        train(recipe_file(tmp_path), copy, tmp_path / "r", ["tasks=[style]"])


@pytest.mark.slow
def test_two_processes_train_one_network_between_them(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, phases=[{"epochs": 2}, {"epochs": 1, "train": "all"}])
    command = [sys.executable, "-m", "morelli", "train", recipe, "--data", data, "--out", tmp_path / "r"]
    done = subprocess.run(
        [*map(str, command), "--set", "training.devices=2"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert [(r["phase"], r["epoch"]) for r in rows(tmp_path / "r")] == [("1", "1"), ("1", "2"), ("2", "1")]
    assert done.stderr.count("trained:") == 1
    assert evaluate(tmp_path / "r")["style"].n > 0
