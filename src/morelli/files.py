"""Atomic writes: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from morelli.errors import DataError, MorelliError, UsageError

AnyPath: TypeAlias = str | os.PathLike[str]  # what a public function takes for a file or folder
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def as_path(path: AnyPath) -> Path:
    """A path as given by a person; ``~`` is their home folder."""
    return Path(path).expanduser()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it takes the place of ``path``, on failure it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path):
            yield temporary
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names the file in an error of writing to it, which, unlike an error of opening, does not say."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises :class:`DataError` naming the file where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ValueError, UnicodeDecodeError):
        raise DataError(f"{path}: not valid JSON; it is damaged, make it again") from None


def data_url(data: bytes, kind: str) -> str:
    """An image file of a ``kind``, such as ``png``, as a URL that holds it: a page then needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def digest(path: Path) -> str:
    """Sixteen letters that change with the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def make_folder(path: Path, option: str) -> Path:
    """Creates ``path``; :class:`UsageError` naming ``option`` where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{option} {path}: is a file; give a folder") from None
    except NotADirectoryError:
        raise UsageError(f"{option} {path}: a part of this path is a file; give another folder") from None
    except PermissionError:
        raise UsageError(f"{option} {path}: no permission to write there; give another folder") from None
    return path


def explain_os_error(error: OSError) -> MorelliError:
    """An operating-system error as one sentence."""
    where = error.filename or "the output"
    if error.errno in _FULL:
        return MorelliError(
            f"the disk is full or a file limit was reached while writing {where}; free some space and run the "
            "same command again (train and predict: with --resume); what is complete is kept"
        )
    if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
        return UsageError(
            f"{where}: a file is where a folder is wanted, or the other way round; give another path"
        )
    if isinstance(error, PermissionError):
        return MorelliError(f"{where}: permission denied; check who owns it or choose another place")
    return MorelliError(f"{where}: {error.strerror or error}")
