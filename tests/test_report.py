"""Figures show the numbers they claim to, names stay legible, and the page needs nothing but itself."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morelli.errors import DataError, RunError
from morelli.judgement import predictions as predictions_file
from morelli.judgement.predictions import Predictions, TaskPredictions
from morelli.judgement.scores import score
from morelli.report import figures, style
from morelli.report.curves import learning_curves_figure
from morelli.report.page import write_report
from morelli.report.style import pretty

LONG = "painter-of-the-mannerism-late-renaissance"


def task_of(classes: int, works: int = 900, seed: int = 0) -> TaskPredictions:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, works, p=(w := 1 / np.arange(1, classes + 1)) / w.sum())
    scores = rng.normal(size=(works, classes))
    scores[np.arange(works), labels] += 2.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels[:20] = -1
    names = [f"{LONG}-{i}" if i % 5 == 0 else f"style_{i}" for i in range(classes)]
    return TaskPredictions(names, labels.astype(np.int32), probabilities.astype(np.float32))


def truth(task: TaskPredictions) -> tuple[np.ndarray, np.ndarray]:
    return task.labels[task.known], task.predicted[task.known]


def boxes(figure: Figure, axis: str) -> list[tuple[float, float, float, float]]:
    """The drawn extents of one axis's tick labels, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    ticks = getattr(figure.axes[0], f"{axis}axis").get_major_ticks()
    return [tick.label1.get_window_extent(canvas.get_renderer()).extents for tick in ticks]


@pytest.mark.parametrize(
    ("name", "task", "shown"),
    [
        ("Vincent_van_Gogh", "artist", "Vincent van Gogh"),
        ("georges-de-la-tour", "artist", "Georges de la Tour"),
        ("rogier-van-der-weyden", "artist", "Rogier van der Weyden"),
        ("georgia-o'keeffe", "artist", "Georgia O'Keeffe"),
        ("van-gogh", "artist", "Van Gogh"),
        ("Mannerism_Late_Renaissance", "style", "Mannerism Late Renaissance"),
        ("sketch_and_study", "genre", "sketch and study"),
        ("portrait", None, "portrait"),
    ],
)
def test_class_names_are_shown_as_people_write_them(name: str, task: str | None, shown: str) -> None:
    assert pretty(name, task) == shown


@pytest.mark.parametrize("classes", [3, 10, 27])
def test_the_confusion_figure_shows_row_normalised_counts_by_falling_support(classes: int) -> None:
    task = task_of(classes)
    labels, answers = truth(task)
    order = np.argsort(-np.bincount(labels, minlength=classes), kind="stable")
    expected = sk.confusion_matrix(labels, answers, labels=order, normalize="true")
    axes = figures.confusion_figure(task, "t").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    written = [text.get_text() for text in axes.texts]
    counts = sk.confusion_matrix(labels, answers, labels=order)
    if classes <= 12:
        assert f"{counts[0, 0]:,d}" in written and f"{expected[0, 0]:.0%}" in written
        assert len(written) == 2 * np.count_nonzero(counts)
    else:
        assert len(written) == np.count_nonzero(expected >= 0.01)


@pytest.mark.parametrize("classes", [3, 10, 27, 129])
def test_every_class_name_is_written_in_full_and_none_overlaps_its_neighbour(classes: int) -> None:
    task = task_of(classes, works=4000)
    figure = figures.confusion_figure(task, "t")
    axes = figure.axes[0]
    columns = [tick.label1.get_text() for tick in axes.xaxis.get_major_ticks()]
    assert sorted(columns) == sorted(pretty(name) for name in task.names)
    rows = boxes(figure, "y")
    assert all(upper[1] >= lower[3] - 0.5 for upper, lower in pairwise(rows))
    if classes > 41:
        assert all(left[2] <= right[0] + 0.5 for left, right in pairwise(boxes(figure, "x")))
    bars = boxes(figures.per_class_f1_figure(task, "t"), "y")
    assert all(upper[1] >= lower[3] - 0.5 for upper, lower in pairwise(bars))


def test_the_most_frequent_classes_keep_the_rest_in_one_column() -> None:
    task = task_of(27)
    labels, answers = truth(task)
    axes = figures.confusion_figure(task, "t", top=10).axes[0]
    rates = np.asarray(axes.images[0].get_array())
    assert rates.shape == (10, 11)
    np.testing.assert_allclose(rates.sum(axis=1), 1)
    assert axes.get_xticklabels()[-1].get_text() == "any other class"
    order = np.argsort(-np.bincount(labels, minlength=27), kind="stable")
    first = answers[labels == order[0]]
    assert rates[0, -1] == pytest.approx(np.mean(~np.isin(first, order[:10])))


def test_the_f1_bars_are_scikit_learns() -> None:
    task = task_of(10)
    bars = figures.per_class_f1_figure(task, "t").axes[0].patches
    expected = sorted(sk.f1_score(*truth(task), average=None), reverse=True)
    assert [bar.get_width() for bar in bars] == pytest.approx(expected)


def test_the_distribution_counts_every_known_work_once() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"split": rng.choice(["train", "val", "test"], 500), "style": rng.integers(-1, 6, 500)}
    )
    axes = figures.label_distribution_figure(table, {"style": [f"s{i}" for i in range(6)]}).axes[0]
    for container, split in zip(axes.containers, ["train", "val", "test"], strict=True):
        expected = ((table["split"] == split) & (table["style"] >= 0)).sum()
        assert sum(bar.get_width() for bar in container) == expected
    assert f"{(table['style'] < 0).sum()} unknown" in axes.get_title("left")


def test_the_reliability_bars_are_the_accuracy_of_each_bin() -> None:
    task = task_of(10)
    bars = figures.reliability_figure(task, "t").axes[0].containers[0]
    right = task.predicted == task.labels
    assert len(bars) > 5
    for bar in bars:
        middle = bar.get_x() + bar.get_width() / 2
        inside = task.known & (np.abs(task.confidence - middle) < 1 / 30)
        assert bar.get_height() == pytest.approx(right[inside].mean())


def test_a_task_without_known_labels_says_so_in_every_figure() -> None:
    task = task_of(4)
    unknown = TaskPredictions(task.names, np.full_like(task.labels, -1), task.probabilities)
    for draw in (figures.confusion_figure, figures.per_class_f1_figure, figures.reliability_figure):
        texts = [text.get_text() for text in draw(unknown, "t").axes[0].texts]
        assert texts == ["no work with a known label"]


def write_metrics(path: Path, epochs: int) -> pd.DataFrame:
    epoch = np.arange(epochs)
    table = pd.DataFrame({"epoch": epoch, "phase": 1 * (epoch >= 2), "lr": 10.0 ** -(3 + (epoch >= 2))})
    table["train_loss"], table["val_loss"] = 2.0 / (epoch + 1), 2.5 / (epoch + 1)
    table["val_accuracy"], table["val_style_accuracy"] = 0.5, 0.1 * epoch
    table.to_csv(path, index=False)
    return table


def test_the_learning_curves_draw_the_table_and_divide_the_phases(tmp_path: Path) -> None:
    table = write_metrics(tmp_path / "metrics.csv", epochs=5)
    loss, accuracy, rate = learning_curves_figure(tmp_path / "metrics.csv").axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), table["train_loss"])
    np.testing.assert_allclose(loss.lines[1].get_ydata(), table["val_loss"])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), table["val_style_accuracy"])
    np.testing.assert_allclose(rate.lines[0].get_ydata(), table["lr"])
    for axes in (loss, accuracy, rate):
        assert list(axes.lines[-1].get_xdata()) == [1.5, 1.5]


def test_one_epoch_is_drawn_and_a_foreign_table_is_refused(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", epochs=1)
    assert style.png(learning_curves_figure(tmp_path / "metrics.csv")).startswith(b"\x89PNG")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"other\.csv: has no column epoch"):
        learning_curves_figure(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty\.csv"):
        learning_curves_figure(tmp_path / "empty.csv")


def test_drawing_leaves_matplotlibs_settings_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    figures.reliability_figure(task_of(3), "t")
    assert dict(matplotlib.rcParams) == before


class Balance(HTMLParser):
    """Collects tags left open or closed out of order, element ids, link targets and image sources."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.found: dict[str, list[str]] = {"id": [], "href": [], "src": []}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in self.found.keys() & given.keys():
            self.found[name].append(given[name] or "")
        if tag == "img" and not given.get("alt"):
            self.wrong.append("img without alt")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without metrics.csv, with names that would break a careless page."""
    folder = tmp_path_factory.mktemp("runs") / "a <b>run"
    folder.mkdir()
    tasks = {"artist": task_of(45, seed=1), "style": task_of(4, seed=2)}
    tasks["style"].names[1] = "<script>alert(1)</script>"
    ids = [f"w{i}" for i in range(900)]
    table = pd.DataFrame({"id": ids, "split": "test", "artist_name": None})
    for name, task in tasks.items():
        table[name] = task.labels
    train = table.assign(split="train", id=[f"t{i}" for i in range(900)], artist_name="someone")
    table = pd.concat([table, train])
    table.to_parquet(folder / "collection.parquet")
    predictions = Predictions(ids, [f"{i}.jpg" for i in ids], tasks)
    predictions_file.write(predictions, folder / "predictions-test.parquet")
    (folder / "scores-test.json").write_text(json.dumps(score(predictions, table)))
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return write_report(run, "test")


def test_the_page_is_balanced_html_that_needs_no_other_file(run: Path, page: Path) -> None:
    assert page == run / "report" / "index.html"
    html = page.read_text(encoding="utf-8")
    parsed = Balance()
    parsed.feed(html)
    assert parsed.wrong == [] and parsed.open == []
    assert len(set(parsed.found["id"])) == len(parsed.found["id"])
    assert {link[1:] for link in parsed.found["href"]} <= set(parsed.found["id"]) and parsed.found["href"]
    assert all(source.startswith("data:image/png;base64,") for source in parsed.found["src"])
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))
    embedded = {base64.b64decode(source.partition(",")[2]) for source in parsed.found["src"]}
    written = {path.read_bytes() for path in page.parent.glob("*.png")}
    assert embedded == written and len(written) == 8


def test_the_page_shows_the_scores_with_intervals_and_baselines(run: Path, page: Path) -> None:
    scores = json.loads((run / "scores-test.json").read_text())
    parsed = Balance()
    parsed.feed(page.read_text(encoding="utf-8"))
    for task in scores["tasks"].values():
        low, high = task["accuracy_ci95"]
        assert f"{100 * task['accuracy']:.1f} %{100 * low:.1f}–{100 * high:.1f}" in parsed.text
        assert f"{100 * task['baselines']['majority']:.1f} %" in parsed.text
    assert f"{100 * scores['joint_exact_match']:.1f} %" in parsed.text
    assert "a <b>run" in parsed.text and "<script>alert(1)</script>" in parsed.text


def test_the_report_has_class_reports_and_no_leftovers(page: Path) -> None:
    names = {path.name for path in page.parent.iterdir()}
    assert {"class_report_artist.txt", "class_report_style.txt", "index.html"} <= names
    assert not [name for name in names if name.startswith(".")]
    assert LONG + "-5" in (page.parent / "class_report_artist.txt").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_report_and_metrics_add_only_the_curves(run: Path, page: Path) -> None:
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    write_metrics(run / "metrics.csv", epochs=4)
    write_report(run, "test")
    (run / "metrics.csv").unlink()
    after = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    curves, html = after.pop("curves.png"), after.pop("index.html")
    assert before.pop("index.html") != html and base64.b64encode(curves) in html
    assert after == before


@pytest.mark.parametrize("part", ["scores-test.json", "predictions-test.parquet", "collection.parquet"])
def test_a_missing_or_damaged_part_is_named(run: Path, tmp_path: Path, part: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / part).write_bytes(b"{")
    with pytest.raises(DataError, match=re.escape(part)):
        write_report(copy, "test")
    (copy / part).unlink()
    with pytest.raises(RunError, match=re.escape(part)):
        write_report(copy, "test")
