"""Tables written row by row: a journal that survives a kill, then the file that was asked for.

Journal, CSV and JSON lines are written without Arrow, which takes as long to import as a photo takes to read.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from morelli.files import atomic_write, make_folder, naming

Row = dict[str, Any]
_Write = Callable[[Row], object]
_BLOCK = 1024  # rows that Parquet takes at a time


@dataclass(frozen=True)
class Header:
    """What a table's rows are: the names of its ``columns``; the classes of each task; a ``model``, by the digest of
    its weights; and for each task the ``coverage`` that its sets promise."""

    columns: list[str]
    vocabularies: dict[str, list[str]]
    model: str
    coverage: dict[str, float]


class Journal:
    """A file beside ``out`` with a line for the header and one for each row, in JSON, appended as they come.

    With ``resume`` the complete rows of an earlier journal with the same header are copied into the new one;
    ``paths`` are the images they hold. Memory does not grow with the number of rows but for their paths.
    """

    def __init__(self, out: Path, header: Header, resume: bool) -> None:
        self.file = out.with_name(f".{out.name}.journal")
        self.header = header
        self.paths: set[str] = set()
        make_folder(out.parent, "--out")
        before = self.file.with_name(self.file.name + ".before")
        if not resume:
            before.unlink(missing_ok=True)
        if (
            resume and self.file.exists() and not before.exists()
        ):  # else an earlier --resume was cut short here
            self.file.replace(before)
        self._sink = self.file.open("w", encoding="utf-8")
        self._sink.write(json.dumps(asdict(header)) + "\n")
        if resume and before.exists():
            self.write(self._noted(read_rows(before, header)))
            before.unlink()

    def _noted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.paths.add(row["path"])
            yield row

    def write(self, rows: Iterable[Row]) -> None:
        """Appends the header's columns of ``rows``, which may have more."""
        with naming(self.file):
            for row in rows:
                self._sink.write(json.dumps({name: row[name] for name in self.header.columns}) + "\n")
            self._sink.flush()

    def close(self) -> None:
        with naming(self.file):
            self._sink.close()


def read_rows(file: Path, header: Header) -> Iterator[Row]:
    """The complete rows of a journal that may break off anywhere; none where its header is another."""
    with file.open("rb") as lines:
        try:
            if json.loads(next(lines, b"")) != asdict(header):
                return
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                yield json.loads(line)
        except ValueError:
            return


def finish(journal: Journal, wanted: Sequence[str], out: Path) -> int:
    """Turns the journal into ``out`` (Parquet, CSV or JSON lines by its ending), leaving out rows that this call
    did not ask for, and removes it. Returns how many rows hold an error."""
    names = set(wanted)
    failed = 0
    with atomic_write(out) as temporary, FORMATS[out.suffix.lower()](temporary, journal.header) as write:
        for row in read_rows(journal.file, journal.header):
            if row["path"] in names:
                failed += bool(row["error"])
                write(row)
    journal.file.unlink()
    return failed


@contextmanager
def _parquet(file: Path, header: Header) -> Iterator[_Write]:
    import pyarrow as pa
    import pyarrow.parquet

    about = {
        "morelli.vocabularies": json.dumps(header.vocabularies),
        "morelli.model": header.model,
        "morelli.coverage": json.dumps(header.coverage),
    }

    def kind(name: str) -> pa.DataType:
        task, _, part = name.rpartition("_")
        if part == "probabilities":
            return pa.list_(pa.float32(), len(header.vocabularies[task]))
        if part == "set":
            return pa.list_(pa.string())
        return pa.float32() if part == "confidence" or name == "labelling_value" else pa.string()

    schema = pa.schema([(name, kind(name)) for name in header.columns], metadata=about)
    rows: list[Row] = []
    with pa.parquet.ParquetWriter(file, schema) as table:

        def write(row: Row) -> None:
            rows.append(row)
            if len(rows) == _BLOCK:
                flush()

        def flush() -> None:
            table.write_batch(pa.RecordBatch.from_pylist(rows, schema))
            rows.clear()

        yield write
        flush()


@contextmanager
def _csv(file: Path, header: Header) -> Iterator[_Write]:
    with file.open("w", encoding="utf-8", newline="") as text:
        table = csv.DictWriter(text, header.columns, lineterminator="\n")
        table.writeheader()
        # CSV has no lists: names are joined
        yield lambda row: table.writerow(
            {k: "; ".join(v) if isinstance(v, list) else _plain(v) for k, v in row.items()}
        )


@contextmanager
def _jsonl(file: Path, header: Header) -> Iterator[_Write]:
    with file.open("w", encoding="utf-8") as text:
        yield lambda row: text.write(
            json.dumps({k: _plain(v) for k, v in row.items()}, ensure_ascii=False) + "\n"
        )


FORMATS: Mapping[str, Callable[[Path, Header], AbstractContextManager[_Write]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _jsonl,
}


def _plain(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) and math.isfinite(value) else value
