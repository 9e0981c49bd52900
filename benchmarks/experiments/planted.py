"""How many of the wrong labels that the painter planted each rule of the audit finds.

    morelli demo --out demo                    (or: paint OUT --defects, collect, train)
    python -m benchmarks.experiments.planted demo/run --truth demo/paintings/truth.json

Every work of the run's collection is judged from cross-fitted predictions, all tasks' plants together with the labels
of their own task. ``at planted`` is the precision among as many candidates as labels are wrong, which is then also the
share of them found.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from morelli.console import show_table
from morelli.errors import DataError
from morelli.evaluation.audit.label_noise import measures
from morelli.evaluation.audit.rules import RULES
from morelli.files import read_json
from morelli.jobs.crossfit import CrossFit, crossfit


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--truth", type=Path, required=True, help="truth.json of morelli paint --defects")
    options = parser.parse_args()
    made = crossfit(options.run)
    wrong = planted(made, options.truth)
    for task, evidence in made.evidence().items():
        known = evidence.task.known
        rows = []
        for name, rule in RULES.items():
            if rule.question == "label":
                figures = measures(wrong[task][known], rule.judge(evidence).score[known])
                rows.append((name, *("–" if v is None else f"{v:.3f}" for v in figures.values())))
        title = f"{task}: {wrong[task].sum()} wrong of {known.sum():,} labels"
        show_table(title, ("rule", "AUROC", "average precision", "at 100", "at planted"), rows)


def planted(evidence: CrossFit, truth: Path) -> dict[str, np.ndarray]:
    """{task: which works (N,) carry a planted label}; a plant that collecting dropped or repaired is none."""
    ids = {name: row for row, name in enumerate(evidence.predictions.ids)}
    wrong = {task: np.zeros(len(ids), bool) for task in evidence.predictions.tasks}
    for mislabelled in read_json(truth)["defects"]["mislabelled"]:
        row, task = ids.get(mislabelled["path"]), mislabelled["task"]
        if row is None or task not in wrong:
            continue
        names, label = evidence.predictions.tasks[task].names, evidence.predictions.tasks[task].labels[row]
        if label >= 0 and names[label] == mislabelled["given"]:
            wrong[task][row] = True
    if not any(flags.any() for flags in wrong.values()):
        raise DataError(f"{truth}: none of its wrong labels is in this run's collection")
    return wrong


if __name__ == "__main__":
    main()
