"""What ``explain`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.jobs.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TaskExplanation:
    """One task of an explanation: the ``answer``, its ``confidence`` (0–1), the label ``given`` (None if unknown),
    the most probable classes (``top``, each ``{"class", "probability"}``), the ``story`` of the reading in words, and
    its ``turning_points``.

    >>> import morelli
    >>> style = morelli.explain("run", "painting.jpg", task=["style"])["style"]
    >>> style.answer == style.top[0]["class"]
    True
    """

    answer: str
    confidence: float
    given: str | None
    top: Sequence[Mapping[str, Any]]
    story: str
    turning_points: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, repr=False)
class Explanation(Result, Mapping[str, TaskExplanation]):
    """Where a network looked on a painting and how its belief changed: ``explanation["style"]`` is a
    :class:`TaskExplanation`. ``files`` are in ``folder``; a notebook shows the maps and traces among them.

    >>> import morelli
    >>> explanation = morelli.explain("run", "painting.jpg", task=["style"])
    >>> list(explanation), (explanation.folder / "map_style.png").is_file()
    (['style'], True)
    """

    run: str
    query: str
    method: str
    folder: Path
    trace: Mapping[str, Any]
    tasks: Mapping[str, TaskExplanation]
    files: Sequence[str]

    @classmethod
    def from_dict(cls, summary: Mapping[str, Any]) -> Explanation:
        """The content of ``explanation.json``.

        >>> import morelli
        >>> explanation = morelli.explain("run", "painting.jpg", task=["style"])
        >>> type(explanation).from_dict(explanation.to_dict()) == explanation
        True
        """
        tasks = {task: TaskExplanation(**each) for task, each in summary["tasks"].items()}
        return cls(**{**summary, "folder": Path(summary["folder"]), "tasks": tasks})

    def __getitem__(self, task: str) -> TaskExplanation:
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def steps(self) -> pd.DataFrame:
        """The reading trace: one row a task, step and class with its probability (0–1)."""
        import pandas as pd

        return pd.read_csv(self.folder / "trace.csv")

    def to_dict(self) -> dict[str, Any]:
        """As in ``explanation.json``: ``{"run", "query", "method", "folder", "trace", "tasks", "files"}``."""
        return {
            "run": self.run,
            "query": self.query,
            "method": self.method,
            "folder": str(self.folder),
            "trace": dict(self.trace),
            "tasks": {task: dict(vars(each)) for task, each in self.tasks.items()},
            "files": list(self.files),
        }

    def _parts(self) -> list[str | Table]:
        from morelli.report.figures.style import display_name

        lines = [
            f"{name}: {display_name(each.answer)} ({each.confidence:.2f}). {each.story}"
            for name, each in self.tasks.items()
        ]
        return [*lines, f"maps and trace: {self.folder / 'index.html'}"]

    def _pictures(self) -> list[bytes]:
        names = [f"{kind}_{task}.png" for task in self.tasks for kind in ("map", "trace")]
        return [(self.folder / name).read_bytes() for name in names if (self.folder / name).is_file()]
