"""What ``paint`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morelli.console import Table
from morelli.jobs.results.base import Result


@dataclass(frozen=True, repr=False)
class Painted(Result):
    """A folder of synthetic paintings: how many ``works`` were painted, how many image ``files`` and list ``rows`` were
    written, and how many ``defects`` were planted.

    >>> import morelli
    >>> morelli.paint("two-works", works=2, size=32)
    2 works in two-works/wikiart, lists in two-works/wikiart_csv
    """

    folder: Path
    works: int
    files: int
    rows: int
    defects: int

    def to_dict(self) -> dict[str, Any]:
        """``{"works", "files", "rows", "defects"}``."""
        return {"works": self.works, "files": self.files, "rows": self.rows, "defects": self.defects}

    def _parts(self) -> list[str | Table]:
        return [f"{self.works:,} works in {self.folder / 'wikiart'}, lists in {self.folder / 'wikiart_csv'}"]
