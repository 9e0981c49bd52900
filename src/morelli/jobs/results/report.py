"""What ``report`` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morelli.console import Table
from morelli.jobs.results.base import Result


@dataclass(frozen=True, repr=False)
class ReportPage(Result):
    """The ``page`` of a run, its size in ``bytes``, how many works each of its ``sections`` shows, and why a section is
    ``missing``.

    >>> import morelli
    >>> morelli.write_report("run").page.name
    'index.html'
    """

    page: Path
    bytes: int
    split: str
    sections: Mapping[str, int]
    missing: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """``{"page", "bytes", "split", "sections", "missing"}``."""
        return {
            "page": str(self.page),
            "bytes": self.bytes,
            "split": self.split,
            "sections": dict(self.sections),
            "missing": dict(self.missing),
        }

    def _parts(self) -> list[str | Table]:
        absent = [f"not on the page: {why[0].lower()}{why[1:]}" for why in self.missing.values()]
        return [*absent, f"report of split {self.split}, {self.bytes / 1e6:.1f} MB: {self.page}"]
