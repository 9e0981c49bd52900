"""Makes a collection of any layout: read, correct, choose, verify and prepare, find near-duplicates, split, write."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from morelli.collection.collection import VERSION, Collection
from morelli.collection.corrections import apply_corrections, read_corrections, verified_column
from morelli.collection.duplicates import near_duplicate_pairs, pairs_among, second_styles
from morelli.collection.filters import (
    choose,
    drop_rare,
    forget_unseen_artists,
    mend_class_names,
    number_labels,
)
from morelli.collection.ledger import Ledger
from morelli.collection.names import artist_names
from morelli.collection.options import CollectOptions, check_options, split_setting
from morelli.collection.preparing import fingerprint, prepare_all, thumbnails
from morelli.collection.sources.artgan import read_artgan
from morelli.collection.sources.hub import read_hub
from morelli.collection.sources.table import read_folders, read_table
from morelli.collection.splits import assign_splits, parse_split
from morelli.console import say
from morelli.errors import DataError
from morelli.files import atomic_write, make_folder, write_json
from morelli.recipe import TASKS

_OWN_COLUMNS = {"shard", "row", "width", "height", "phash", "look", "style_also", "group", "split"}


def collect(options: CollectOptions) -> tuple[Collection, Ledger]:
    """Makes the collection ``options.out``; a second call after an interruption goes on where it stopped.

    The splits are drawn from the labels as the source gives them, so that a correction moves no other work. With
    ``splits_from``, works of that earlier collection keep their splits.

    Raises :class:`UsageError` for options that do not fit together and :class:`DataError` where no usable work
    remains.
    """
    check_options(options)
    earlier = None if options.splits_from is None else Collection.open(options.splits_from, "--splits-from")
    split = split_setting(options, earlier)
    make_folder(options.out, "--out")
    ledger = Ledger()
    given, data = _read_source(options, ledger)
    works = given = _consistent(given, ledger)
    if options.corrections is not None:
        corrections = read_corrections(options.corrections)
        works = apply_corrections(given, corrections, options.corrections, ledger)
    asked = (options.only, options.subset, options.top_artists, options.seed)
    # ``basis`` has the source's labels, from which the splits are drawn; None where no label was corrected
    works, basis = choose(given, works, *asked, ledger)
    _check_usable(works, options, ledger)
    if earlier is not None:
        _report_kept(works, earlier)
    wanted = works if basis is None else given[given["id"].isin({*works["id"], *basis["id"]})]
    facts = _prepare(wanted.reset_index(drop=True), set(works["id"]), data, options, ledger)
    works = _with_facts(works, facts)
    _check_usable(works, options, ledger)
    works = drop_rare(works, options.min_works, ledger)
    vocabularies = number_labels(works)
    if not any(vocabularies.values()):
        raise DataError(
            f"--min-works {options.min_works}: no class has that many of the {len(works):,} works; give a smaller one"
        )
    if basis is not None:
        basis = drop_rare(_with_facts(basis, facts), options.min_works, Ledger())
        number_labels(basis)
    works, images = _split(works, basis, facts, earlier, split, options, ledger)
    if split == "artist-disjoint":
        works, vocabularies = forget_unseen_artists(works, vocabularies)
    return _write(works, vocabularies, images, split, options, ledger), ledger


def _read_source(options: CollectOptions, ledger: Ledger) -> tuple[pd.DataFrame, Any]:
    if options.hub is not None:
        return read_hub(options.hub, ledger)
    assert options.images is not None  # checked above
    if options.lists is not None:
        return read_artgan(options.images, options.lists, options.artists, ledger), None
    if options.table is not None:
        return read_table(options.images, options.table, ledger), None
    return read_folders(options.images, options.folders, options.artists, ledger), None


def _consistent(works: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Names mended, one spelling an artist, and columns of the source that bear a name of ours renamed."""
    for name in sorted(_OWN_COLUMNS & set(works.columns)):
        ledger.add("renamed-column", name, f"now source_{name}")
    works = works.rename(columns={name: f"source_{name}" for name in _OWN_COLUMNS})
    works = mend_class_names(works, ledger)
    works["artist_name"] = artist_names(list(works["artist"]), list(works["artist_name"]))
    return works.assign(**{verified_column(task): False for task in TASKS})


def _prepare(
    works: pd.DataFrame, chosen: set[str], data: Any, options: CollectOptions, ledger: Ledger
) -> pd.DataFrame:
    """``id``, the columns of the prepared image and its ``look`` (row among the images that succeeded) of each work
    whose image succeeds; repairs and rejections of ``chosen`` works are reported."""

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
    reported = facts.assign(id=works["id"])[works["id"].isin(chosen)]
    for name, reason, error in zip(reported["id"], reported["reason"], reported["error"], strict=True):
        if reason:
            ledger.add(reason, name, error)
    for name, repairs in zip(reported["id"], reported["repairs"], strict=True):
        for repair in repairs.split():
            ledger.add(repair, name)
    facts = facts.drop(columns=["error", "repairs"]).assign(id=works["id"], place=np.arange(len(facts)))
    facts = facts[facts.pop("reason") == ""].reset_index(drop=True)
    return facts.assign(look=np.arange(len(facts)))


def _with_facts(works: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """The works whose image was prepared, with its columns."""
    rows = pd.Index(facts["id"]).get_indexer(works["id"])
    images = facts.drop(columns=["id", "place"]).iloc[rows[rows >= 0]]
    return pd.concat([works[rows >= 0].reset_index(drop=True), images.reset_index(drop=True)], axis=1)


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
    works: pd.DataFrame,
    basis: pd.DataFrame | None,
    facts: pd.DataFrame,
    earlier: Collection | None,
    split: str,
    options: CollectOptions,
    ledger: Ledger,
) -> tuple[pd.DataFrame, str]:
    """``works`` with ``style_also``, ``group`` and ``split``, and the fingerprint of their images."""
    thumbs = thumbnails(options.out / "images", facts["place"].to_numpy())
    alike = near_duplicate_pairs(facts["phash"].to_numpy(np.uint64), thumbs)
    looks = works.pop("look").to_numpy()
    pairs = pairs_among(alike, looks)
    images = fingerprint(options.size, works["id"], thumbs if len(looks) == len(thumbs) else thumbs[looks])
    works = works.assign(style_also=second_styles(works, pairs, ledger))
    kind, shares = parse_split(split)
    by = (kind, shares, options.seed, ledger)
    table = None if earlier is None else earlier.table
    if basis is None:
        works = assign_splits(works, pairs, works, pairs, table, *by)
    else:
        works = assign_splits(works, pairs, basis, pairs_among(alike, basis["look"].to_numpy()), table, *by)
    if kind == "official" and not (works["split"] == "test").any():
        say("--split official: none of these works is in the official test half, so there is no test split")
    return works, images


def _write(
    works: pd.DataFrame,
    vocabularies: dict[str, list[str]],
    images: str,
    split: str,
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
        "split": split,
        "seed": options.seed,
        "splits": {name: int(n) for name, n in works["split"].value_counts().items()},
        "vocabularies": vocabularies,
        "verified": {task: int(works[verified_column(task)].sum()) for task in TASKS},
        "images_fingerprint": images,
    }
    ledger.write(out)
    (out / "collection.json").unlink(missing_ok=True)  # written last: it makes the folder a collection
    with atomic_write(out / "collection.parquet") as temporary:
        works.to_parquet(temporary, index=False)
    write_json(out / "collection.json", info)
    return Collection(out, works, info)


def _report_kept(works: pd.DataFrame, earlier: Collection) -> None:
    kept = int(works["id"].isin(earlier.table["id"]).sum())
    if not kept:
        raise DataError(
            f"--splits-from {earlier.folder}: has none of these works, such as {works['id'].iat[0]}; give the "
            "collection that was made of them before"
        )
    say(f"{kept:,} works have a split in {earlier.folder}, {len(works) - kept:,} are new")


def _check_usable(works: pd.DataFrame, options: CollectOptions, ledger: Ledger) -> None:
    if len(works):
        return
    ledger.write(options.out)
    counts = ", ".join(f"{k}: {v['count']}" for k, v in ledger.summary()["rejections"].items())
    raise DataError(
        f"no usable work remains ({counts or 'the source is empty'}); see {options.out / 'report.md'}"
    )
