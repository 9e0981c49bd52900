"""Stores prepared images: Arrow stream files, memory-mapped, in the format of Hugging Face ``datasets``.

Each shard is written atomically and whole, so an interrupted ``collect`` goes on where it stopped;
``datasets.Dataset.from_file(shard)`` opens any of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from morelli.errors import DataError
from morelli.files import atomic_write

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}
_SCHEMA = pa.schema([("image", _IMAGE)], metadata={"huggingface": json.dumps(_FEATURES)})


def write_shard(path: Path, images: Sequence[bytes], names: Sequence[str]) -> None:
    """One record batch of images; at most 2 GiB."""
    structs = pa.StructArray.from_arrays(
        [pa.array(images, pa.binary()), pa.array(names, pa.string())], fields=list(_IMAGE)
    )
    batch = pa.record_batch([structs], schema=_SCHEMA)
    with (
        atomic_write(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_stream(file, _SCHEMA) as writer,
    ):
        writer.write_batch(batch)


class ImageStore:
    """Reads image bytes by (shard, row) without copying the file; safe to send to other processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_columns": {}}

    def read(self, shard: int, row: int) -> bytes:
        column = self._columns.get(shard)
        if column is None:
            column = self._columns[shard] = self._open(shard)
        return column[row].as_buffer().to_pybytes()

    def _open(self, shard: int) -> pa.Array:
        path = shard_path(self.folder, shard)
        try:
            batch = pa.ipc.open_stream(pa.memory_map(str(path))).read_next_batch()
        except FileNotFoundError:
            raise DataError(f"{path}: missing; run collect again with the same options") from None
        except (pa.ArrowInvalid, OSError, StopIteration):
            raise DataError(
                f"{path}: damaged; delete it and run collect again with the same options"
            ) from None
        return batch.column(0).field("bytes")


def shard_path(folder: Path, shard: int) -> Path:
    return folder / f"images-{shard:05d}.arrow"
