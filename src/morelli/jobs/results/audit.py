"""What ``audit`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.errors import UsageError
from morelli.jobs.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TaskCounts:
    """How many works of a task could be ``judged``, how many were ``flagged`` as candidates for review, and their
    ``share`` (0–1), ``None`` where nothing could be judged; and how many were not judged because a person ``verified``
    their label.

    >>> import morelli
    >>> style = morelli.audit("run", "entropy", top=3)["style"]
    >>> style.judged, style.flagged
    (10, 3)
    """

    judged: int
    flagged: int
    share: float | None
    verified: int


@dataclass(frozen=True, repr=False)
class Audit(Result, Mapping[str, TaskCounts]):
    """The candidates for review that ``rule`` puts forward among the works of ``split``: ``audit["style"]`` counts
    them, ``audit.candidates("style")`` lists them. Files, galleries and the page are in ``folder``.

    >>> import morelli
    >>> audit = morelli.audit("run", "entropy", top=3)
    >>> [name for name in audit.candidates("style").columns][:5]
    ['rank', 'task', 'id', 'path', 'given']
    """

    rule: str
    split: str
    folder: Path
    tasks: Mapping[str, TaskCounts]

    @classmethod
    def from_dict(cls, summary: Mapping[str, Any]) -> Audit:
        """What :meth:`to_dict` gives.

        >>> import morelli
        >>> audit = morelli.audit("run", "entropy", top=3)
        >>> type(audit).from_dict(audit.to_dict()) == audit
        True
        """
        tasks = {task: TaskCounts(**counts) for task, counts in summary["tasks"].items()}
        return cls(summary["rule"], summary["split"], Path(summary["folder"]), tasks)

    def __getitem__(self, task: str) -> TaskCounts:
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def candidates(self, task: str | None = None) -> pd.DataFrame:
        """The flagged works of one task or of all, the most suspicious first: ``rank``, ``task``, ``id``, ``path``, the
        label ``given``, the label ``suggested``, the model's ``answer`` and its ``confidence`` (0–1), ``p_given`` (the
        probability of the given label), ``score`` (higher means more suspicious) and ``reason``, a list of clauses.

        >>> import morelli
        >>> len(morelli.audit("run", "entropy", top=3).candidates("style"))
        3
        """
        return self._of(task, "candidates.parquet")

    def scores(self, task: str | None = None) -> pd.DataFrame:
        """Every work of one task or of all: ``id``, ``task``, ``score`` (higher means more suspicious), ``flagged``.

        >>> import morelli
        >>> len(morelli.audit("run", "entropy", top=3).scores("style"))
        10
        """
        return self._of(task, "scores.parquet")

    def per_class(self, task: str) -> pd.DataFrame:
        """One row a class of the task: its works, error rate, mean uncertainty and confidence, and flagged works.

        >>> import morelli
        >>> int(morelli.audit("run", "entropy", top=3).per_class("style")["flagged"].sum())
        3
        """
        import pandas as pd

        self._check(task)
        return pd.read_csv(self.folder / f"per_class_{task}.csv")

    def to_dict(self) -> dict[str, Any]:
        """``{"rule", "split", "folder", "tasks": {task: {"judged", "flagged", "share", "verified"}}}``."""
        tasks = {task: dict(vars(counts)) for task, counts in self.tasks.items()}
        return {"rule": self.rule, "split": self.split, "folder": str(self.folder), "tasks": tasks}

    def _of(self, task: str | None, name: str) -> pd.DataFrame:
        import pandas as pd

        table = pd.read_parquet(self.folder / name)
        if task is None:
            return table
        self._check(task)
        return table[table["task"] == task].reset_index(drop=True)

    def _check(self, task: str) -> None:
        if task not in self.tasks:
            raise UsageError(f"{task}: not a task of this audit; it has {', '.join(self.tasks)}")

    def _parts(self) -> list[str | Table]:
        rows = [
            (task, each.flagged, f"{each.judged:,}", "–" if each.share is None else f"{each.share:.1%}")
            for task, each in self.tasks.items()
        ]
        page = self.folder / "index.html"
        verified = [
            f"{task}: a person verified the label of {each.verified:,} works; these are not judged"
            for task, each in self.tasks.items()
            if each.verified
        ]
        return [
            Table("Candidates for review", ("task", "flagged", "of", "share"), rows),
            *verified,
            f"by {self.rule} (split {self.split}), with galleries: {page}",
        ]

    def _pictures(self) -> list[bytes]:
        files = [self.folder / f"gallery_{task}.jpg" for task in self.tasks]
        return [file.read_bytes() for file in files if file.is_file()]
