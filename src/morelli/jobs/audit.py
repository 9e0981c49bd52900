"""``morelli audit``: the works that an outlier rule puts forward for review."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.splits import check_split
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.rules import RULES, Rule, Verdicts, parse_rule
from morelli.evaluation.audit.uncertainty import given_probability
from morelli.evaluation.predictions import TaskPredictions
from morelli.files import AnyPath, as_path, explain_os_error, read_json
from morelli.jobs.audit_files import Judged, Part, texts, write_audit
from morelli.jobs.crossfit import check_options, crossfit
from morelli.jobs.results.audit import Audit
from morelli.report.figures.style import display_name
from morelli.report.sections.reasons import reason
from morelli.run import Run

MOST_TILES = 100
UNLIKE = "knn-distance"  # answers the other question beside a rule that suspects labels


def audit(
    run: AnyPath,
    rule: str = "combined",
    split: str | None = None,
    top: int = 25,
    tasks: Sequence[str] | None = None,
    folds: int | None = None,
    epochs: int | None = None,
) -> Audit:
    """Judges the works of a run by a rule of :mod:`morelli.evaluation.audit.rules`.

    The five systems' rules read ``RUN/predictions-SPLIT.parquet`` (split test unless given). The others read
    cross-fitted predictions (:func:`morelli.jobs.crossfit.crossfit`, with ``folds`` and ``epochs``; made when they are
    missing) of the whole collection, and show the works of ``split``, all unless given; so do the five where train or
    all was not evaluated.

    Writes into ``RUN/audit/RULE-SPLIT``: ``candidates.csv`` and ``.parquet`` (a row for each flagged work and task,
    most suspicious first; the CSV has a column ``correct_label`` for a person to fill in), ``scores.parquet`` (every
    work and task), and of each task ``per_class_TASK.csv`` and ``gallery_TASK.jpg``; beside a cross-fitted label rule
    ``unlike.csv``, ``unlike_scores.parquet`` and ``unlike_TASK.jpg`` say which works are unlike the others;
    ``index.html`` shows all. ``top`` is the number of works in a gallery (at most 100 are shown), and how many a rule
    without a threshold flags. ``tasks`` are all unless given. Where the collection cannot be opened there are no
    pictures.

    Raises :class:`UsageError` for an unknown rule, split or task and a ``top`` below 1, :class:`RunError` where the
    split was not evaluated and :class:`DataError` where a file is damaged.

    >>> import morelli
    >>> audit = morelli.audit("run", "given-label<0.3")
    >>> audit.candidates("style")["score"].is_monotonic_decreasing
    True
    """
    run = as_path(run)
    chosen = parse_rule(rule)
    split = split or ("all" if chosen.cross_fit else "test")
    check_split(split)
    if top < 1:
        raise UsageError(f"--top {top}: must be at least 1")
    check_options(folds, epochs)
    _check_tasks(run, tasks)
    works, cases = _works(run, chosen, split, folds, epochs)
    rules = [chosen]
    if chosen.cross_fit and chosen.question == "label":
        rules.append(RULES[UNLIKE])
    wanted = _tasks(cases, tasks)
    try:
        parts = [Part(each, [_judge(works, cases[name], each, top) for name in wanted]) for each in rules]
    except DataError as error:
        name = "crossfit" if chosen.cross_fit else split
        raise DataError(f"{Run(run).predictions_file(name)}: {error}") from None
    folder = Run(run).audit_folder(re.sub(r"[^a-z0-9.]+", "-", chosen.name), split)
    fitted = bool(works["fitted"].any())
    try:
        write_audit(run, folder, split, works[works["among"]], parts, min(top, MOST_TILES), fitted)
    except OSError as error:
        raise explain_os_error(error) from None
    counts = {each.name: each.counts() for each in parts[0].judged}
    return Audit.from_dict({"rule": chosen.name, "split": split, "folder": folder, "tasks": counts})


def _works(
    run: Path, rule: Rule, split: str, folds: int | None, epochs: int | None
) -> tuple[pd.DataFrame, dict[str, TaskEvidence]]:
    """The works that are read (``id, path``; ``among``, whether they are of the split; ``fitted``, whether by
    cross-fitting), and the case of each task."""
    if not run.is_dir():
        raise RunError(f"{run}: no such run; give a folder that morelli train made")
    file = Run(run).predictions_file(split)
    if rule.cross_fit or (split in ("train", "all") and not file.is_file() and Run(run).model_file.is_file()):
        made = crossfit(run, folds, epochs)
        among = np.zeros(len(made.predictions), bool)
        among[made.collection.rows(split)] = True
        columns = {"id": made.predictions.ids, "path": made.predictions.paths, "among": among}
        return pd.DataFrame(columns).assign(fitted=True), made.cases()
    if not file.is_file():
        raise RunError(f"{file}: not there; run morelli evaluate {run} --split {split} first")
    predictions = predictions_file.read(file)
    works = pd.DataFrame({"id": predictions.ids, "path": predictions.paths})
    cases = {
        name: TaskEvidence.plain(task, predictions.embedding, name)
        for name, task in predictions.tasks.items()
    }
    return works.assign(among=True, fitted=False), cases


def _check_tasks(run: Path, wanted: Sequence[str] | None) -> None:
    """Before a cross-fit, which takes minutes."""
    file = Run(run).model_file
    there = read_json(file).get("vocabularies", {}) if file.is_file() else {}
    for task in wanted or ():
        if there and task not in there:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(there)}")


def _tasks(cases: dict[str, TaskEvidence], wanted: Sequence[str] | None) -> list[str]:
    for task in wanted or ():
        if task not in cases:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(cases)}")
    return list(dict.fromkeys(wanted or cases))


def _judge(works: pd.DataFrame, case: TaskEvidence, rule: Rule, top: int) -> Judged:
    among = works["among"].to_numpy()
    verdicts = rule.of_case(case, top, None if among.all() else among)
    task = case.task
    shown = TaskPredictions(task.names, task.labels[among], task.probabilities[among])
    candidates = _candidates(works, case, verdicts, rule)
    return Judged(case.name, shown, verdicts.score[among], verdicts.flagged[among], candidates)


def _candidates(works: pd.DataFrame, case: TaskEvidence, verdicts: Verdicts, rule: Rule) -> pd.DataFrame:
    """The flagged works of one task, most suspicious first; of equals the first of the file."""
    task, flagged = case.task, np.flatnonzero(verdicts.flagged)
    rows = flagged[np.argsort(-verdicts.score[flagged], kind="stable")]
    vocabulary = np.array([*task.names, None], dtype=object)
    suggested = verdicts.finding.suggested
    columns = {
        "rank": np.arange(1, len(rows) + 1),
        "task": texts([case.name] * len(rows)),
        "id": texts(works["id"].iloc[rows]),
        "path": texts(works["path"].iloc[rows]),
        "given": texts(vocabulary[task.labels[rows]]),
        "suggested": texts([None] * len(rows) if suggested is None else vocabulary[suggested[rows]]),
        "answer": texts(vocabulary[task.predicted[rows]]),
        "confidence": task.confidence[rows].astype(np.float64),
        "p_given": given_probability(task)[rows].astype(np.float64),
        "score": verdicts.score[rows],
    }
    table = pd.DataFrame(columns)
    more = [reason(rule.kind, case, verdicts.finding, int(row)) for row in rows]
    said = [_reason(rule, work, words) for work, words in zip(table.to_dict("records"), more, strict=True)]
    return table.assign(reason=texts(said))


def _reason(rule: Rule, work: dict[str, Any], more: str) -> str:
    """Why a work is a candidate, in words."""
    if rule.kind == "combined":
        return more
    answer = display_name(work["answer"])
    parts = [rule.measure.format(score=work["score"])] if rule.measure else []
    parts += [more] if more else []
    if pd.isna(work["given"]):
        parts.append(f"no label is given; the network says {answer} with {work['confidence']:.2f}")
    elif work["given"] == work["answer"]:
        parts.append(f"the network says {answer}, as given, with {work['confidence']:.2f}")
    else:
        given = display_name(work["given"])
        parts.append(f"given {given} has probability {work['p_given']:.2f}")
        parts.append(f"the network says {answer} with {work['confidence']:.2f}")
    return "; ".join(parts)
