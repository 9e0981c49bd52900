"""``morelli compare``: runs side by side on the works they share, each against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from morelli.collection.splits import check_split
from morelli.console import say
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.predictions import Predictions
from morelli.evaluation.scores.comparison import compare_task, share
from morelli.files import AnyPath, as_path, atomic_write, make_folder, read_json, write_json
from morelli.jobs.results.compare import Comparison
from morelli.run import Run


def compare(runs: Sequence[AnyPath], split: str = "test", out: AnyPath | None = None) -> Comparison:
    """Compares each run with the first, on the works that all of them scored and whose label all of them know.

    Reads ``predictions-SPLIT.parquet``, ``metrics.csv`` and ``model.json`` of each run. With ``out`` writes
    ``comparison.json``, ``comparison.csv`` and ``comparison.png`` into that folder. ``tasks`` of each run in the result
    holds what :func:`morelli.evaluation.scores.comparison.compare_task` gives, and what is not known is ``None``.
    Raises :class:`UsageError` for fewer than two runs, :class:`RunError` where one was not evaluated and
    :class:`DataError` where they share no task or no work, or differ in a label.

    >>> import morelli
    >>> comparison = morelli.compare(["run", "other-run"])
    >>> [run.name for run in comparison.runs]
    ['run', 'other-run']
    """
    folders = [as_path(run) for run in runs]
    out = None if out is None else as_path(out)
    if len(folders) < 2:
        raise UsageError("RUNS: give at least two runs; the first is the reference for the others")
    check_split(split)
    if out is not None:
        make_folder(out, "--out")
    files = [(str(run), _predictions(run, split)) for run in folders]
    tasks = {task: compare_task(share(files, task)) for task in _shared_tasks(files)}
    for task, scores in tasks.items():
        most = max(int(predictions.tasks[task].known.sum()) for _, predictions in files)
        if scores[0]["n"] < most:
            say(
                f"{task}: {scores[0]['n']:,} works are known and scored in every run; one run alone has {most:,}"
            )
    names = _names(folders)
    entries = [
        {"run": str(run), "name": names[number], "tasks": {task: tasks[task][number] for task in tasks}}
        | _cost(run)
        for number, run in enumerate(folders)
    ]
    result = Comparison.from_dict({"split": split, "reference": names[0], "runs": entries})
    if out is not None:
        _write(result, out)
    return result


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


def _write(result: Comparison, out: Path) -> None:
    write_json(out / "comparison.json", result.to_dict())
    with atomic_write(out / "comparison.csv") as temporary:
        result.table.to_csv(temporary, index=False)
    with atomic_write(out / "comparison.png") as temporary:
        temporary.write_bytes(result.figure())
