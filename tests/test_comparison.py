"""Paired comparison against a plain bootstrap, tables worked by hand, scikit-learn, and evaluate's own scores."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import binom
from shared import shared_paintings

from morelli.collection.collect import CollectOptions, collect
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation.predictions import Predictions, TaskPredictions, write
from morelli.evaluation.scores import comparison
from morelli.evaluation.scores.comparison import compare_task, discordant, mcnemar, paired_intervals, share
from morelli.jobs.compare import compare
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train
from morelli.report.figures.comparison import comparison_figure

NAMES = ["Cubism", "Rococo", "Pop_Art", "Art_Nouveau", "vincent-van-gogh"]
DIFFERENCE = [
    *("accuracy", "accuracy_ci95", "macro_f1", "macro_f1_ci95"),
    *("only_reference_right", "only_this_right", "mcnemar_p"),
]


def task_of(skill: float, seed: int, works: int = 300, unknown: int = 30) -> TaskPredictions:
    """Labels are the same for every seed; works are hard or easy alike; ``skill`` raises the right answer."""
    rng = np.random.default_rng(0)
    labels = rng.choice(5, works, p=[0.4, 0.25, 0.2, 0.1, 0.05]).astype(np.int32)
    scores = rng.normal(size=(works, 5)) + 0.7 * np.random.default_rng(seed).normal(size=(works, 5))
    scores[np.arange(works), labels] += skill
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels[:unknown] = -1
    return TaskPredictions(list(NAMES), labels, probabilities.astype(np.float32))


def file_of(**tasks: TaskPredictions) -> Predictions:
    works = len(next(iter(tasks.values())).labels)
    ids = [f"work {i}" for i in range(works)]
    return Predictions(ids, ids, tasks, np.zeros((works, 2), np.float32))


def taken(predictions: Predictions, rows: np.ndarray) -> Predictions:
    tasks = {
        name: replace(task, labels=task.labels[rows], probabilities=task.probabilities[rows])
        for name, task in predictions.tasks.items()
    }
    ids = [predictions.ids[row] for row in rows]
    return Predictions(ids, ids, tasks, None)


def compared(first: Predictions, second: Predictions, task: str = "style") -> list[dict[str, Any]]:
    return compare_task(share([("a", first), ("b", second)], task), draws=500)


A, B = file_of(style=task_of(1.5, 1)), file_of(style=task_of(2.1, 2))


def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = A.tasks["style"], B.tasks["style"]
    return first.labels[first.known], first.predicted[first.known], second.predicted[first.known]


def plain_bootstrap(draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences in accuracy and macro F1, one resample of works after another, scored by scikit-learn."""
    labels, first, second = answers()
    rng = np.random.default_rng(99)
    accuracy, macro_f1 = [], []
    for _ in range(draws):
        rows = rng.integers(len(labels), size=len(labels))
        truth, one, two = labels[rows], first[rows], second[rows]
        accuracy.append(np.mean(two == truth) - np.mean(one == truth))
        macro_f1.append(sk.f1_score(truth, two, average="macro") - sk.f1_score(truth, one, average="macro"))
    return np.percentile(accuracy, [2.5, 97.5]), np.percentile(macro_f1, [2.5, 97.5])


def test_scores_and_differences_are_those_of_scikit_learn_on_the_known_works() -> None:
    labels, first, second = answers()
    scores = compared(A, B)
    for score, mine in zip(scores, (first, second), strict=True):
        assert score["n"] == len(labels) == 270
        assert score["accuracy"] == pytest.approx(sk.accuracy_score(labels, mine))
        assert score["macro_f1"] == pytest.approx(sk.f1_score(labels, mine, average="macro"))
    change = scores[1]["difference"]
    assert scores[0]["difference"] is None and list(change) == DIFFERENCE
    assert change["accuracy"] == pytest.approx(np.mean(second == labels) - np.mean(first == labels))
    assert change["macro_f1"] == pytest.approx(scores[1]["macro_f1"] - scores[0]["macro_f1"])
    assert change["only_reference_right"] == sum((first == labels) & (second != labels))
    assert change["only_this_right"] == sum((second == labels) & (first != labels))


@pytest.mark.slow
def test_the_intervals_are_those_of_a_plain_bootstrap_over_works() -> None:
    wanted = plain_bootstrap(1200)
    got = paired_intervals(*answers(), classes=5, draws=20_000)
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.1 * (theirs[1] - theirs[0]))


def test_the_interval_is_as_wide_as_the_discordant_works_make_it() -> None:
    """The variance of a difference of paired shares is (b + c − (b − c)² / n) / n²."""
    labels, first, second = answers()
    b, c = discordant(labels, first, second)
    n = len(labels)
    half = 1.96 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    low, high = paired_intervals(labels, first, second, classes=5, draws=20_000)[0]
    assert (high - low) / 2 == pytest.approx(half, rel=0.04)
    assert (high + low) / 2 == pytest.approx((c - b) / n, abs=0.004)


def test_drawing_in_many_small_steps_gives_an_interval_of_the_same_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = paired_intervals(*answers(), classes=5, draws=4000)
    monkeypatch.setattr(comparison, "_CELLS", 300)
    np.testing.assert_allclose(paired_intervals(*answers(), classes=5, draws=4000), whole, atol=0.01)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (3, 3), (0, 9), (9, 0), (4, 12), (12, 12), (24, 0)])
def test_few_discordant_works_are_tested_by_the_exact_binomial(b: int, c: int) -> None:
    exact = min(1.0, 2 * float(binom.cdf(min(b, c), b + c, 0.5))) if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(exact)


@pytest.mark.parametrize(
    ("b", "c", "statistic"), [(40, 20, 19**2 / 60), (86, 150, 63**2 / 236), (12, 13, 0.0), (30, 30, 0.0)]
)
def test_many_discordant_works_are_tested_by_chi_squared_with_the_correction(
    b: int, c: int, statistic: float
) -> None:
    """Worked by hand: (|b − c| − 1)² / (b + c); with one degree of freedom p is erfc(√(x / 2))."""
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(math.erfc(math.sqrt(statistic / 2)))


def test_a_run_differs_from_itself_by_nothing() -> None:
    change = compared(A, A)[1]["difference"]
    assert [change[name] for name in DIFFERENCE] == [0, [0, 0], 0, [0, 0], 0, 0, 1]


def test_works_are_matched_by_their_id_and_classes_by_their_name() -> None:
    rows, order = np.random.default_rng(4).permutation(300), np.array([3, 0, 4, 2, 1])
    task = B.tasks["style"]
    names = [task.names[k] for k in order]
    names = [{"Pop_Art": "pop art", "vincent-van-gogh": "Vincent_van_Gogh"}.get(n, n) for n in names]
    labels = np.where(task.known, np.argsort(order)[task.labels], -1).astype(np.int32)
    other = replace(B, tasks={"style": TaskPredictions(names, labels, task.probabilities[:, order])})
    assert compared(A, taken(other, rows)) == compared(A, B)


def test_only_works_that_both_runs_scored_and_know_count() -> None:
    task = B.tasks["style"]
    labels = task.labels.copy()
    labels[100:140] = -1
    other = taken(replace(B, tasks={"style": replace(task, labels=labels)}), np.arange(50, 300))
    rows = np.r_[50:100, 140:300]
    assert compared(A, other) == compared(taken(A, rows), taken(B, rows))
    assert compared(A, other)[0]["n"] == 210


def test_a_class_that_one_run_alone_can_answer_is_an_answer_like_any_other() -> None:
    labels = answers()[0]
    task = B.tasks["style"]
    wide = np.column_stack([task.probabilities * 0.5, np.where(np.arange(300) % 3 == 0, 0.9, 0.0)])
    other = file_of(style=TaskPredictions([*NAMES, "Ukiyo_e"], task.labels, wide.astype(np.float32)))
    second = other.tasks["style"].predicted[task.known]
    score = compared(A, other)[1]
    assert (second == 5).sum() > 50
    assert score["accuracy"] == pytest.approx(sk.accuracy_score(labels, second))
    assert score["macro_f1"] == pytest.approx(sk.f1_score(labels, second, average="macro"))


def test_two_labels_of_one_work_are_refused_and_named() -> None:
    task = B.tasks["style"]
    labels = task.labels.copy()
    labels[[77, 80]] = (labels[[77, 80]] + 1) % 5
    given = NAMES[task.labels[77]], NAMES[labels[77]]
    other = replace(B, tasks={"style": replace(task, labels=labels)})
    with pytest.raises(
        DataError, match=rf"style of work 77 is {given[0]} in the one and {given[1]}.*\(2 such"
    ):
        compared(A, other)


def test_predictions_that_hold_a_work_twice_are_refused() -> None:
    with pytest.raises(DataError, match=r"b: .*twice"):
        compared(A, taken(B, np.r_[0:300, 5]))


def test_where_no_label_is_known_everything_is_none() -> None:
    nothing = replace(A.tasks["style"], labels=np.full(300, -1, np.int32))
    figures = {"accuracy", "accuracy_ci95", "macro_f1", "macro_f1_ci95", "difference"}
    for score in compared(file_of(style=nothing), B):
        assert score == {"n": 0} | dict.fromkeys(figures)


def run_of(folder: Path, predictions: Predictions, split: str = "test") -> Path:
    folder.mkdir(parents=True)
    write(predictions, folder / f"predictions-{split}.parquet")
    return folder


def test_what_a_run_cost_is_read_from_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full, bare = run_of(tmp_path / "full", A), run_of(tmp_path / "bare", B)
    (full / "metrics.csv").write_text("epoch,phase,seconds\n1,1,10.5\n2,1,9.5\n1,2,40\n")
    blocks = {"backbones": [{"parameters": 700}], "neck": {"parameters": 40}}
    heads = {"style": {"parameters": 5}, "genre": {"parameters": 6}}
    (full / "model.json").write_text(json.dumps({"architecture": blocks | {"heads": heads}}))
    costs = [
        [getattr(run, name) for name in ("seconds_per_epoch", "epochs", "parameters")]
        for run in compare([full, bare]).runs
    ]
    assert costs == [[20, 3, 751], [None, None, None]]
    assert "bare/metrics.csv: cannot be read" in capsys.readouterr().err.replace("\n", "")


def test_a_task_that_a_run_lacks_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = file_of(style=task_of(1.5, 1), genre=task_of(1.5, 3))
    runs = [run_of(tmp_path / "x", both), run_of(tmp_path / "y", B)]
    result = compare(runs)
    assert all(list(run.tasks) == ["style"] for run in result.runs)
    assert f"genre is left out: not a task of {runs[1]}" in capsys.readouterr().err.replace("\n", "")
    with pytest.raises(DataError, match="no task is in all"):
        compare([run_of(tmp_path / "z", file_of(genre=task_of(1.5, 3))), runs[1]])


def test_runs_are_named_by_as_much_of_their_path_as_tells_them_apart(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "one" / "run", A),
        run_of(tmp_path / "two" / "run", B),
        tmp_path / "one" / "run",
    ]
    result = compare(runs)
    assert [run.name for run in result.runs] == ["one/run", "two/run", "one/run"]
    assert result.reference == "one/run" and result.split == "test"
    assert result.runs[2].tasks["style"]["difference"]["mcnemar_p"] == 1


def test_a_wrong_call_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    run, apart = run_of(tmp_path / "a", A), replace(B, ids=[f"other {i}" for i in range(300)])
    with pytest.raises(UsageError, match="at least two runs"):
        compare([run])
    with pytest.raises(UsageError, match="--split tests"):
        compare([run, run], "tests")
    with pytest.raises(RunError, match=f"run morelli evaluate {run} --split val first"):
        compare([run, run], "val")
    with pytest.raises(RunError, match="no such run"):
        compare([run, tmp_path / "nowhere"])
    with pytest.raises(DataError, match="no work is in all of them"):
        compare([run, run_of(tmp_path / "b", apart)])
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--out"):
        compare([run, run], out=tmp_path / "file")


LONG = "experiments-2026-efficientnet-b0-row-column-bigru-attention-pooling-warm-up-cosine"


@pytest.mark.slow
@pytest.mark.parametrize("runs", [2, 9])
def test_the_figure_shows_every_run_with_its_numbers_and_no_text_over_another(
    runs: int, tmp_path: Path
) -> None:
    folders = []
    for i in range(runs):
        name = f"{LONG}-{i}" if i % 2 else f"$x_{i}$"
        folders.append(run_of(tmp_path / name, file_of(style=task_of(1 + i / 4, i), genre=task_of(2, i))))
    result = compare(folders)
    figure = comparison_figure(result.to_dict())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert [axes.get_title("left") for axes in figure.axes] == [
        "Style: 270 works (test)",
        "Genre: 270 works (test)",
    ]
    for axes, task in zip(figure.axes, ("style", "genre"), strict=True):
        dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert dots == pytest.approx([100 * run.tasks[task]["accuracy"] for run in result.runs])
        labels = [tick.label1 for tick in axes.yaxis.get_major_ticks()]
        shown = [label.get_text().replace("\n", "") for label in labels]
        assert [name[-8:] for name in shown] == [run.name[-8:] for run in result.runs]
        written = [text.get_text() for text in axes.texts]
        change = result.runs[1].tasks[task]["difference"]
        assert any(f"right alone: {change['only_this_right']}" in text for text in written)
        assert any(text.startswith(f"{100 * change['accuracy']:+.1f}".replace("-", "−")) for text in written)
        columns: dict[float, list[Any]] = {}
        for text in [*axes.texts, *labels]:
            columns.setdefault(text.get_position()[0], []).append(text.get_window_extent().extents)
        for boxes in columns.values():
            boxes.sort(key=lambda box: box[1])
            assert all(lower[3] <= upper[1] + 0.5 for lower, upper in pairwise(boxes))
        places = sorted(columns)
        for left, right in pairwise(places):
            assert max(box[2] for box in columns[left]) < min(box[0] for box in columns[right])


def test_the_figure_says_so_where_no_label_is_known(tmp_path: Path) -> None:
    nothing = file_of(style=replace(A.tasks["style"], labels=np.full(300, -1, np.int32)))
    result = compare([run_of(tmp_path / "a", nothing), run_of(tmp_path / "b", B)], out=tmp_path / "out")
    assert comparison_figure(result.to_dict()).axes[0].texts[0].get_text() == "no label is known in every run"
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_two_trained_runs_are_compared_by_the_scores_that_evaluate_gave_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared_paintings(tmp_path / "p", 120, seed=5)
    lists = tmp_path / "p" / "wikiart_csv"
    collect(
        CollectOptions(
            tmp_path / "p" / "wikiart", tmp_path / "c", lists=lists, size=32, min_works=2, processes=1
        )
    )
    recipe = {
        "name": "tiny",
        "image": {"size": 32},
        "tasks": ["style", "genre"],
        "backbone": {"name": "resnet18", "stage": 1, "weights": "none", "grid": 4},
        "neck": {"kind": "mean"},
        "phases": [{"epochs": 1, "lr": 3e-2}],
        "training": {"batch_size": 16, "workers": 0, "precision": "fp32"},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    runs = [tmp_path / "first", tmp_path / "second"]
    scored = []
    for run, seed in zip(runs, (0, 1), strict=True):
        train(tmp_path / "tiny.yaml", tmp_path / "c", run, [f"seed={seed}"])
        scored.append(evaluate(run, page=False).to_dict()["tasks"])
    capsys.readouterr()
    result = compare(runs, out=tmp_path / "new" / "comparison")
    for run, scores in zip(result.runs, scored, strict=True):
        assert run.epochs == 1 and run.seconds_per_epoch > 0
        for task in ("style", "genre"):
            for figure in ("n", "accuracy", "accuracy_ci95", "macro_f1", "macro_f1_ci95"):
                assert run.tasks[task][figure] == pytest.approx(scores[task][figure])
    out = tmp_path / "new" / "comparison"
    assert sorted(file.name for file in out.iterdir()) == [f"comparison.{e}" for e in ("csv", "json", "png")]
    assert json.loads((out / "comparison.json").read_text()) == result.to_dict()
    table = pd.read_csv(out / "comparison.csv")
    assert list(zip(table["name"], table["task"], strict=True)) == [
        (name, task) for name in ("first", "second") for task in ("style", "genre")
    ]
    change = result.runs[1].tasks["genre"]["difference"]
    assert table["difference_accuracy_ci95_low"].iloc[3] == pytest.approx(change["accuracy_ci95"][0])
    assert table["difference_only_this_right"].iloc[3] == change["only_this_right"]
    assert table["difference_accuracy"].isna().tolist() == [True, True, False, False]
    result.show()
    printed = " ".join(capsys.readouterr().err.split())
    works = result.runs[0].tasks["genre"]["n"]
    assert f"genre: {works} works (test)" in printed and f"{change['mcnemar_p']:.3f}" in printed
