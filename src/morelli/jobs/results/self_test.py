"""What the audit's self-test returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.console import Table
from morelli.jobs.results.base import Result

FIGURES = ("auroc", "average_precision", "precision_at_100", "precision_at_errors")
_HEADER = ("rule", "AUROC", "average precision", "at 100", "at the number planted")


@dataclass(frozen=True, repr=False)
class SelfTest(Result):
    """How many planted label errors every rule finds, from cross-fits of ``folds`` folds and ``epochs`` epochs.

    ``tasks[task]["given"]`` is what the audit estimates of the labels as they are, and ``["settings"]`` holds for each
    kind, rate and seed of errors what was ``planted`` and the figures of each of the ``rules``. Files are in
    ``folder``.
    """

    folder: Path
    folds: int
    epochs: int
    tasks: Mapping[str, Mapping[str, Any]]

    @property
    def table(self) -> pd.DataFrame:
        """One row for each task, setting and rule; the figures are means over the seeds."""
        rows = [
            {"task": task, "kind": setting["kind"], "rate": setting["rate"], "rule": rule} | figures
            for task, result in self.tasks.items()
            for setting in result["settings"]
            for rule, figures in setting["rules"].items()
        ]
        numbers = pd.DataFrame(rows).astype(
            dict.fromkeys(FIGURES, np.float64)
        )  # None, where nothing was planted
        return numbers.groupby(["task", "kind", "rate", "rule"], sort=False, as_index=False).mean()

    def to_dict(self) -> dict[str, Any]:
        """As in ``self-test.json``: ``{"folder", "folds", "epochs", "tasks"}``."""
        return {
            "folder": str(self.folder),
            "folds": self.folds,
            "epochs": self.epochs,
            "tasks": dict(self.tasks),
        }

    def _parts(self) -> list[str | Table]:
        parts: list[str | Table] = []
        for (task, kind, rate), rows in self.table.groupby(["task", "kind", "rate"], sort=False):
            ranked = rows.sort_values("average_precision", ascending=False, kind="stable")
            cells = [(row["rule"], *(_figure(row[name]) for name in FIGURES)) for _, row in ranked.iterrows()]
            title = f"{str(task).capitalize()}: {kind} errors in {rate:.0%} of the labels"
            parts.append(Table(title, _HEADER, cells))
        for task, result in self.tasks.items():
            given = result["given"]
            if given["verified"]:
                parts.append(
                    f"{task}: a person verified {given['verified']:,} labels; they are taken as right"
                )
            parts.append(
                f"{task}: of the {given['labels']:,} labels as they are, the audit estimates {given['estimated']:,} to "
                f"be wrong, and {given['two_labels']:,} works look like another that is labelled otherwise"
            )
        return [*parts, f"figure: {self.folder / 'self-test.png'}"]

    def _pictures(self) -> list[bytes]:
        return [(self.folder / "self-test.png").read_bytes()]


def _figure(value: float) -> str:
    """A figure has no value where the rate came to no work at all."""
    return "–" if pd.isna(value) else f"{value:.3f}"
