"""Tables written as a stream: a journal that survives a kill, then the file that was asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from morelli.files import make_folder, naming, replacing


class Journal:
    """An Arrow stream beside ``out``, to which each table is appended as it comes.

    With ``resume`` the complete batches of an earlier journal of the same columns are copied into the new one;
    ``paths`` are the images they hold. Memory does not grow with the number of rows but for their paths.
    """

    def __init__(self, out: Path, schema: pa.Schema, resume: bool) -> None:
        self.file = out.with_name(f".{out.name}.journal")
        self.schema = schema
        self.paths: set[str] = set()
        make_folder(out.parent, "--out")
        before = self.file.with_name(self.file.name + ".before")
        if not resume:
            before.unlink(missing_ok=True)
        if (
            resume and self.file.exists() and not before.exists()
        ):  # else an earlier --resume was cut short here
            self.file.replace(before)
        self._open = ExitStack()
        sink = self._open.enter_context(self.file.open("wb"))
        self._sink = sink
        self._writer = self._open.enter_context(pa.ipc.new_stream(sink, schema))
        if resume and before.exists():
            for batch in read_stream(before, schema):
                self.paths.update(batch.column("path").to_pylist())
                self._writer.write_batch(batch)
            before.unlink()

    def write(self, table: pa.Table) -> None:
        with naming(self.file):
            self._writer.write_table(table)
            self._sink.flush()

    def close(self) -> None:
        with naming(self.file):
            self._open.close()


def read_stream(file: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The complete batches of a stream that may break off anywhere; none where its columns are others."""
    try:
        with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as reader:
            if not reader.schema.equals(schema, check_metadata=True):
                return
            while True:
                yield reader.read_next_batch()
    except (StopIteration, pa.ArrowInvalid, OSError):
        return


def finish(journal: Journal, wanted: Sequence[Path], out: Path) -> int:
    """Turns the journal into ``out`` (Parquet, CSV or JSON lines by its ending), leaving out rows that this call
    did not ask for, and removes it. Returns how many rows hold an error."""
    names = {str(path) for path in wanted}
    failed = 0
    with replacing(out) as temporary, _writer(out.suffix.lower(), temporary, journal.schema) as write:
        for batch in read_stream(journal.file, journal.schema):
            keep = pa.array([path in names for path in batch.column("path").to_pylist()])
            chosen = batch.filter(keep)
            failed += sum(bool(error) for error in chosen.column("error").to_pylist())
            write(chosen)
    journal.file.unlink()
    return failed


class _writer:
    """``with _writer(kind, file, schema) as write: write(batch)``."""

    def __init__(self, kind: str, file: Path, schema: pa.Schema) -> None:
        self.kind, self.schema = kind, schema
        self._open = ExitStack()
        self.narrow = [n for n in schema.names if not n.endswith("_probabilities")]
        if kind == ".parquet":
            self.sink: Any = self._open.enter_context(pa.parquet.ParquetWriter(file, schema))
        elif kind == ".csv":
            thin = pa.schema([_flat(schema.field(n)) for n in self.narrow])
            self.sink = self._open.enter_context(pa.csv.CSVWriter(str(file), thin))
        else:
            self.sink = self._open.enter_context(file.open("w", encoding="utf-8"))

    def __enter__(self) -> Any:
        return self._write

    def __exit__(self, *problem: object) -> None:
        self._open.close()

    def _write(self, batch: pa.RecordBatch) -> None:
        if self.kind == ".parquet":
            self.sink.write_batch(batch)
        elif self.kind == ".csv":
            self.sink.write_batch(_joined(batch.select(self.narrow)))
        else:
            for row in batch.select(self.narrow).to_pylist():
                self.sink.write(json.dumps({k: _plain(v) for k, v in row.items()}, ensure_ascii=False) + "\n")


def _flat(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.string()) if pa.types.is_list(field.type) else field


def _joined(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Lists of names as one text each: CSV has no lists."""
    columns = [
        pa.compute.binary_join(column, "; ") if pa.types.is_list(column.type) else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, schema=pa.schema([_flat(field) for field in batch.schema]))


def _plain(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) and math.isfinite(value) else value
