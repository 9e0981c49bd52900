"""What ``similar`` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from morelli.console import Table
from morelli.jobs.results.base import Result
from morelli.recipe import TASKS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SimilarWork:
    """A work found: its ``rank`` from 1, ``id``, ``path``, cosine ``distance`` (0–2) and labels, None if unknown.

    >>> import morelli
    >>> nearest = morelli.similar("run", "painting.jpg", k=1).results[0]
    >>> nearest.rank, round(nearest.distance, 3)
    (1, 0.0)
    """

    rank: int
    id: str
    path: str
    distance: float
    artist: str | None
    style: str | None
    genre: str | None


@dataclass(frozen=True, repr=False)
class Similar(Result):
    """The works of a collection that are most like a ``query``, the nearest first.

    ``works`` is a table of the same; a notebook shows their pictures.

    >>> import morelli
    >>> similar = morelli.similar("run", "painting.jpg", k=3)
    >>> list(similar.works["rank"]), similar.works["distance"].is_monotonic_increasing
    ([1, 2, 3], True)
    """

    query: str
    results: Sequence[SimilarWork]
    _gallery: Callable[[], bytes] | None = field(default=None, compare=False)

    @property
    def works(self) -> pd.DataFrame:
        """One row a work found: ``rank``, ``id``, ``path``, ``distance`` and its labels."""
        import pandas as pd

        rows = self.to_dict()["results"]
        return pd.DataFrame(rows, columns=["rank", "id", "path", "distance", *TASKS])

    def gallery(self) -> bytes:
        """The query and the works found with their labels, as a JPEG.

        >>> import morelli
        >>> morelli.similar("run", "painting.jpg", k=3).gallery()[:2]
        b'\\xff\\xd8'
        """
        assert self._gallery is not None
        return self._gallery()

    def to_dict(self) -> dict[str, Any]:
        """``{"query", "results": [{"rank", "id", "path", "distance", "artist", "style", "genre"}, …]}``."""
        return {"query": self.query, "results": [dict(vars(work)) for work in self.results]}

    def _parts(self) -> list[str | Table]:
        rows = [
            (
                str(work.rank),
                f"{work.distance:.4f}",
                ", ".join(filter(None, map(work.__dict__.get, TASKS))),
                work.id,
            )
            for work in self.results
        ]
        return [Table(f"Most similar to {self.query}", ("", "distance", ", ".join(TASKS), "id"), rows)]

    def _pictures(self) -> list[bytes]:
        return [self.gallery()] if self._gallery and self.results else []
