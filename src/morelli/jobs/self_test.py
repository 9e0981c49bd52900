"""``morelli audit --self-test``: plants known label errors and measures how many of them each rule ranks first.

The whole audit runs again on the wrong labels: cross-fitting, second opinion, neighbours, cross-task evidence. The five
systems' rules read the same cross-fitted predictions, which is more than their systems give them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morelli.collection.collection import Collection
from morelli.collection.corrections import verified_column
from morelli.console import say
from morelli.errors import DataError, UsageError
from morelli.evaluation.audit.evidence import TaskEvidence
from morelli.evaluation.audit.label_noise import NOISE_KINDS, confused_with, inject_label_noise, measures
from morelli.evaluation.audit.label_rules import estimated_errors
from morelli.evaluation.audit.opinion_pool import label_error_score, pool_evidence, rank_average
from morelli.evaluation.audit.rules import RULES
from morelli.files import AnyPath, as_path, atomic_write, read_json, write_json
from morelli.jobs.crossfit import CrossFit, check_options, crossfit, facts_of, fit_all, pooled
from morelli.jobs.results.self_test import SelfTest
from morelli.run import Run

PICTURES_ALONE = "combined, no other labels"
RANKS = "mean rank of the label rules"
ASIDE = "combined, aside from those flagged before"


@dataclass(frozen=True)
class _Setting:
    """One planting: its kind, the share of labels, the seed."""

    kind: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.rate:g}-{self.seed}"


def self_test(
    run: AnyPath,
    rates: Sequence[float] = (0.05, 0.10),
    kinds: Sequence[str] = NOISE_KINDS,
    tasks: list[str] | None = None,
    seeds: int = 1,
    folds: int | None = None,
    epochs: int | None = None,
) -> SelfTest:
    """Plants each of ``kinds`` of errors at each of ``rates`` in the labels of ``tasks`` (all unless given), ``seeds``
    times, and judges every rule by what it finds.

    ``symmetric`` errors are any other class, ``confusing`` ones the class that works of the true one are most often
    taken for. Writes ``self-test.json``, ``table.csv`` and ``self-test.png`` into ``RUN/audit/self-test``. In the
    result ``tasks`` is ``{task: {"given": {...}, "settings": [{"kind", "rate", "seed", "planted", "rules": {rule:
    measures}}]}}``; ``given`` is what the audit estimates of the labels as they are, whose errors bound every
    precision. ``folds`` and ``epochs`` are those of the run's own cross-fit unless given. An interrupted call goes on
    where it stopped.

    The labels hold errors before any is planted; :data:`ASIDE` therefore leaves out the works that the audit flags as
    they are. Labels that a person verified are right: none of them is flagged or estimated to be wrong. Errors are
    planted on them as on all others, and the rules judge all labels alike.

    Raises :class:`UsageError` for a rate outside 0–0.5, an unknown kind or task, and as
    :func:`morelli.jobs.crossfit.crossfit`.
    """
    run = as_path(run)
    _check(rates, kinds, seeds, folds, epochs)
    from morelli.prediction.model import load_model
    from morelli.report.figures.self_test import self_test_figure

    given = crossfit(run)
    folds, epochs = folds or given.facts["folds"], epochs or given.facts["epochs"]
    model = load_model(run)
    chosen = _tasks(given, tasks)
    folder = Run(run).self_test_folder
    before = {task: RULES["combined"].judge(of_task).flagged for task, of_task in given.evidence().items()}
    features = None
    results: dict[str, Any] = {task: {"given": _given(given, task), "settings": []} for task in chosen}
    settings = [_Setting(k, r, s) for k in kinds for r in rates for s in range(seeds)]
    for number, setting in enumerate(settings):
        say(
            f"self-test {number + 1} of {len(settings)}: {setting.kind} errors in {setting.rate:.0%} of labels"
        )
        noisy, planted = _plant(given, chosen, setting)
        facts = facts_of(model, noisy, folds, epochs, chosen)
        settled = facts | {"flagged_before": _digest(before)}
        measured = _read(folder / f"{setting.name}.json", settled)
        if measured is None:
            features = features or pooled(model, given.collection)
            work = folder / setting.name
            predictions = fit_all(model, noisy, work, facts, features, f"morelli audit {run} --self-test")
            measured = _measure(CrossFit(noisy, *predictions, facts), planted, before)
            write_json(folder / f"{setting.name}.json", {"facts": settled, "tasks": measured})
            shutil.rmtree(work, ignore_errors=True)
        for task in chosen:
            results[task]["settings"].append(
                {"kind": setting.kind, "rate": setting.rate, "seed": setting.seed} | measured[task]
            )
    tested = SelfTest(folder, folds, epochs, results)
    write_json(folder / "self-test.json", tested.to_dict())
    with atomic_write(folder / "table.csv") as temporary:
        tested.table.to_csv(temporary, index=False, float_format="%.4f")
    with atomic_write(folder / "self-test.png") as temporary:
        temporary.write_bytes(self_test_figure(tested.table))
    return tested


def _check(
    rates: Sequence[float], kinds: Sequence[str], seeds: int, folds: int | None, epochs: int | None
) -> None:
    for rate in rates:
        if not 0 < rate <= 0.5:
            raise UsageError(f"rates: {rate:g} must be above 0 and at most 0.5")
    for kind in kinds:
        if kind not in NOISE_KINDS:
            raise UsageError(f"kinds: {kind} must be one of {', '.join(NOISE_KINDS)}")
    if seeds < 1:
        raise UsageError(f"seeds: {seeds} must be at least 1")
    check_options(folds, epochs)


def _tasks(given: CrossFit, wanted: list[str] | None) -> list[str]:
    there = given.predictions.tasks
    for task in wanted or ():
        if task not in there:
            raise UsageError(f"--task {task}: not a task of this run; it has {', '.join(there)}")
    return list(dict.fromkeys(wanted or there))


def _plant(
    given: CrossFit, tasks: list[str], setting: _Setting
) -> tuple[Collection, dict[str, NDArray[np.bool_]]]:
    """The collection with wrong labels, and which are wrong. No label in it is verified: a planted error may replace
    one that is, and those that stay verified would tell a rule where none is planted."""
    collection, planted = given.collection, {}
    for number, name in enumerate(tasks):
        task = given.predictions.tasks[name]
        confused = confused_with(task) if setting.kind == "confusing" else None
        seed = (setting.seed, number, round(1000 * setting.rate), NOISE_KINDS.index(setting.kind))
        labels, planted[name] = inject_label_noise(task.labels, len(task.names), setting.rate, seed, confused)
        collection = collection.with_labels(name, labels, task.names)
    table = collection.table.drop(columns=[verified_column(name) for name in tasks], errors="ignore")
    return Collection(collection.folder, table, collection.info), planted


def _measure(
    fit: CrossFit, planted: dict[str, NDArray[np.bool_]], before: dict[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    """How well each rule ranks the ``planted`` errors of each task first; ``before`` are the works that the audit flags
    with the labels as they are."""
    measured = {}
    for task, evidence in fit.evidence().items():
        known = evidence.task.known
        wrong = planted[task][known]
        scores = {name: rule.judge(evidence).score for name, rule in RULES.items()}
        label_rules = [
            scores[name] for name, rule in RULES.items() if rule.cross_fit and rule.question == "label"
        ]
        scores[RANKS] = rank_average([s for s in label_rules if s is not scores["combined"]])
        scores[PICTURES_ALONE] = _by_pictures(evidence)
        rules = {name: measures(wrong, score[known]) for name, score in scores.items()}
        aside = known & (planted[task] | ~before[task])
        rules[ASIDE] = measures(planted[task][aside], scores["combined"][aside])
        pool = pool_evidence(evidence)
        measured[task] = {
            "planted": int(wrong.sum()),
            "estimated": estimated_errors(evidence, np.exp(pool.log_probabilities)),
            "weights": pool.weights,
            "rules": rules,
        }
    return measured


def _by_pictures(evidence: TaskEvidence) -> NDArray[np.float64]:
    """The combined ranking by what the picture shows."""
    return label_error_score(pool_evidence(evidence, without=tuple(evidence.cross_task)), evidence)


def _given(fit: CrossFit, task: str) -> dict[str, Any]:
    """What the audit estimates of the labels as they are."""
    evidence = fit.evidence()[task]
    labels, groups = evidence.task.labels, evidence.shared.groups
    known = pd.DataFrame({"label": labels, "group": groups})[labels >= 0]
    pool = pool_evidence(evidence)
    return {
        "labels": len(known),
        "verified": int((evidence.verified & evidence.task.known).sum()),
        "estimated": estimated_errors(evidence, np.exp(pool.log_probabilities)),
        "two_labels": int((known.groupby("group")["label"].transform("nunique") > 1).sum()),
        "weights": pool.weights,
    }


def _digest(flagged: dict[str, NDArray[np.bool_]]) -> str:
    digest = hashlib.sha256()
    for task in sorted(flagged):
        digest.update(task.encode() + flagged[task].tobytes())
    return digest.hexdigest()[:16]


def _read(file: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier call measured under the same settings and labels."""
    try:
        saved = read_json(file)
    except DataError:
        return None
    return saved["tasks"] if isinstance(saved, dict) and saved.get("facts") == facts else None
