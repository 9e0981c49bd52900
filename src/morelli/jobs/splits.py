"""The splits that a command may be asked for."""

from __future__ import annotations

from morelli.errors import UsageError

SPLITS = ("train", "val", "test", "all")


def check_split(split: str) -> None:
    """Raises :class:`UsageError` for an unknown one."""
    if split not in SPLITS:
        raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
