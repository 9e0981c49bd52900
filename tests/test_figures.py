"""Figures show the numbers they claim to, and names stay legible."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morelli.errors import DataError
from morelli.evaluation.predictions import TaskPredictions
from morelli.report.figures import scores, style
from morelli.report.figures.curves import learning_curves_figure, outliers_figure
from morelli.report.figures.style import display_name

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
    figure.draw_without_rendering()
    ticks = getattr(figure.axes[0], f"{axis}axis").get_major_ticks()
    return [tick.label1.get_window_extent(canvas.get_renderer()).extents for tick in ticks]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Vincent_van_Gogh", "Vincent van Gogh"),
        ("vincent-van-gogh", "vincent-van-gogh"),
        ("georgia-o'keeffe", "georgia-o'keeffe"),
        ("Mannerism_Late_Renaissance", "Mannerism Late Renaissance"),
        ("ukiyo-e", "ukiyo-e"),
        ("NFT art", "NFT art"),
        ("<b>bold", "<b>bold"),
        ("印象派", "印象派"),
        ("a line\nand another", "a line and another"),
        ("_", "_"),
    ],
)
def test_class_names_are_shown_as_the_collection_spells_them(name: str, shown: str) -> None:
    assert display_name(name) == shown


def test_a_name_with_dollar_signs_is_no_formula() -> None:
    task = task_of(3)
    named = TaskPredictions(["$x$", "worth $5 to $6", "a_$_{b"], task.labels, task.probabilities)
    figure = scores.confusion_figure(named, "$y$")
    png = style.png(figure)
    assert png.startswith(b"\x89PNG")
    axes = figure.axes[0]
    written = axes.get_xticklabels()
    assert {text.get_text() for text in written} == {"$x$", "worth $5 to $6", "a $ {b"}
    assert not any(text.get_parse_math() for text in [*written, *axes.get_yticklabels(), axes.title])


@pytest.mark.parametrize("classes", [3, 10, 27])
def test_the_confusion_figure_shows_row_normalised_counts_by_falling_support(classes: int) -> None:
    task = task_of(classes)
    labels, answers = truth(task)
    order = np.argsort(-np.bincount(labels, minlength=classes), kind="stable")
    expected = sk.confusion_matrix(labels, answers, labels=order, normalize="true")
    axes = scores.confusion_figure(task, "t").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    written = [text.get_text() for text in axes.texts]
    counts = sk.confusion_matrix(labels, answers, labels=order)
    if classes <= 12:
        assert f"{counts[0, 0]:,d}" in written and f"{expected[0, 0]:.0%}" in written
        assert len(written) == 2 * np.count_nonzero(counts)
    else:
        assert len(written) == np.count_nonzero(expected >= 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [3, 10, 27, 129])
def test_every_class_name_is_written_in_full_and_none_overlaps_its_neighbour(classes: int) -> None:
    task = task_of(classes, works=4000)
    figure = scores.confusion_figure(task, "t")
    axes = figure.axes[0]
    columns = [tick.label1.get_text() for tick in axes.xaxis.get_major_ticks()]
    assert sorted(columns) == sorted(display_name(name) for name in task.names)
    rows = boxes(figure, "y")
    assert all(upper[1] >= lower[3] - 0.5 for upper, lower in pairwise(rows))
    if classes > 41:
        assert all(left[2] <= right[0] + 0.5 for left, right in pairwise(boxes(figure, "x")))
    bars = boxes(scores.per_class_f1_figure(task, "t"), "y")
    assert all(upper[1] >= lower[3] - 0.5 for upper, lower in pairwise(bars))


def test_the_most_frequent_classes_keep_the_rest_in_one_column() -> None:
    task = task_of(27)
    labels, answers = truth(task)
    axes = scores.confusion_figure(task, "t", top=10).axes[0]
    rates = np.asarray(axes.images[0].get_array())
    assert rates.shape == (10, 11)
    np.testing.assert_allclose(rates.sum(axis=1), 1)
    assert axes.get_xticklabels()[-1].get_text() == "any other class"
    order = np.argsort(-np.bincount(labels, minlength=27), kind="stable")
    first = answers[labels == order[0]]
    assert rates[0, -1] == pytest.approx(np.mean(~np.isin(first, order[:10])))


def test_the_f1_bars_are_scikit_learns() -> None:
    task = task_of(10)
    bars = scores.per_class_f1_figure(task, "t").axes[0].patches
    expected = sorted(sk.f1_score(*truth(task), average=None), reverse=True)
    assert [bar.get_width() for bar in bars] == pytest.approx(expected)


def test_the_distribution_counts_every_known_work_once() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"split": rng.choice(["train", "val", "test"], 500), "style": rng.integers(-1, 6, 500)}
    )
    axes = scores.label_distribution_figure(table, {"style": [f"s{i}" for i in range(6)]}).axes[0]
    for container, split in zip(axes.containers, ["train", "val", "test"], strict=True):
        expected = ((table["split"] == split) & (table["style"] >= 0)).sum()
        assert sum(bar.get_width() for bar in container) == expected
    assert f"{(table['style'] < 0).sum()} unknown" in axes.get_title("left")


def test_the_reliability_bars_are_the_accuracy_of_each_bin() -> None:
    task = task_of(10)
    bars = scores.reliability_figure(task, "t").axes[0].containers[0]
    right = task.predicted == task.labels
    assert len(bars) > 5
    for bar in bars:
        middle = bar.get_x() + bar.get_width() / 2
        inside = task.known & (np.abs(task.confidence - middle) < 1 / 30)
        assert bar.get_height() == pytest.approx(right[inside].mean())


def test_a_task_without_known_labels_says_so_in_every_figure() -> None:
    task = task_of(4)
    unknown = TaskPredictions(task.names, np.full_like(task.labels, -1), task.probabilities)
    for draw in (scores.confusion_figure, scores.per_class_f1_figure, scores.reliability_figure):
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


def write_phases(path: Path, tasks: tuple[str, ...], epochs: tuple[int, ...] = (3, 2, 2)) -> pd.DataFrame:
    """As training writes it: epochs begin at 1 in each phase; shares without any pattern."""
    rng = np.random.default_rng(3)
    rows = [(epoch + 1, phase + 1) for phase, count in enumerate(epochs) for epoch in range(count)]
    table = pd.DataFrame(rows, columns=["epoch", "phase"])
    names = ["lr", "train_loss", "val_loss"]
    for task in tasks:
        names += [f"val_{task}_accuracy", f"train_{task}_accuracy", f"val_{task}_unsure"]
        names += [f"val_{task}_wrong_and_unsure"]
    table[names] = rng.random((len(table), len(names)))
    table.to_csv(path, index=False)
    return table


@pytest.mark.slow
def test_epochs_that_begin_anew_in_each_phase_are_counted_on(tmp_path: Path) -> None:
    write_phases(tmp_path / "metrics.csv", ("style",))
    drawn = [learning_curves_figure(tmp_path / "metrics.csv"), outliers_figure(tmp_path / "metrics.csv")]
    for axes in [axes for figure in drawn if figure is not None for axes in figure.axes]:
        assert list(axes.lines[0].get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
        assert [line.get_xdata()[0] for line in axes.lines[-2:]] == [3.5, 5.5]
    assert [text.get_text().split()[-1] for text in drawn[0].axes[0].texts] == ["1", "2", "3"]


def test_the_accuracy_on_training_works_is_dashed_in_the_colour_of_its_task(tmp_path: Path) -> None:
    table = write_phases(tmp_path / "metrics.csv", ("artist", "genre"))
    _, accuracy, rate = learning_curves_figure(tmp_path / "metrics.csv").axes
    solid, dashed = accuracy.lines[0:4:2], accuracy.lines[1:4:2]
    for task, one, other in zip(("artist", "genre"), solid, dashed, strict=True):
        np.testing.assert_allclose(one.get_ydata(), table[f"val_{task}_accuracy"])
        np.testing.assert_allclose(other.get_ydata(), table[f"train_{task}_accuracy"])
        assert one.get_color() == other.get_color() == style.TASK_COLOURS[task]
        assert (one.get_linestyle(), other.get_linestyle()) == ("-", "--")
    legend = accuracy.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["artist", "genre", "on training works"]
    assert accuracy.get_title("left") == "Accuracy"
    assert rate.get_title("left") == "Learning rate (neck and heads)"


@pytest.mark.parametrize("tasks", [("style",), ("artist", "style", "genre")])
def test_the_outliers_figure_shows_accuracy_above_the_shares_of_outliers(
    tmp_path: Path, tasks: tuple[str, ...]
) -> None:
    table = write_phases(tmp_path / "metrics.csv", tasks)
    figure = outliers_figure(tmp_path / "metrics.csv")
    assert figure is not None
    upper, lower = figure.axes[: len(tasks)], figure.axes[len(tasks) :]
    for task, above, below in zip(tasks, upper, lower, strict=True):
        assert above.get_title("left") == task.capitalize()
        np.testing.assert_allclose(above.lines[0].get_ydata(), table[f"val_{task}_accuracy"])
        np.testing.assert_allclose(below.lines[0].get_ydata(), table[f"val_{task}_unsure"])
        np.testing.assert_allclose(below.lines[1].get_ydata(), table[f"val_{task}_wrong_and_unsure"])
        assert below.yaxis.get_major_formatter()(0.25) == "25%"


def test_a_run_that_did_not_count_outliers_has_no_figure_of_them(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", epochs=3)
    assert outliers_figure(tmp_path / "metrics.csv") is None


def test_one_epoch_is_drawn_and_a_foreign_table_is_refused(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", epochs=1)
    assert style.png(learning_curves_figure(tmp_path / "metrics.csv")).startswith(b"\x89PNG")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"other\.csv: has no column epoch"):
        learning_curves_figure(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty\.csv"):
        learning_curves_figure(tmp_path / "empty.csv")


@pytest.mark.parametrize("coarse_first", [False, True])
def test_a_text_is_as_wide_whatever_figures_were_drawn_at_before(
    coarse_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured is kept for the process; a figure drawn coarsely must not narrow the texts of the next."""
    style._ruler.cache_clear()
    style.text_width.cache_clear()
    if coarse_first:
        with monkeypatch.context() as patch:
            patch.setattr(style, "DPI", 36)
            assert style.wrap("one text", 5, 10) == ["one text"]
    text, size = "Abstract Expressionism", 10
    drawn = Figure(dpi=style.DPI).text(0, 0, text, fontsize=size, fontfamily=style.STYLE["font.family"])
    inches = drawn.get_window_extent(FigureCanvasAgg(drawn.figure).get_renderer()).width / style.DPI
    assert style.wrap(text, inches * 1.01, size) == [text]
    assert style.wrap(text, inches * 0.99, size) != [text]


def test_drawing_leaves_matplotlibs_settings_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    scores.reliability_figure(task_of(3), "t")
    assert dict(matplotlib.rcParams) == before
