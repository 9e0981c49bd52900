"""The figures of a report, drawn, written beside the page, and ready to be shown on it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.files import atomic_write, data_url, read_json
from morelli.report.figures import scores, style
from morelli.report.figures.calibration import abstention_figure, before_after_figure
from morelli.report.figures.curves import learning_curves_figure, outliers_figure
from morelli.report.figures.diagram import architecture_figure
from morelli.report.figures.gallery import gallery_figure
from morelli.report.sections.samples import pictures_of, samples
from morelli.run import Run

# more classes than TOP: a figure of the most frequent ones comes first; more than OPEN: that of all is folded
TOP = 10
OPEN = 40
WIDE = 1500  # CSS pixels; the print of a wider figure is small already


@dataclass(frozen=True)
class Picture:
    """One figure as the page shows it: the file beside the page, what it shows, its width and height in CSS pixels, the
    least width it shrinks to on a narrow screen (which then swipes), its bytes as a data URL, and whether it is folded
    away."""

    file: str
    caption: str
    width: int
    height: int
    least: int
    source: str
    folded: bool


def task_pictures(
    folder: Path, name: str, task: TaskPredictions, split: str, reliability: bool = True
) -> list[Picture]:
    """What is confused with what, the F1 of each class, and, with ``reliability``, accuracy against confidence."""
    title = f"{name.capitalize()} ({split})"
    classes = len(np.union1d(task.labels[task.known], task.predicted[task.known]))
    folded = classes > OPEN
    every = f"All {classes} classes: which" if classes > TOP else "Which"
    confusion = scores.confusion_figure(task, title)
    f1 = scores.per_class_f1_figure(task, f"F1 of each {name} ({split})")
    pictures = [
        _picture(folder, f"confusion_{name}", confusion, f"{every} {name} is taken for which.", folded),
        _picture(folder, f"f1_{name}", f1, f"F1 of each {name}, best first.", folded),
    ]
    if reliability:
        drawn = scores.reliability_figure(task, title)
        pictures.append(_picture(folder, f"reliability_{name}", drawn, "Confidence against accuracy."))
    if classes > TOP:
        drawn = scores.confusion_figure(task, f"{title}: {TOP} most frequent", top=TOP)
        caption = f"The {TOP} most frequent classes: which {name} is taken for which."
        pictures.insert(0, _picture(folder, f"confusion_{name}_top", drawn, caption))
    # what can be seen at once before what has to be unfolded
    return sorted(pictures, key=lambda picture: picture.folded)


def trust_pictures(
    folder: Path, predictions: Predictions, scores: dict[str, Any], split: str
) -> list[Picture]:
    """Abstention, then for each task confidence against accuracy before and after calibration, folded."""
    tables = scores["tasks"]
    targets = {name: (tables[name].get("selective") or {}).get("target") or {} for name in predictions.tasks}
    thresholds = {name: target.get("threshold") for name, target in targets.items()}
    drawn = abstention_figure(
        predictions.tasks, f"Accuracy when unsure works are left out ({split})", thresholds
    )
    caption = "Accuracy against the share of works answered."
    if any(threshold is not None for threshold in thresholds.values()):
        caption += " Dots: the confidence at which 95 % of the validation works were right."
    pictures = [_picture(folder, "abstention", drawn, caption, shrink=0.55)]
    for name, task in predictions.tasks.items():
        fitted = tables[name]["calibration"]
        title = f"{name.capitalize()} ({split})"
        drawn = before_after_figure(task, title, fitted["temperature"], fitted.get("shift"))
        caption = f"{name.capitalize()}: confidence against accuracy, before and after calibration."
        pictures.append(_picture(folder, f"reliability_{name}", drawn, caption, folded=True))
    return pictures


def sample_pictures(
    folder: Path, run: Path, scores: dict[str, Any], predictions: Predictions
) -> tuple[list[Picture], str]:
    """A gallery for each number of right answers, the first unfolded; and, where there is none, why (else "")."""
    if len(predictions.tasks) < 2:
        return [], ""
    if not np.logical_and.reduce([task.known for task in predictions.tasks.values()]).any():
        return [], "No sample works are shown: of no work the labels of all tasks are known."
    picture = pictures_of(run, scores, predictions.ids)
    if picture is None:
        return [], "No sample works are shown: their collection is gone, or holds other works now."
    pictures: list[Picture] = []
    count = len(predictions.tasks)
    for sample in samples(predictions, picture):
        every = "both tasks" if count == 2 else f"all {count} tasks"
        tasks = every if sample.right == count else f"{sample.name} of the {count} tasks"
        caption = f"Works with {tasks} right: {_how_many(len(sample.tiles), sample.works)}."
        drawn = gallery_figure(sample.tiles)
        pictures.append(_picture(folder, f"samples_{sample.name}", drawn, caption, bool(pictures), True, 0.9))
    return pictures, ""


def _how_many(shown: int, works: int) -> str:
    if shown < works:
        return f"{shown} of {works:,d}, drawn at random"
    return f"all {works:,d}" if works else "there are none"


def network_pictures(folder: Path, run: Path) -> list[Picture]:
    """What the network is made of, and its training; of an older run what there is."""
    pictures = []
    facts = _architecture(run)
    if facts:
        drawn = architecture_figure(facts)
        pictures.append(
            _picture(folder, "architecture", drawn, "The network, from the image to the answers.")
        )
    metrics = Run(run).metrics_file
    if metrics.exists():
        drawn = learning_curves_figure(metrics)
        what = "before the refit, epoch by epoch" if Run(run).refit.folder.exists() else "epoch by epoch"
        pictures.append(_picture(folder, "curves", drawn, f"Training, {what}."))
        outliers = outliers_figure(metrics)
        if outliers is not None:
            caption = "What further epochs do to the accuracy and to the number of outliers."
            pictures.append(_picture(folder, "outliers", outliers, caption))
    return pictures


def collection_pictures(
    folder: Path, table: pd.DataFrame, vocabularies: dict[str, list[str]]
) -> list[Picture]:
    """What the collection holds."""
    drawn = scores.label_distribution_figure(table, vocabularies)
    return [_picture(folder, "labels", drawn, "Works of each class in the collection, by split.")]


def _architecture(run: Path) -> dict[str, Any]:
    """The network's description, with what of the backbone learned in each phase; empty for an older run."""
    file = Run(run).model_file
    if not file.exists():
        return {}
    model = read_json(file)
    facts = dict(model.get("architecture") or {})
    phases = (model.get("recipe") or {}).get("phases") or []
    if facts.get("backbones") and phases:
        facts["train"] = [phase.get("train", "none") for phase in phases]
    return facts


def _picture(
    folder: Path,
    name: str,
    drawn: Figure,
    caption: str,
    folded: bool = False,
    jpeg: bool = False,
    shrink: float = 0.65,
) -> Picture:
    kind, data = ("jpeg", style.jpeg(drawn)) if jpeg else ("png", style.png(drawn))
    file = f"{name}.{'jpg' if jpeg else 'png'}"
    with atomic_write(folder / file) as temporary:
        temporary.write_bytes(data)
    with Image.open(io.BytesIO(data)) as image:
        scale = style.JPEG_DPI if jpeg else style.DPI
        width, height = image.width * 96 // scale, image.height * 96 // scale
    least = width if width > WIDE else max(round(width * shrink), 330)
    return Picture(file, caption, width, height, least, data_url(data, kind), folded)
