"""The HTML report of a run: one file that needs no other, beside its figures and text reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from morelli.evaluation.predictions import Predictions
from morelli.evaluation.scores.scores import class_report
from morelli.files import explain_os_error, write_text
from morelli.report.html import Missing, Section, render
from morelli.report.pages.pictures import (
    collection_pictures,
    network_pictures,
    sample_pictures,
    task_pictures,
    trust_pictures,
)
from morelli.report.run_results import RunResults, read_run_results
from morelli.report.sections import collection_summary
from morelli.report.sections.trust import has_figures, leakage_table, share, trust_tables
from morelli.run import Run

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
    """Writes ``RUN/report/`` without the sections that take their time; gives the page's path.

    Reads ``scores-SPLIT.json``, ``predictions-SPLIT.parquet`` and ``collection.parquet`` of the run;
    ``metrics.csv``, ``model.json`` and ``recipe.yaml`` where they are there; and the paintings of sample works and the
    repairs where their collection is. Raises :class:`RunError` when a needed one is missing and :class:`DataError`
    when one is damaged.
    """
    results = read_run_results(run, split)
    more = "Confused works, candidates for review, nearest works and reading traces"
    return write_page(
        results, [Missing("more", more, f"morelli report {quote(results.name)} --split {split}")]
    )


def write_page(
    results: RunResults, sections: Sequence[Section | Missing] = (), out: Path | None = None
) -> Path:
    """Writes ``RUN/report/``: figures, ``class_report_TASK.txt`` and ``index.html``, or the page as ``out``.

    ``sections`` follow the calibration, in their order; what is missing is said in a line at the end.
    """
    run, split, scores, predictions = results.run, results.split, results.scores, results.predictions
    folder = Run(run).report_folder
    file = out or folder / "index.html"
    try:
        samples, no_samples = sample_pictures(folder, run, scores, predictions)
        calibrated = all("calibration" in scores["tasks"][name] for name in predictions.tasks)
        pictures = [
            (name, task_pictures(folder, name, task, split, reliability=not calibrated))
            for name, task in predictions.tasks.items()
        ]
        reports = {name: class_report(task) for name, task in predictions.tasks.items()}
        for name, text in reports.items():
            write_text(Run(run).class_report_file(name), text)
        vocabularies = {name: task.names for name, task in predictions.tasks.items()}
        recipe = Run(run).recipe_file
        page = render(
            "report.html",
            run=results.name,
            split={"val": "validation", "train": "training"}.get(split, split),
            works=len(predictions),
            tasks=list(predictions.tasks),
            classes={name: len(task.names) for name, task in predictions.tasks.items()},
            rows=_score_rows(scores, predictions),
            joint=share(scores.get("joint_exact_match"), scores.get("joint_exact_match_ci95")),
            joint_works=scores.get("joint_n") or 0,
            samples=samples,
            no_samples=no_samples,
            task_pictures=pictures,
            trust=trust_pictures(folder, predictions, scores, split) if calibrated else [],
            tables=trust_tables(scores, list(predictions.tasks)) if calibrated else [],
            sections=[section for section in sections if isinstance(section, Section)],
            missing=[section for section in sections if isinstance(section, Missing)],
            leakage=leakage_table(scores, list(predictions.tasks)),
            reports=reports,
            network=network_pictures(folder, run),
            recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
            sizes=collection_summary.sizes(results.works),
            collection_summary=collection_summary.collection_summary(results.works, vocabularies),
            repairs=collection_summary.repairs(run),
            data=collection_pictures(folder, results.works, vocabularies),
            artists=collection_summary.artists(results.works),
        )
        write_text(file, page)
    except OSError as error:
        raise explain_os_error(error) from None
    return file


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
