"""Names the splits and reads the settings that ask for them."""

from __future__ import annotations

import numpy as np

from morelli.errors import UsageError

SPLITS = ("train", "val", "test")
_READABLE = (*SPLITS, "all")


def parse_split(text: str) -> tuple[str, tuple[float, ...]]:
    """``70/15/15`` → ("stratified", shares); ``official`` and ``artist-disjoint`` come back with default shares."""
    if text in ("official", "artist-disjoint"):
        return text, (0.70, 0.15, 0.15)
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    if len(shares) != 3 or not np.isfinite(shares).all() or min(shares) < 0 or shares[0] <= 0:
        raise UsageError(
            f"--split {text}: give three shares such as 70/15/15, or official, or artist-disjoint"
        )
    return "stratified", tuple(share / sum(shares) for share in shares)


def check_split(split: str) -> None:
    """Raises :class:`UsageError` where ``split`` is none that a command can read."""
    if split not in _READABLE:
        raise UsageError(f"--split {split}: must be one of {', '.join(_READABLE)}")
