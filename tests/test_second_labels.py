"""Works filed under two styles: the other style is kept, and an answer may be either."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shared import shared_paintings
from tiny import recipe_file

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.evaluation.predictions import TaskPredictions, read
from morelli.evaluation.scores.scores import either_scores
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train

pytestmark = pytest.mark.slow  # of the fixture that all share


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted works with two-styles defects, collected into ``c``."""
    out = tmp_path_factory.mktemp("two")
    shared_paintings(out / "p", 220, seed=5, defects=True)
    lists = out / "p" / "wikiart_csv"
    collect(CollectOptions(out / "p" / "wikiart", out / "c", lists=lists, size=32, min_works=1))
    return out


@pytest.fixture
def run(painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of that collection, trained for an epoch; evaluating it draws no figures."""
    monkeypatch.setattr("morelli.jobs.evaluate.write_report", lambda run, split: run / "no-report")
    if not (painted / "r").exists():
        train(recipe_file(painted, phases=[{"epochs": 1}]), painted / "c", painted / "r")
    return shutil.copytree(painted / "r", tmp_path / "r")


def test_the_planted_works_of_two_styles_keep_the_other_style(painted: Path) -> None:
    collection = Collection.open(painted / "c")
    table = collection.table
    ledger = pd.read_csv(painted / "c" / "ledger.csv")
    pairs = ledger.loc[ledger["kind"] == "two-styles", ["subject", "detail"]].to_numpy()
    assert len(pairs)
    expected = pd.Series(-1, index=table["id"])
    styles = table.set_index("id")["style"]
    for one, other in pairs:
        expected[one], expected[other] = styles[other], styles[one]
    assert table["style_also"].dtype == np.int32
    assert table["style_also"].tolist() == expected.tolist()
    both = table[table["style_also"] >= 0]
    assert (both["style_also"] != both["style"]).all() and len(both) == 2 * len(pairs)
    truth = json.loads((painted / "p" / "truth.json").read_text())["defects"]["two_styles"]
    assert len(truth) == len(pairs)


def test_either_label_counts_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, -1, 2], np.int32)
    answers = np.array([0, 1, 0, 0, 2, 0])
    second = np.array([-1, 1, 0, 2, 2, -1])
    probabilities = np.full((6, 3), 0.1, np.float32)
    probabilities[np.arange(6), answers] = 0.8
    found = either_scores(TaskPredictions(["a", "b", "c"], labels, probabilities), second)
    # right: the first; by their second label the second and third; the fifth has no label and does not count
    assert found["accuracy_either"] == pytest.approx(3 / 5) and found["two_labels"] == 3
    assert found["accuracy_either_ci95"][0] <= 3 / 5 <= found["accuracy_either_ci95"][1]


def test_no_known_label_and_no_second_label() -> None:
    task = TaskPredictions(["a", "b"], np.array([-1], np.int32), np.float32([[0.5, 0.5]]))
    found = either_scores(task, np.array([1]))
    assert found == {"accuracy_either": None, "accuracy_either_ci95": None, "two_labels": 0}


def test_evaluation_scores_either_style_and_needs_no_such_column(
    painted: Path, run: Path, tmp_path: Path
) -> None:
    style = evaluate(run, "all")["style"].to_dict()
    collection = Collection.open(painted / "c")
    task = read(run / "predictions-all.parquet").tasks["style"]
    also = collection.table["style_also"].to_numpy()
    right = (task.predicted == task.labels) | (task.predicted == also)
    assert style["accuracy_either"] == pytest.approx(right[task.known].mean())
    assert style["two_labels"] == (also >= 0).sum()
    # a collection made before the column was kept
    old = tmp_path / "old"
    shutil.copytree(painted / "c", old)
    pd.read_parquet(old / "collection.parquet").drop(columns="style_also").to_parquet(
        old / "collection.parquet"
    )
    (run / "collection.txt").write_text(str(old))
    found = evaluate(run, "all")["style"].to_dict()
    assert "accuracy_either" not in found and found["accuracy"] == style["accuracy"]


def test_another_collections_second_styles_are_matched_by_name(
    painted: Path, run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(painted / "c", other)
    info = json.loads((other / "collection.json").read_text())
    names = info["vocabularies"]["style"]
    info["vocabularies"]["style"] = names[::-1]
    (other / "collection.json").write_text(json.dumps(info))
    table = pd.read_parquet(other / "collection.parquet")
    for column in ("style", "style_also"):
        table[column] = np.where(table[column] < 0, -1, len(names) - 1 - table[column]).astype(np.int32)
    table.to_parquet(other / "collection.parquet")
    own, foreign = evaluate(run, "all"), evaluate(run, "all", other)
    for key in ("accuracy", "accuracy_either", "two_labels"):
        assert foreign["style"].to_dict()[key] == own["style"].to_dict()[key]
    assert "leakage" not in foreign
