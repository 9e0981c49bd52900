"""The HTML report of a run: one file that needs no other, beside its figures and text reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from morelli.errors import DataError, RunError
from morelli.files import explain_os_error, read_json, write_text
from morelli.judgement import predictions as predictions_file
from morelli.judgement.predictions import Predictions
from morelli.judgement.scores import class_report
from morelli.report.pictures import (
    collection_pictures,
    network_pictures,
    sample_pictures,
    task_pictures,
    trust_pictures,
)
from morelli.report.style import SPLIT_COLOURS, pretty
from morelli.report.trust import has_figures, leakage_table, share, trust_tables

# of so many artists the report gives the number of works
ARTISTS = 10

# figure, label, whether it is a share shown in per cent, one line of explanation
ROWS = [
    ("accuracy", "Accuracy", True, "share of works named rightly"),
    ("accuracy_either", "Either label", True, "a work filed under two styles may be called either"),
    ("top5", "Top-5 accuracy", True, "true class among the five most probable"),
    ("macro_f1", "Macro F1", True, "every class counts alike"),
    ("weighted_f1", "Weighted F1", True, "classes count by their works"),
    ("ece", "Calibration error", True, "gap between confidence and accuracy"),
    ("nll", "Log loss", False, "nats a work"),
]
BASELINES = [
    ("majority", "Most frequent class", "always the same answer"),
    ("artist_oracle", "Artist known", "each painter's most frequent class"),
]


def write_report(run: Path, split: str) -> Path:
    """Writes ``RUN/report/``: figures, ``class_report_TASK.txt`` and ``index.html``; gives the page's path.

    Reads ``scores-SPLIT.json``, ``predictions-SPLIT.parquet`` and ``collection.parquet`` of the run;
    ``metrics.csv``, ``model.json`` and ``recipe.yaml`` where they are there; and the paintings of sample works where
    their collection is. Raises :class:`RunError` when a needed one is missing and :class:`DataError` when one is
    damaged.
    """
    run = Path(run)
    scores, predictions, collection = _parts(run, split)
    folder = run / "report"
    try:
        samples, no_samples = sample_pictures(folder, run, scores, predictions)
        calibrated = all("calibration" in scores["tasks"][name] for name in predictions.tasks)
        sections = [
            (name, task_pictures(folder, name, task, split, reliability=not calibrated))
            for name, task in predictions.tasks.items()
        ]
        reports = {name: class_report(task) for name, task in predictions.tasks.items()}
        for name, text in reports.items():
            write_text(folder / f"class_report_{name}.txt", text)
        vocabularies = {name: task.names for name, task in predictions.tasks.items()}
        recipe = run / "recipe.yaml"
        page = _environment().get_template("report.html").render(
            run=run.resolve().name,
            split={"val": "validation", "train": "training"}.get(split, split),
            works=len(predictions),
            tasks=list(predictions.tasks),
            classes={name: len(task.names) for name, task in predictions.tasks.items()},
            rows=_score_rows(scores, predictions),
            joint=share(scores.get("joint_exact_match"), scores.get("joint_exact_match_ci95")),
            joint_works=scores.get("joint_n") or 0,
            samples=samples,
            no_samples=no_samples,
            sections=sections,
            trust=trust_pictures(folder, predictions, scores, split) if calibrated else [],
            tables=trust_tables(scores, list(predictions.tasks)) if calibrated else [],
            leakage=leakage_table(scores, list(predictions.tasks)),
            reports=reports,
            network=network_pictures(folder, run),
            recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
            data=collection_pictures(folder, collection, vocabularies),
            artists=_artists(collection),
        )  # fmt: skip
        write_text(folder / "index.html", page)
    except OSError as error:
        raise explain_os_error(error) from None
    return folder / "index.html"


def _parts(run: Path, split: str) -> tuple[dict[str, Any], Predictions, pd.DataFrame]:
    scores, predicted = run / f"scores-{split}.json", run / f"predictions-{split}.parquet"
    for path, command in [
        (scores, f"morelli evaluate {run} --split {split}"),
        (predicted, f"morelli evaluate {run} --split {split}"),
        (run / "collection.parquet", "morelli train"),
    ]:
        if not path.is_file():
            raise RunError(f"{path}: not there; run {command} first")
    predictions = predictions_file.read(predicted)
    tree = read_json(scores)
    if not isinstance(tree, dict) or set(predictions.tasks) - set(tree.get("tasks", {})):
        raise DataError(f"{scores}: does not hold the scores of these predictions; evaluate again")
    try:
        collection = pd.read_parquet(run / "collection.parquet")
    except (OSError, ValueError):
        raise DataError(f"{run / 'collection.parquet'}: not a readable collection; train again") from None
    missing = {"split", "artist_name", *predictions.tasks} - set(collection)
    if missing:
        raise DataError(f"{run / 'collection.parquet'}: has no column {min(missing)}; train again")
    return tree, predictions, collection


def _artists(collection: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """The most represented artists, whether they are a class of the run or not: works of each split, and of all."""
    splits = list(SPLIT_COLOURS)
    used = collection[collection["split"].isin(splits)]
    counts = pd.crosstab(used["artist_name"], used["split"]).reindex(columns=splits, fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts = counts.sort_index().sort_values("all", ascending=False, kind="stable").head(ARTISTS)
    return [(pretty(str(name), "artist"), [int(n) for n in row]) for name, row in counts.iterrows()]


def _score_rows(scores: dict[str, Any], predictions: Predictions) -> list[dict[str, Any]]:
    """One row a figure, one cell a task; a row without any figure is left out."""
    tables = {name: scores["tasks"][name] for name in predictions.tasks}
    rows: list[dict[str, Any]] = []
    for key, label, is_share, hint in ROWS:
        cells = []
        for name, table in tables.items():
            # with five classes or fewer the true one is always among the five
            trivial = key == "top5" and len(predictions.tasks[name].names) <= 5
            value = None if trivial else table.get(key)
            cells.append(share(value, table.get(f"{key}_ci95")) if is_share else _plain(value))
        rows.append({"label": label, "hint": hint, "cells": cells, "baseline": False})
    for key, label, hint in BASELINES:
        cells = [share((table.get("baselines") or {}).get(key)) for table in tables.values()]
        rows.append({"label": label, "hint": hint, "cells": cells, "baseline": True})
    works = [(f"{table['n']:,d}", "") for table in tables.values()]
    rows.append({"label": "Works scored", "hint": "label known", "cells": works, "baseline": False})
    return [row for row in rows if has_figures(row)]


def _plain(value: float | None) -> tuple[str, str]:
    return ("–", "") if value is None else (f"{value:.2f}", "")


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("morelli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
