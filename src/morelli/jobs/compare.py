"""``morelli compare``: runs side by side on the works they share, each against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from morelli.collection.splits import check_split
from morelli.console import say, show_table
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.predictions import Predictions
from morelli.evaluation.scores.comparison import compare_task, share
from morelli.files import atomic_write, make_folder, read_json, write_json
from morelli.run import Run


def compare(runs: list[Path], split: str = "test", out: Path | None = None) -> dict[str, Any]:
    """Compares each run with the first, on the works that all of them scored and whose label all of them know.

    Reads ``predictions-SPLIT.parquet``, ``metrics.csv`` and ``model.json`` of each run. With ``out`` writes
    ``comparison.json``, ``comparison.csv`` and ``comparison.png`` into that folder. Returns ``{"split",
    "reference", "runs": [{"run", "name", "tasks", "seconds_per_epoch", "epochs", "parameters"}, …]}``; ``tasks``
    holds what :func:`morelli.evaluation.scores.comparison.compare_task` gives, and what is not known is ``None``.
    Raises :class:`UsageError` for fewer than two runs, :class:`RunError` where one was not evaluated and
    :class:`DataError` where they share no task or no work, or differ in a label.
    """
    if len(runs) < 2:
        raise UsageError("RUNS: give at least two runs; the first is the reference for the others")
    check_split(split)
    if out is not None:
        make_folder(out, "--out")
    files = [(str(run), _predictions(run, split)) for run in runs]
    tasks = {task: compare_task(share(files, task)) for task in _shared_tasks(files)}
    for task, scores in tasks.items():
        most = max(int(predictions.tasks[task].known.sum()) for _, predictions in files)
        if scores[0]["n"] < most:
            say(
                f"{task}: {scores[0]['n']:,} works are known and scored in every run; one run alone has {most:,}"
            )
    names = _names(runs)
    entries = [
        {"run": str(run), "name": names[number], "tasks": {task: tasks[task][number] for task in tasks}}
        | _cost(run)
        for number, run in enumerate(runs)
    ]
    result = {"split": split, "reference": names[0], "runs": entries}
    if out is not None:
        _write(result, out)
    return result


def show_comparison(result: dict[str, Any]) -> None:
    """One table of the runs and what they cost, and one a task; runs by their number, for names are long."""
    runs = result["runs"]
    costs = [
        (number, _plain(run["parameters"], ",.0f"), _plain(run["epochs"], ",.0f"),
         _plain(run["seconds_per_epoch"], ",.1f"), run["name"])
        for number, run in enumerate(runs, start=1)
    ]  # fmt: skip
    show_table("Runs; 1 is the reference", ("", "parameters", "epochs", "seconds an epoch", "run"), costs)
    for task, score in runs[0]["tasks"].items():
        if not score["n"]:
            say(f"{task}: no label is known in every run")
            continue
        title = f"{task}: {score['n']:,} works ({result['split']}); differences in points, all intervals 95 %"
        header = ("", "accuracy, %", "macro F1", "accuracy change", "macro F1 change", "p")
        show_table(title, header, [_row(number, run["tasks"][task]) for number, run in enumerate(runs, 1)])


def _row(number: int, score: dict[str, Any]) -> tuple[object, ...]:
    low, high = (100 * value for value in score["accuracy_ci95"])
    cells = (number, f"{100 * score['accuracy']:.1f} ({low:.1f}–{high:.1f})", f"{score['macro_f1']:.3f}")
    change = score["difference"]
    if change is None:
        return (*cells, "", "", "")
    points = []
    for figure in ("accuracy", "macro_f1"):
        low, high = (100 * value for value in change[f"{figure}_ci95"])
        points.append(f"{100 * change[figure]:+.1f} ({low:.1f}, {high:.1f})")
    p = change["mcnemar_p"]
    return (*cells, *points, "<0.001" if p < 0.001 else f"{p:.3f}")


def _plain(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _predictions(run: Path, split: str) -> Predictions:
    if not run.is_dir():
        raise RunError(f"{run}: no such run; give the folders that morelli train made")
    file = Run(run).predictions_file(split)
    if not file.is_file():
        raise RunError(f"{run}: has no {file.name}; run morelli evaluate {run} --split {split} first")
    return replace(predictions_file.read(file), embedding=None)  # large, and not needed here


def _shared_tasks(files: Sequence[tuple[str, Predictions]]) -> list[str]:
    """The tasks that all runs have, in the order of the first; the others are named and left out."""
    every = dict.fromkeys(task for _, predictions in files for task in predictions.tasks)
    shared = [task for task in every if all(task in predictions.tasks for _, predictions in files)]
    for task in [task for task in every if task not in shared]:
        lacking = ", ".join(name for name, predictions in files if task not in predictions.tasks)
        say(f"{task} is left out: not a task of {lacking}")
    if not shared:
        raise DataError(
            f"{', '.join(name for name, _ in files)}: no task is in all of them; nothing to compare"
        )
    return shared


def _names(runs: Sequence[Path]) -> list[str]:
    """Each run's folder, with as many of the folders above it as tell the runs apart."""
    parts = [run.resolve().parts[1:] for run in runs]
    depth = 1
    while depth < max(map(len, parts)) and len({p[-depth:] for p in parts}) < len(set(parts)):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _cost(run: Path) -> dict[str, Any]:
    """What training took and how large the network is, as far as the run says."""
    files = Run(run)
    cost: dict[str, Any] = dict.fromkeys(("seconds_per_epoch", "epochs", "parameters"))
    try:
        refit = [files.refit.metrics_file] if files.refit.metrics_file.exists() else []
        seconds = pd.concat([pd.read_csv(file)["seconds"] for file in (files.metrics_file, *refit)])
        if len(seconds):
            cost |= {"seconds_per_epoch": round(float(seconds.mean()), 3), "epochs": len(seconds)}
    except (OSError, ValueError, KeyError, TypeError):
        say(f"{files.metrics_file}: cannot be read; the run's epochs are not shown")
    try:
        blocks = read_json(files.model_file)["architecture"]
        parts = [*blocks["backbones"], blocks["neck"], *blocks["heads"].values()]
        cost["parameters"] = sum(int(part["parameters"]) for part in parts)
    except (DataError, KeyError, TypeError, ValueError):
        pass  # a run of before the architecture was noted
    return cost


def _write(result: dict[str, Any], out: Path) -> None:
    from morelli.report.figures.comparison import comparison_figure
    from morelli.report.figures.style import png

    write_json(out / "comparison.json", result)
    with atomic_write(out / "comparison.csv") as temporary:
        _flat(result).to_csv(temporary, index=False)
    with atomic_write(out / "comparison.png") as temporary:
        temporary.write_bytes(png(comparison_figure(result)))


def _flat(result: dict[str, Any]) -> pd.DataFrame:
    """One row a run and task; an interval is two columns, and a difference begins with ``difference_``."""
    rows = []
    for run in result["runs"]:
        for task, score in run["tasks"].items():
            row: dict[str, Any] = {"run": run["run"], "name": run["name"], "task": task}
            figures = {name: value for name, value in score.items() if name != "difference"}
            change = score["difference"] or {}
            figures |= {f"difference_{name}": value for name, value in change.items()}
            for name, value in figures.items():
                if name.endswith("_ci95"):
                    row |= dict(zip((f"{name}_low", f"{name}_high"), value or (None, None), strict=True))
                else:
                    row[name] = value
            cost = {name: run[name] for name in ("seconds_per_epoch", "epochs", "parameters")}
            rows.append(row | cost)
    return pd.DataFrame(rows).convert_dtypes()  # whole numbers stay whole beside missing ones
