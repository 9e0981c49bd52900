"""From any layout to one collection: read, filter, verify and prepare, find near-duplicates, split, write."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.collection import VERSION, Collection
from morelli.collection.corrections import apply_corrections, read_corrections
from morelli.collection.duplicates import group, near_duplicate_pairs
from morelli.collection.filters import choose, drop_rare, forget_unseen_artists, number_labels
from morelli.collection.images import MAX_PIXELS
from morelli.collection.ledger import Ledger
from morelli.collection.preparing import fingerprint, prepare_all, thumbnails
from morelli.collection.sources.artgan import read_artgan
from morelli.collection.sources.hub import read_hub
from morelli.collection.sources.table import read_folders, read_table
from morelli.collection.splits import SPLITS, artist_disjoint, parse_split, stratified
from morelli.console import say
from morelli.errors import DataError, UsageError
from morelli.files import atomic_write, make_folder, write_json
from morelli.recipe import TASKS

_LEAST = {
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
    split: str = "70/15/15"
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


def collect(options: CollectOptions) -> tuple[Collection, Ledger]:
    """Makes the collection ``options.out``; a second call after an interruption goes on where it stopped.

    Raises :class:`UsageError` for options that do not fit together and :class:`DataError` where no usable work
    remains.
    """
    _check(options)
    kind, shares = parse_split(options.split)
    make_folder(options.out, "--out")
    ledger = Ledger()
    works, data = _read_source(options, ledger)
    if options.corrections is not None:
        corrections = read_corrections(options.corrections)
        works = apply_corrections(works, corrections, options.corrections, ledger)
    works = choose(works, options.only, options.subset, options.top_artists, options.seed, ledger)
    if works.empty:
        _fail_empty(ledger, options.out)
    works = _prepare(works, data, options, ledger)
    if works.empty:
        _fail_empty(ledger, options.out)
    works = drop_rare(works, options.min_works, ledger)
    vocabularies = number_labels(works)
    if not any(vocabularies.values()):
        raise DataError(
            f"--min-works {options.min_works}: no class has that many of the {len(works):,} works; give a smaller one"
        )
    thumbs = thumbnails(options.out / "images", works.pop("place").to_numpy())
    looks = fingerprint(options.size, works["id"], thumbs)
    works = _split(works, thumbs, kind, shares, options.seed, ledger)
    if kind == "artist-disjoint":
        works, vocabularies = forget_unseen_artists(works, vocabularies)
    return _write(works, vocabularies, looks, options, ledger), ledger


def _check(options: CollectOptions) -> None:
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
    for name, low in _LEAST.items():
        value = getattr(options, name)
        if value is not None and value < low:
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least {low}")
    if options.size > 4096:
        raise UsageError(f"--size {options.size}: must be at most 4096")
    if options.artists not in ("names", "official"):
        raise UsageError(f"--artists {options.artists}: must be names or official")
    if options.folders not in TASKS:
        raise UsageError(f"--folders {options.folders}: must be artist, style or genre")


def _read_source(options: CollectOptions, ledger: Ledger) -> tuple[pd.DataFrame, Any]:
    if options.hub is not None:
        return read_hub(options.hub, ledger)
    assert options.images is not None  # checked above
    if options.lists is not None:
        return read_artgan(options.images, options.lists, options.artists, ledger), None
    if options.table is not None:
        return read_table(options.images, options.table, ledger), None
    return read_folders(options.images, options.folders, options.artists, ledger), None


def _prepare(works: pd.DataFrame, data: Any, options: CollectOptions, ledger: Ledger) -> pd.DataFrame:
    """Adds the columns of the prepared images; works whose image fails are dropped and reported."""

    def source(index: int) -> Path | bytes:
        if data is None:
            return Path(works["file"].iat[index])
        cell = data[int(works["row_index"].iat[index])]["image"]
        return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])

    stamp = data._fingerprint if data is not None else _stamp(works["file"])
    facts = prepare_all(
        list(works["id"]),
        source,
        options.out / "images",
        options.size,
        options.max_pixels,
        stamp,
        options.processes,
        options.overwrite,
    )
    for name, reason, error in zip(works["id"], facts["reason"], facts["error"], strict=True):
        if reason:
            ledger.add(reason, name, error)
    for name, repairs in zip(works["id"], facts["repairs"], strict=True):
        for repair in repairs.split():
            ledger.add(repair, name)
    joined = pd.concat([works.reset_index(drop=True), facts.drop(columns=["error", "repairs"])], axis=1)
    joined["place"] = np.arange(len(joined))
    return joined[joined.pop("reason") == ""].reset_index(drop=True)


def _stamp(files: pd.Series) -> str:
    """Stands for the files' content: names, sizes and times."""
    digest = hashlib.sha256()
    for name in files:
        try:
            status = os.stat(name)
            digest.update(
                f"{name} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
            )
        except OSError:
            digest.update(f"{name} missing\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _split(
    works: pd.DataFrame, thumbs: np.ndarray, kind: str, shares: tuple[float, ...], seed: int, ledger: Ledger
) -> pd.DataFrame:
    pairs = near_duplicate_pairs(works["phash"].to_numpy(np.uint64), thumbs)
    works = works.assign(style_also=_report_pairs(works, pairs, ledger))
    groups = group(len(works), pairs)
    labels = works[list(TASKS)].to_numpy(dtype=np.int64)
    if kind == "stratified":
        split = stratified(groups, labels, shares, seed)
    elif kind == "artist-disjoint":
        split = artist_disjoint(groups, list(works["artist_name"]), labels, shares, seed)
    else:
        return _official(works.assign(group=groups), labels, seed, ledger)
    return works.assign(group=groups, split=np.array(SPLITS)[split])


def _official(works: pd.DataFrame, labels: np.ndarray, seed: int, ledger: Ledger) -> pd.DataFrame:
    """The lists' validation half is the test; validation is carved out of their training half (85/15) unless
    the source names all three. Training copies of a test work are left out (split ``none``)."""
    said = works["official"].fillna("train").to_numpy()
    if not works["official"].notna().any():
        raise DataError("--split official: the source names no split; choose 70/15/15 or artist-disjoint")
    three = "test" in said
    held_out = said == ("test" if three else "val")
    split = np.where(held_out, "test", said)
    if not (three and "val" in said):
        rest = np.flatnonzero(~held_out)
        chosen = stratified(works["group"].to_numpy()[rest], labels[rest], (0.85, 0.15), seed)
        split[rest] = np.array(SPLITS[:2])[chosen]
    groups = works["group"].to_numpy()
    for stronger, weaker in (("test", ("train", "val")), ("val", ("train",))):
        leaks = np.isin(groups, groups[split == stronger]) & np.isin(split, weaker)
        for name in works["id"].to_numpy()[leaks]:
            ledger.add("duplicate-leak", name, f"looks like a {stronger} work")
        split[leaks] = "none"
    if not held_out.any():
        say("--split official: none of these works is in the official test half, so there is no test split")
    return works.assign(split=split)


def _report_pairs(works: pd.DataFrame, pairs: np.ndarray, ledger: Ledger) -> np.ndarray:
    """(N,) int32: the other style of a work that is filed under two (the first where there are more), −1 none."""
    ids, styles = works["id"].to_numpy(), works["style"].to_numpy()
    also = np.full(len(works), -1, dtype=np.int32)
    for a, b in pairs:
        ledger.add("near-duplicate", ids[a], ids[b])
        same_name = ids[a].rpartition("/")[2] == ids[b].rpartition("/")[2]
        if same_name and styles[a] != styles[b] and min(styles[a], styles[b]) >= 0:
            ledger.add("two-styles", ids[a], ids[b])
            for one, other in ((a, b), (b, a)):
                also[one] = styles[other] if also[one] < 0 else min(also[one], styles[other])
    return also


def _write(
    works: pd.DataFrame,
    vocabularies: dict[str, list[str]],
    looks: str,
    options: CollectOptions,
    ledger: Ledger,
) -> Collection:
    out = options.out
    works = works.drop(columns="row_index", errors="ignore")
    works = works.astype(dict.fromkeys(TASKS, "int32"))
    info = {
        "version": VERSION,
        "works": len(works),
        "size": options.size,
        "split": options.split,
        "seed": options.seed,
        "splits": {name: int(n) for name, n in works["split"].value_counts().items()},
        "vocabularies": vocabularies,
        "images_fingerprint": looks,
    }
    ledger.write(out)
    (out / "collection.json").unlink(missing_ok=True)  # written last: it makes the folder a collection
    with atomic_write(out / "collection.parquet") as temporary:
        works.to_parquet(temporary, index=False)
    write_json(out / "collection.json", info)
    return Collection(out, works, info)


def _fail_empty(ledger: Ledger, out: Path) -> None:
    ledger.write(out)
    counts = ", ".join(f"{k}: {v['count']}" for k, v in ledger.summary()["rejections"].items())
    raise DataError(f"no usable work remains ({counts or 'the source is empty'}); see {out / 'report.md'}")
