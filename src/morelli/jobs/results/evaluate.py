"""What ``evaluate`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.jobs.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

Interval = tuple[float, float]
_HEADER = ("task", "works", "accuracy (95 %)", "macro-F1", "ECE", "majority", "artist oracle")


@dataclass(frozen=True, repr=False)
class TaskScores(Result):
    """The scores of one task on the ``n`` works whose label is known; a figure that is not defined is ``None``.

    Shares are 0–1, ``nll`` is in nats, and ``…_ci95`` is the 95 % interval (low, high). ``baselines`` look at no pixel:
    ``majority`` answers with the most frequent class, ``artist_oracle`` knows the artist. ``details`` has everything
    else that ``scores-SPLIT.json`` has for the task, such as ``calibration``, ``conformal`` and ``selective``.

    >>> import morelli
    >>> style = morelli.evaluate("run", page=False)["style"]
    >>> 0 <= style.accuracy <= style.top5 <= 1
    True
    """

    task: str
    n: int
    accuracy: float | None
    accuracy_ci95: Interval | None
    top5: float | None
    macro_f1: float | None
    macro_f1_ci95: Interval | None
    weighted_f1: float | None
    weighted_precision: float | None
    weighted_recall: float | None
    ece: float | None
    nll: float | None
    baselines: Mapping[str, float | None]
    details: Mapping[str, Any]

    @classmethod
    def from_dict(cls, task: str, scores: Mapping[str, Any]) -> TaskScores:
        """One task of ``scores-SPLIT.json``.

        >>> import morelli
        >>> style = morelli.evaluate("run", page=False)["style"]
        >>> type(style).from_dict("style", style.to_dict()) == style
        True
        """
        names = {field.name for field in fields(cls)} - {"task", "details"}
        own = {name: scores[name] for name in names}
        for name in ("accuracy_ci95", "macro_f1_ci95"):
            own[name] = _interval(own[name])
        return cls(task, **own, details={k: v for k, v in scores.items() if k not in names})

    @property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 and support (the number of works) of each class, by its name."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.details["per_class"], orient="index")

    def to_dict(self) -> dict[str, Any]:
        """As in ``scores-SPLIT.json``."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        del own["task"], own["details"]
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
        return listed | dict(self.details)

    def _row(self) -> tuple[object, ...]:
        if not self.n:
            return (self.task, 0, "no known label", "", "", "", "")
        assert self.accuracy_ci95 is not None
        low, high = self.accuracy_ci95
        oracle = self.baselines["artist_oracle"]
        return (
            self.task,
            self.n,
            f"{self.accuracy:.1%} ({low:.1%} to {high:.1%})",
            f"{self.macro_f1:.3f}",
            f"{self.ece:.3f}",
            f"{self.baselines['majority']:.1%}",
            "–" if oracle is None else f"{oracle:.1%}",
        )

    def _parts(self) -> list[str | Table]:
        return [Table("Scores", _HEADER, [self._row()])]


@dataclass(frozen=True, repr=False)
class Scores(Result, Mapping[str, TaskScores]):
    """The scores of a run on a ``split`` of ``collection``: ``scores["style"]`` is a :class:`TaskScores`.

    ``joint_exact_match`` is the share (0–1) of works with every label known, of which there are ``joint_n``, whose
    every answer is right. ``leakage`` says how much of the split resembles training works, where the collection is the
    run's own. ``report`` is the page that was written, if any.

    >>> import morelli
    >>> scores = morelli.evaluate("run", page=False)
    >>> {task: scores[task].n for task in scores}["genre"]
    9
    """

    tasks: Mapping[str, TaskScores]
    joint_exact_match: float | None
    joint_exact_match_ci95: Interval | None
    joint_n: int
    split: str
    collection: str
    leakage: Mapping[str, Any] | None = None
    report: Path | None = None

    @classmethod
    def from_dict(cls, scores: Mapping[str, Any], report: Path | None = None) -> Scores:
        """The content of ``scores-SPLIT.json``.

        >>> import morelli
        >>> scores = morelli.evaluate("run", page=False)
        >>> type(scores).from_dict(scores.to_dict()) == scores
        True
        """
        return cls(
            {task: TaskScores.from_dict(task, each) for task, each in scores["tasks"].items()},
            scores["joint_exact_match"],
            _interval(scores["joint_exact_match_ci95"]),
            scores["joint_n"],
            scores["split"],
            scores["collection"],
            scores.get("leakage"),
            report,
        )

    def __getitem__(self, task: str) -> TaskScores:
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def table(self) -> pd.DataFrame:
        """One row a task: works, accuracy with its interval, macro-F1, calibration error and the baselines."""
        import pandas as pd

        rows = {
            task: {
                "works": each.n,
                "accuracy": each.accuracy,
                "accuracy_low": each.accuracy_ci95 and each.accuracy_ci95[0],
                "accuracy_high": each.accuracy_ci95 and each.accuracy_ci95[1],
                "top5": each.top5,
                "macro_f1": each.macro_f1,
                "ece": each.ece,
                **each.baselines,
            }
            for task, each in self.tasks.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_dict(self) -> dict[str, Any]:
        """As in ``scores-SPLIT.json``."""
        interval = self.joint_exact_match_ci95
        contents = {
            "tasks": {task: each.to_dict() for task, each in self.tasks.items()},
            "joint_exact_match": self.joint_exact_match,
            "joint_exact_match_ci95": interval and list(interval),
            "joint_n": self.joint_n,
            "split": self.split,
            "collection": self.collection,
        }
        return contents if self.leakage is None else contents | {"leakage": dict(self.leakage)}

    def _parts(self) -> list[str | Table]:
        return [Table("Scores", _HEADER, [each._row() for each in self.tasks.values()])]


def _interval(values: Any) -> Interval | None:
    return None if values is None else (float(values[0]), float(values[1]))
