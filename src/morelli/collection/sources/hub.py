"""Reads a data set of the Hugging Face Hub (such as huggan/wikiart), or a local copy in the same format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from morelli.collection.ledger import Ledger
from morelli.collection.names import is_unknown
from morelli.errors import DataError
from morelli.hub import patience_only_if_reachable
from morelli.recipe import TASKS

_HALVES = {"train": "train", "validation": "val", "val": "val", "valid": "val", "test": "test"}


def read_hub(name: str, ledger: Ledger) -> tuple[pd.DataFrame, Any]:
    """The rows, and the data set whose ``image`` column holds the undecoded bytes.

    ``name`` is a data set on the Hub, a folder written by ``save_to_disk``, or a folder of Parquet files.
    ``row_index`` in the table is the row of the data set. Class numbers become names; "Unknown Artist" and its
    kind become unknown. Raises :class:`DataError` where the data set cannot be had or holds no images.
    """
    from datasets import ClassLabel, Image, concatenate_datasets

    splits = _load(name)
    data = concatenate_datasets(list(splits.values()))
    if "image" not in data.column_names:
        raise DataError(f"--hub {name}: has no column 'image' (columns: {', '.join(data.column_names)})")
    tasks = [t for t in TASKS if t in data.column_names]
    if not tasks:
        raise DataError(
            f"--hub {name}: has none of the columns artist, style, genre; choose another data set"
        )
    try:
        data = data.cast_column("image", Image(decode=False))
    except (TypeError, ValueError, NotImplementedError):
        raise DataError(
            f"--hub {name}: its column 'image' holds no images; choose another data set"
        ) from None
    halves = [_HALVES.get(split) for split, part in splits.items() for _ in range(len(part))]
    columns: dict[str, list[str | None]] = {task: [None] * len(data) for task in TASKS}
    for task in tasks:
        feature = data.features[task]
        for row, value in enumerate(data[task][:]):
            label = _name(feature.names, value) if isinstance(feature, ClassLabel) else value
            columns[task][row] = None if is_unknown(label) else str(label)
            if is_unknown(label) and label is not None:
                ledger.add("unknown-label", f"row {row}", f"{task}: {label}")
    extras = {c: data[c][:] for c in data.column_names if c not in ("image", "id", *TASKS)}
    table = pd.DataFrame({"row_index": range(len(data)), "official": halves} | columns | extras)
    table["id"] = [f"{Path(name).name}/{row:06d}" for row in table["row_index"]]
    table["artist_name"] = table["artist"]
    return table.assign(file=table["id"]), data


def _name(names: list[str], value: int | None) -> str | None:
    return names[value] if value is not None and 0 <= value < len(names) else None


def _load(name: str) -> dict[str, Any]:
    import datasets

    folder = Path(name)
    try:
        if folder.is_dir() and any((folder / f).exists() for f in ("dataset_info.json", "dataset_dict.json")):
            data = datasets.load_from_disk(name)
        elif folder.is_dir():
            if not any(folder.rglob("*.parquet")):
                raise DataError(
                    f"--hub {name}: holds no Parquet file; give a data set's name or a local copy"
                )
            data = datasets.load_dataset("parquet", data_dir=name)
        elif folder.exists() or name.startswith(("/", ".")):
            raise DataError(
                f"--hub {name}: no such folder; give a data set's name or a folder with a local copy"
            )
        else:
            with patience_only_if_reachable():
                data = datasets.load_dataset(name)
    except DataError:
        raise
    except Exception as error:  # the hub client raises many kinds, none of them documented
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        raise DataError(
            f"--hub {name}: cannot be loaded ({why:.160}); check the name and the connection, or give a local copy"
        ) from None
    splits = data if isinstance(data, dict) else {"all": data}
    if not sum(len(part) for part in splits.values()):
        raise DataError(f"--hub {name}: holds no row; choose another data set")
    return dict(splits)
