"""What ``collect`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from morelli.collection.collection import Collection
from morelli.collection.ledger import Ledger
from morelli.console import Table
from morelli.jobs.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class CollectSummary(Result):
    """The ``collection`` that was made, and the ``ledger`` of every repair, rejection and note.

    >>> import morelli
    >>> done = morelli.collect("wikiart", "summary", lists="wikiart_csv", size=32, min_works=2, processes=1)
    >>> len(done.works), done.collection.folder.name
    (60, 'summary')
    """

    collection: Collection
    ledger: Ledger

    @property
    def works(self) -> pd.DataFrame:
        """One row a work; see :attr:`morelli.Collection.works`."""
        return self.collection.works

    @property
    def counts(self) -> pd.DataFrame:
        """One row a kind of repair, rejection or note: ``sheet``, ``kind``, ``count``, ``meaning``, ``example``."""
        import pandas as pd

        rows = [
            (sheet, kind, entry["count"], entry["meaning"], entry["examples"][0])  # type: ignore[index]
            for sheet, kinds in self.ledger.summary(examples=1).items()
            for kind, entry in kinds.items()
        ]
        return pd.DataFrame(rows, columns=["sheet", "kind", "count", "meaning", "example"])

    @property
    def entries(self) -> pd.DataFrame:
        """Every single repair, rejection and note: ``kind``, ``subject`` (a file or work) and ``detail``."""
        import pandas as pd

        rows = [(kind, *entry) for kind, entries in self.ledger.entries.items() for entry in entries]
        return pd.DataFrame(rows, columns=["kind", "subject", "detail"])

    def to_dict(self) -> dict[str, Any]:
        """``{"collection", "repairs", "rejections", "notes"}``: ``collection.json``, then counts and examples."""
        return {"collection": self.collection.info, **self.ledger.summary()}

    def _parts(self) -> list[str | Table]:
        collection, out = self.collection, self.collection.folder
        splits = ", ".join(f"{name} {count:,}" for name, count in collection.info["splits"].items())
        classes = ", ".join(f"{len(names)} {task}s" for task, names in collection.vocabularies.items())
        works = f"{len(collection.table):,} works ({splits}), {classes}: {out}"
        return [*self.ledger.lines(), f"{works}; every repair: {out / 'ledger.csv'}"]

    def _repr_html_(self) -> str:
        return super()._repr_html_() + self.collection._repr_html_()
