"""What ``train`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.jobs.results.base import Result
from morelli.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from morelli.prediction.reader import Reader


@dataclass(frozen=True, repr=False)
class TrainedRun(Result):
    """A run in ``folder``: a network trained by the ``recipe`` of that name for ``tasks``.

    >>> import morelli
    >>> run = morelli.train("tiny.yaml", "collection", "trained")
    >>> run
    trained: trained; score it with: morelli evaluate trained
    """

    folder: Path
    recipe: str
    tasks: tuple[str, ...]

    @property
    def metrics(self) -> pd.DataFrame:
        """One row an epoch: losses, accuracies, learning rates and seconds."""
        import pandas as pd

        return pd.read_csv(Run(self.folder).metrics_file)

    def reader(self) -> Reader:
        """The trained model in memory, as :func:`morelli.load` gives it.

        >>> import morelli
        >>> morelli.train("tiny.yaml", "collection", "for-reader").reader().tasks
        ('artist', 'style', 'genre')
        """
        from morelli.prediction.reader import load

        return load(self.folder)

    def to_dict(self) -> dict[str, Any]:
        """``{"run", "recipe", "tasks"}``."""
        return {"run": str(self.folder), "recipe": self.recipe, "tasks": list(self.tasks)}

    def _parts(self) -> list[str | Table]:
        return [f"trained: {self.folder}; score it with: morelli evaluate {self.folder}"]
