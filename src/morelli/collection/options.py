"""Holds what ``morelli collect`` is asked for, and refuses what does not fit together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from morelli.collection.collection import Collection
from morelli.collection.images import MAX_PIXELS
from morelli.collection.splits import parse_split
from morelli.errors import UsageError
from morelli.recipe import TASKS

_MINIMUM = {
    "size": 16,
    "min_works": 1,
    "subset": 1,
    "top_artists": 1,
    "max_pixels": 64,
    "processes": 1,
    "seed": 0,
}


@dataclass(frozen=True)
class CollectOptions:
    """What ``morelli collect`` was asked for; see its ``--help``."""

    images: Path | None
    out: Path
    lists: Path | None = None
    table: Path | None = None
    hub: str | None = None
    folders: str = "style"
    size: int = 256
    split: str | None = None  # 70/15/15, or that of splits_from
    artists: str = "names"
    min_works: int = 10
    top_artists: int | None = None
    only: dict[str, list[str]] = field(default_factory=dict)
    subset: int | None = None
    seed: int = 0
    max_pixels: int = MAX_PIXELS
    processes: int | None = None
    overwrite: bool = False
    corrections: Path | None = None
    splits_from: Path | None = None


def check_options(options: CollectOptions) -> None:
    """Raises :class:`UsageError` naming the option."""
    given = [name for name in ("lists", "table", "hub") if getattr(options, name) is not None]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]}: give only one source of labels")
    if options.images is None and options.hub is None:
        raise UsageError("IMAGES: give the folder that holds the images, or --hub NAME")
    if options.images is not None and not options.images.is_dir():
        kind = "is a file, not a folder" if options.images.exists() else "no such folder"
        raise UsageError(f"IMAGES {options.images}: {kind}; give the folder that holds the images")
    if options.hub is not None and options.images is not None:
        raise UsageError(f"IMAGES {options.images}: not wanted beside --hub, which brings its own images")
    for name, low in _MINIMUM.items():
        value = getattr(options, name)
        if value is not None and value < low:
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least {low}")
    if options.size > 4096:
        raise UsageError(f"--size {options.size}: must be at most 4096")
    if options.artists not in ("names", "official"):
        raise UsageError(f"--artists {options.artists}: must be names or official")
    if options.folders not in TASKS:
        raise UsageError(f"--folders {options.folders}: must be artist, style or genre")


def split_setting(options: CollectOptions, earlier: Collection | None) -> str:
    """What ``--split`` asks for; with ``--splits-from``, what the earlier collection was split by."""
    asked = parse_split(options.split or "70/15/15")
    if earlier is None:
        return options.split or "70/15/15"
    split = str(earlier.info["split"])
    if options.split is not None and asked != parse_split(split):
        raise UsageError(
            f"--split {options.split}: the collection of --splits-from was split {split}; leave out one of the two"
        )
    return split
