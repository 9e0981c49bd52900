"""What ``predict`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.jobs.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class PredictionSummary(Result):
    """The table that ``predict`` wrote: the file ``out``, how many ``images`` it has, and how many of them ``failed``,
    that is could not be read.

    >>> import morelli
    >>> morelli.predict("run", "painting.jpg", "one.csv")
    1 images: one.csv
    """

    out: Path
    images: int
    failed: int

    @property
    def works(self) -> pd.DataFrame:
        """The table, read from ``out``: one row an image."""
        import pandas as pd

        ending = self.out.suffix.lower()
        if ending == ".csv":
            return pd.read_csv(self.out)
        return pd.read_parquet(self.out) if ending == ".parquet" else pd.read_json(self.out, lines=True)

    def to_dict(self) -> dict[str, Any]:
        """``{"out", "images", "failed"}``."""
        return {"out": str(self.out), "images": self.images, "failed": self.failed}

    def _parts(self) -> list[str | Table]:
        bad = f", {self.failed:,} could not be read (column error)" if self.failed else ""
        return [f"{self.images:,} images{bad}: {self.out}"]
