"""The predictions file: one row a work, read by everything that judges, searches or reports.

Parquet columns: ``path``, ``id``; for each task ``TASK`` (the predicted class's name), ``TASK_confidence``
(its probability), ``TASK_label`` (the true class, −1 unknown), ``TASK_probabilities``; and ``embedding``.
The vocabularies lie in the schema metadata as JSON under ``morelli.vocabularies``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from morelli.errors import DataError
from morelli.files import atomic_write, explain_os_error

if TYPE_CHECKING:
    import pandas as pd

VOCABULARIES = b"morelli.vocabularies"


@dataclass(frozen=True)
class TaskPredictions:
    """One task's class names (K), true labels (N,) int32 with −1 unknown, and probabilities (N, K) float32.

    Raises :class:`DataError` where the three do not fit together or a probability is not a number in 0–1.
    """

    names: list[str]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not self.names or self.probabilities.shape != (len(self.labels), len(self.names)):
            raise DataError(
                f"the predictions hold probabilities of shape {self.probabilities.shape} for "
                f"{len(self.labels)} labels and {len(self.names)} classes; predict again"
            )
        if len(self.labels) == 0:
            return
        if self.labels.min() < -1 or self.labels.max() >= len(self.names):
            raise DataError(
                f"a label lies outside −1…{len(self.names) - 1}; predict again with this vocabulary"
            )
        # written so that NaN, which fails every comparison, is caught too; half precision may round above 1
        if not (self.probabilities.min() >= 0 and self.probabilities.max() <= 1.01):
            raise DataError(
                "a probability is not a number from 0 to 1; the model that predicted has diverged"
            )

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each work, (N,); the first of equals."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The highest probability of each work, (N,) in 0–1."""
        return self.probabilities.max(axis=1)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which works have a known label, (N,)."""
        return self.labels >= 0

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> TaskPredictions:
        """The predictions of some works."""
        return TaskPredictions(self.names, self.labels[rows], self.probabilities[rows])


@dataclass(frozen=True, repr=False)
class Predictions:
    """All tasks of N works, with the neck's vector ``embedding`` (N, D) float32 where it was kept.

    ``tasks[task]`` holds the classes' ``names``, the true ``labels`` (N,), −1 unknown, and the ``probabilities``
    (N, K). :meth:`open` reads them from a file of a run, and ``works`` is a table of the same with names.

    >>> import morelli
    >>> predictions = morelli.Predictions.open("run/predictions-test.parquet")
    >>> len(predictions) == len(predictions.works) == len(predictions.tasks["style"].labels)
    True
    """

    ids: list[str]
    paths: list[str]
    tasks: dict[str, TaskPredictions]
    embedding: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise DataError("the predictions hold no task; predict again")
        lengths = {len(self.ids), len(self.paths)} | {len(t.labels) for t in self.tasks.values()}
        if self.embedding is not None:
            lengths.add(len(self.embedding))
        if len(lengths) > 1:
            raise DataError(f"the predictions' parts differ in length ({sorted(lengths)}); predict again")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def open(cls, file: str | Path) -> Predictions:
        """The predictions of ``file``, a ``RUN/predictions-SPLIT.parquet``.

        Raises :class:`DataError` for a file that is missing, damaged, or not a predictions file.

        >>> import morelli
        >>> sorted(morelli.Predictions.open("run/predictions-test.parquet").tasks)
        ['artist', 'genre', 'style']
        """
        return read(file)

    @property
    def works(self) -> pd.DataFrame:
        """One row a work: ``id``, ``path``, and for each task the predicted class, ``TASK_confidence`` (0–1) and
        ``TASK_label``, the name of the true class, missing where unknown."""
        import pandas as pd  # here: predict needs the sets, and neither pandas nor Arrow

        columns: dict[str, Any] = {"id": self.ids, "path": self.paths}
        for name, task in self.tasks.items():
            classes = np.array([*task.names, None], dtype=object)
            columns[name] = pd.array(classes[task.predicted], dtype="string")
            columns[f"{name}_confidence"] = task.confidence
            columns[f"{name}_label"] = pd.array(classes[task.labels], dtype="string")
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        tasks = ", ".join(f"{name} ({len(task.names)} classes)" for name, task in self.tasks.items())
        return f"Predictions for {len(self):,} works: {tasks}"


def write(predictions: Predictions, path: str | Path) -> None:
    """Writes the Parquet file in one step: a reader never meets half a file.

    Raises :class:`MorelliError` when the folder does not take the file.
    """
    path = Path(path)
    columns: dict[str, pa.Array] = {
        "path": pa.array(predictions.paths, pa.string()),
        "id": pa.array(predictions.ids, pa.string()),
    }
    for name, task in predictions.tasks.items():
        columns[name] = pa.array(task.names, pa.string()).take(pa.array(task.predicted))
        columns[f"{name}_confidence"] = pa.array(task.confidence, pa.float32())
        columns[f"{name}_label"] = pa.array(task.labels, pa.int32())
        columns[f"{name}_probabilities"] = _fixed_lists(task.probabilities)
    if predictions.embedding is not None:
        columns["embedding"] = _fixed_lists(predictions.embedding)
    vocabularies = {name: task.names for name, task in predictions.tasks.items()}
    table = pa.table(columns).replace_schema_metadata(
        {VOCABULARIES: json.dumps(vocabularies, ensure_ascii=False).encode()}
    )
    try:
        with atomic_write(path) as temporary:
            pq.write_table(table, temporary)
    except OSError as error:
        raise explain_os_error(error) from None


def read(path: str | Path) -> Predictions:
    """Reads a predictions file; the arrays are read-only views of the Arrow buffers where possible.

    Raises :class:`DataError` for a file that is missing, damaged, or not a predictions file.
    """
    path = Path(path)
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise DataError(f"{path}: no such predictions file; run morelli evaluate first") from None
    except (pa.ArrowException, OSError):
        raise DataError(f"{path}: not a readable Parquet file; run morelli evaluate again") from None
    try:
        vocabularies = json.loads((table.schema.metadata or {})[VOCABULARIES])
        tasks = {name: _task(table, name, names) for name, names in vocabularies.items()}
        embedding = _matrix(table, "embedding") if "embedding" in table.column_names else None
        ids, paths = (table.column(name).to_pylist() for name in ("id", "path"))
        return Predictions(ids, paths, tasks, embedding)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, pa.ArrowException):
        raise DataError(
            f"{path}: a Parquet file, but not predictions with labels; give a RUN/predictions-SPLIT.parquet"
        ) from None


def _task(table: pa.Table, name: str, names: list[str]) -> TaskPredictions:
    labels = table.column(f"{name}_label").combine_chunks().to_numpy(zero_copy_only=False)
    if labels.dtype.kind != "i":
        raise TypeError(f"{name}_label is not a column of integers")
    probabilities = _matrix(table, f"{name}_probabilities")
    return TaskPredictions(list(names), labels.astype(np.int32, copy=False), probabilities)


def _fixed_lists(matrix: NDArray[np.float32]) -> pa.FixedSizeListArray:
    flat = np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), matrix.shape[1])


def _matrix(table: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of fixed-size lists as (N, K) float32, without a copy when it is one chunk."""
    column = table.column(name).combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), column.type.list_size).astype(np.float32, copy=False)
