"""What ``compare`` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.jobs.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

_HEADER = ("", "accuracy, %", "macro F1", "accuracy change", "macro F1 change", "p")


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison: its folder ``run``, its short ``name``, its scores by task, and what it cost.

    ``tasks[task]`` has ``n``, ``accuracy`` and ``macro_f1`` (0–1) with their 95 % intervals, and ``difference``, those
    of the paired difference to the reference (``None`` for the reference itself).

    >>> import morelli
    >>> other = morelli.compare(["run", "other-run"]).runs[1]
    >>> other.name, "accuracy_ci95" in other.tasks["style"]["difference"]
    ('other-run', True)
    """

    run: str
    name: str
    tasks: Mapping[str, Mapping[str, Any]]
    seconds_per_epoch: float | None
    epochs: int | None
    parameters: int | None


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Runs compared with the first, the ``reference``, on the works of ``split`` that all of them know.

    >>> import morelli
    >>> comparison = morelli.compare(["run", "other-run"])
    >>> comparison.reference, len(comparison.table)
    ('run', 6)
    """

    split: str
    reference: str
    runs: Sequence[ComparedRun]

    @classmethod
    def from_dict(cls, result: Mapping[str, Any]) -> Comparison:
        """The content of ``comparison.json``.

        >>> import morelli
        >>> comparison = morelli.compare(["run", "other-run"])
        >>> type(comparison).from_dict(comparison.to_dict()) == comparison
        True
        """
        return cls(result["split"], result["reference"], [ComparedRun(**run) for run in result["runs"]])

    @property
    def table(self) -> pd.DataFrame:
        """One row a run and task; an interval is two columns, and a difference begins with ``difference_``."""
        import pandas as pd

        rows = []
        for run in self.runs:
            cost = {name: getattr(run, name) for name in ("seconds_per_epoch", "epochs", "parameters")}
            for task, score in run.tasks.items():
                rows.append({"run": run.run, "name": run.name, "task": task} | _flat(score) | cost)
        return pd.DataFrame(rows).convert_dtypes()  # whole numbers stay whole beside missing ones

    def figure(self) -> bytes:
        """The accuracies and the paired differences with their intervals, as a PNG.

        >>> import morelli
        >>> morelli.compare(["run", "other-run"]).figure()[1:4]
        b'PNG'
        """
        from morelli.report.figures.comparison import comparison_figure
        from morelli.report.figures.style import png

        return png(comparison_figure(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """As in ``comparison.json``: ``{"split", "reference", "runs": [{"run", "name", "tasks", …}, …]}``."""
        return {
            "split": self.split,
            "reference": self.reference,
            "runs": [dict(vars(run)) for run in self.runs],
        }

    def _parts(self) -> list[str | Table]:
        costs = [
            (number, _plain(run.parameters, ",.0f"), _plain(run.epochs, ",.0f"),
             _plain(run.seconds_per_epoch, ",.1f"), run.name)
            for number, run in enumerate(self.runs, start=1)
        ]  # fmt: skip
        header = ("", "parameters", "epochs", "seconds an epoch", "run")
        parts: list[str | Table] = [Table("Runs; 1 is the reference", header, costs)]
        for task, score in self.runs[0].tasks.items():
            if not score["n"]:
                parts.append(f"{task}: no label is known in every run")
                continue
            title = f"{task}: {score['n']:,} works ({self.split}); differences in points, all intervals 95 %"
            rows = [_row(number, run.tasks[task]) for number, run in enumerate(self.runs, 1)]
            parts.append(Table(title, _HEADER, rows))
        return parts

    def _pictures(self) -> list[bytes]:
        return [self.figure()] if any(score["n"] for score in self.runs[0].tasks.values()) else []


def _flat(score: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    figures = {name: value for name, value in score.items() if name != "difference"}
    figures |= {f"difference_{name}": value for name, value in (score["difference"] or {}).items()}
    for name, value in figures.items():
        if name.endswith("_ci95"):
            row |= dict(zip((f"{name}_low", f"{name}_high"), value or (None, None), strict=True))
        else:
            row[name] = value
    return row


def _row(number: int, score: Mapping[str, Any]) -> tuple[object, ...]:
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
