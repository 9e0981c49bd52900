"""Collecting: every planted defect is found, every layout becomes the same kind of collection."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from shared import shared_paintings

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.collection.ledger import Ledger
from morelli.errors import DataError, UsageError

pytestmark = pytest.mark.slow  # of the fixture that all share

TASKS = ("artist", "style", "genre")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planted") / "p"
    shared_paintings(out, 260, seed=5, size=48, defects=True)
    return out


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clean") / "p"
    shared_paintings(out, 160, seed=6, size=48)
    return out


def gather(source: Path, out: Path, **options: object) -> tuple[Collection, Ledger]:
    settings = {"lists": source / "wikiart_csv", "size": 48, "min_works": 1} | options
    return collect(CollectOptions(source / "wikiart", out, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def collected(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Collection, Ledger]:
    return gather(planted, tmp_path_factory.mktemp("c") / "c", split="official")


KIND_OF = {
    "mojibake": "mojibake",
    "mojibake_on_disk": "mojibake",
    "apostrophe": "apostrophe",
    "name_drift": "name-drift",
    "folder_alias": "folder-alias",
    "missing_file": "missing-file",
    "unlisted_file": "unlisted-file",
    "contradiction": "contradiction",
    "split_disagreement": "split-disagreement",
    "duplicate_row": "duplicate-row",
    "unknown_class": "unknown-class",
    "truncated": "damaged",
    "zero_byte": "empty-file",
    "not_an_image": "not-an-image",
    "bomb": "too-large",
    "cmyk": "cmyk",
    "greyscale": "greyscale",
    "sixteen_bit": "sixteen-bit",
    "palette_alpha": "transparency",
    "exif_rotated": "exif-rotated",
}
ELSEWHERE = {"near_duplicate", "two_styles", "malformed_row", "blank_line", "mislabelled"}


def truth_of(planted: Path) -> dict[str, list[dict[str, object]]]:
    return json.loads((planted / "truth.json").read_text(encoding="utf-8"))["defects"]


@pytest.mark.parametrize("defect", sorted(KIND_OF))
def test_every_planted_defect_is_found_and_nothing_else_of_its_kind(
    defect: str, planted: Path, collected: tuple[Collection, Ledger]
) -> None:
    truth, entries = truth_of(planted), collected[1].entries
    kind = KIND_OF[defect]
    found = {subject for subject, _ in entries[kind]}
    wanted = {str(e["path"]) for e in truth[defect]}
    assert wanted and wanted <= found
    allowed = {str(e["path"]) for other, k in KIND_OF.items() if k == kind for e in truth[other]}
    assert found <= allowed


def test_every_kind_of_planted_defect_has_a_test(planted: Path) -> None:
    assert set(truth_of(planted)) == set(KIND_OF) | ELSEWHERE


def test_malformed_and_blank_lines_are_found_by_file_and_line(
    planted: Path, collected: tuple[Collection, Ledger]
) -> None:
    truth, entries = truth_of(planted), collected[1].entries
    rows = {detail for kind in ("malformed-row", "odd-separator") for _, detail in entries[kind]}
    assert rows == {f"{e['file']} line {e['line']}" for e in truth["malformed_row"]}
    blank = {f"{subject} {detail}" for subject, detail in entries["blank-line"]}
    planted_blank = {f"{e['file']} line {e['line']}" for e in truth["blank_line"]}
    assert blank == planted_blank | {"artist_train.csv line 2", "artist_val.csv line 2"}


def test_near_duplicates_and_works_under_two_styles_share_a_group(
    planted: Path, collected: tuple[Collection, Ledger]
) -> None:
    truth, (collection, ledger) = truth_of(planted), collected
    group = collection.table.set_index("id")["group"]
    pairs = [(e["path"], e["of"]) for e in truth["near_duplicate"]]
    pairs += [(e["path"], e["other"]) for e in truth["two_styles"]]
    assert all(group[a] == group[b] for a, b in pairs)
    found = {frozenset(pair) for pair in ledger.entries["near-duplicate"]}
    assert found == {frozenset(pair) for pair in pairs}
    styles = {frozenset(pair) for pair in ledger.entries["two-styles"]}
    assert styles == {frozenset((e["path"], e["other"])) for e in truth["two_styles"]}


def test_what_is_kept_is_exactly_what_is_listed_readable_and_there(
    planted: Path, collected: tuple[Collection, Ledger]
) -> None:
    truth, (collection, _) = truth_of(planted), collected
    lost = {str(e["path"]) for k in ("truncated", "zero_byte", "not_an_image", "bomb") for e in truth[k]}
    assert not lost & set(collection.table["id"])
    files = {p.relative_to(planted / "wikiart").as_posix() for p in (planted / "wikiart").rglob("*.*")}
    unlisted = {str(e["path"]) for e in truth["unlisted_file"]}
    assert len(collection.table) == len(files) - len(lost) - len(unlisted)


def test_contradictory_labels_are_unknown(planted: Path, collected: tuple[Collection, Ledger]) -> None:
    table = collected[0].table.set_index("id")
    for entry in truth_of(planted)["contradiction"]:
        assert table.loc[entry["path"], entry["task"]] == -1


def test_labels_are_those_of_the_lists(clean: Path, tmp_path: Path) -> None:
    collection, _ = gather(clean, tmp_path / "c")
    lists = clean / "wikiart_csv"
    for task in ("style", "genre"):
        names = dict(line.split(" ") for line in (lists / f"{task}_class.txt").read_text().splitlines())
        rows = (lists / f"{task}_train.csv").read_text() + (lists / f"{task}_val.csv").read_text()
        wanted = {path: names[number] for path, number in (r.rsplit(",", 1) for r in rows.splitlines())}
        got = dict(zip(collection.table["id"], collection.table[task], strict=True))
        assert set(wanted) == {k for k, v in got.items() if v >= 0}
        assert all(collection.vocabularies[task][got[path]] == name for path, name in wanted.items())


def test_the_first_row_of_a_headerless_list_is_kept(clean: Path, tmp_path: Path) -> None:
    first = (clean / "wikiart_csv" / "style_train.csv").read_text().splitlines()[0].rsplit(",", 1)[0]
    collection, _ = gather(clean, tmp_path / "c")
    assert first in set(collection.table["id"])


def test_official_artists_are_fewer_than_those_of_the_file_names(clean: Path, tmp_path: Path) -> None:
    names, _ = gather(clean, tmp_path / "names")
    official, _ = gather(clean, tmp_path / "official", artists="official")
    assert len(official.vocabularies["artist"]) < len(names.vocabularies["artist"])
    assert (official.table["artist"] == -1).sum() > (names.table["artist"] == -1).sum() == 0


def test_the_official_split_is_the_lists_own(clean: Path, tmp_path: Path) -> None:
    collection, _ = gather(clean, tmp_path / "c", split="official")
    rows = (clean / "wikiart_csv" / "style_val.csv").read_text().splitlines()
    table = collection.table
    assert set(table.loc[table["split"] == "test", "id"]) == {row.rsplit(",", 1)[0] for row in rows}
    rest = table[table["split"] != "test"]
    assert 0.1 < (rest["split"] == "val").mean() < 0.2


def test_near_duplicates_never_straddle_any_split(planted: Path, tmp_path: Path) -> None:
    for number, split in enumerate(("70/15/15", "official", "artist-disjoint")):
        collection, _ = gather(planted, tmp_path / str(number), split=split)
        used = collection.table[collection.table["split"] != "none"]
        assert used.groupby("group")["split"].nunique().max() == 1


def test_artists_are_disjoint_on_request_and_unknown_outside_training(clean: Path, tmp_path: Path) -> None:
    collection, _ = gather(clean, tmp_path / "c", split="artist-disjoint")
    table = collection.table
    assert table.groupby("artist_name")["split"].nunique().max() == 1
    assert (table.loc[table["split"] != "train", "artist"] == -1).all()
    names = collection.vocabularies["artist"]
    training = table[table["split"] == "train"]
    assert [names[k] for k in training["artist"]] == list(training["artist_name"])
    assert set(names) == set(training["artist_name"])


def test_rare_classes_become_unknown_and_the_works_stay(clean: Path, tmp_path: Path) -> None:
    every, _ = gather(clean, tmp_path / "a")
    counts = every.table["style"].value_counts()
    limit = int(counts.median()) + 1
    fewer, ledger = gather(clean, tmp_path / "b", min_works=limit)
    assert len(fewer.table) == len(every.table)
    assert len(fewer.vocabularies["style"]) == (counts >= limit).sum() < len(counts)
    assert any(subject.startswith("style ") for subject, _ in ledger.entries["rare-class"])


def test_only_top_artists_and_subset_choose_as_asked(clean: Path, tmp_path: Path) -> None:
    every, _ = gather(clean, tmp_path / "a")
    style = every.vocabularies["style"][0]
    chosen, _ = gather(clean, tmp_path / "b", only={"style": [style.lower()]})
    assert chosen.vocabularies["style"] == [style]
    assert len(chosen.table) == (every.table["style"] == 0).sum()
    top, _ = gather(clean, tmp_path / "c", top_artists=2)
    most = every.table["artist_name"].value_counts().index[:2]
    assert set(top.vocabularies["artist"]) == set(most)
    ids = [
        set(gather(clean, tmp_path / f"s{n}", subset=50, seed=s)[0].table["id"])
        for n, s in enumerate((1, 1, 2))
    ]
    assert len(ids[0]) == 50 and ids[0] == ids[1] != ids[2]


def test_a_misspelt_class_gets_a_suggestion(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean Cubism"):
        gather(clean, tmp_path / "c", only={"style": ["Cubizm"]})


def test_images_open_with_hugging_face_datasets(clean: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    collection, _ = gather(clean, tmp_path / "c", size=32)
    data = Dataset.from_file(str(tmp_path / "c" / "images" / "images-00000.arrow"))
    assert len(data) == len(collection.table)
    image = data[3]["image"]
    assert isinstance(image, Image.Image) and min(image.size) == 32
    assert collection.read(3)[:2] == b"\xff\xd8"


def test_an_interrupted_collect_goes_on_and_prepares_nothing_twice(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morelli.collection.preparing.SHARD", 40)
    whole, _ = gather(clean, tmp_path / "whole")
    images = tmp_path / "c" / "images"
    gather(clean, tmp_path / "c")
    for part in ("images-00001.arrow", "facts-00001.parquet"):
        (images / part).unlink()
    (tmp_path / "c" / "collection.json").unlink()
    before = {p.name: p.stat().st_mtime_ns for p in images.iterdir()}
    again, _ = gather(clean, tmp_path / "c")
    after = {p.name: p.stat().st_mtime_ns for p in images.iterdir()}
    assert {n for n in after if after[n] != before.get(n)} == {"images-00001.arrow", "facts-00001.parquet"}
    pd.testing.assert_frame_equal(again.table, whole.table)
    assert [again.read(i) for i in range(160)] == [whole.read(i) for i in range(160)]


def test_another_size_does_not_overwrite_a_finished_collection_unasked(clean: Path, tmp_path: Path) -> None:
    gather(clean, tmp_path / "c")
    with pytest.raises(UsageError, match="--overwrite"):
        gather(clean, tmp_path / "c", size=24)
    assert min(Image.open(__import__("io").BytesIO(Collection.open(tmp_path / "c").read(0))).size) == 48
    again, _ = gather(clean, tmp_path / "c", size=24, overwrite=True)
    assert min(Image.open(__import__("io").BytesIO(again.read(0))).size) == 24


def table_of(clean: Path) -> pd.DataFrame:
    files = sorted(p.relative_to(clean / "wikiart") for p in (clean / "wikiart").rglob("*.jpg"))
    frame = pd.DataFrame({"Path": [f.as_posix() for f in files], "Style": [f.parts[0] for f in files]})
    frame["artist"] = [f.name.split("_")[0] for f in files]
    frame.loc[0, "artist"] = "Unknown artist"
    return frame.assign(year=1900)


@pytest.mark.parametrize("kind", ["comma", "semicolon", "latin", "parquet"])
def test_a_museums_table_becomes_a_collection(kind: str, clean: Path, tmp_path: Path) -> None:
    frame, file = table_of(clean), tmp_path / "works.csv"
    if kind == "parquet":
        file = tmp_path / "works.parquet"
        frame.to_parquet(file)
    else:
        encoding = "cp1252" if kind == "latin" else "utf-8"
        frame.loc[1, "artist"] = "Gréta Ünal"
        frame.to_csv(file, index=False, sep=";" if kind == "semicolon" else ",", encoding=encoding)
    collection, _ = gather(clean, tmp_path / "c", lists=None, table=file)
    assert len(collection.table) == len(frame)
    assert collection.table.loc[0, "artist"] == -1 and (collection.table["genre"] == -1).all()
    assert set(collection.vocabularies["style"]) == set(frame["Style"])
    assert "year" in collection.table.columns
    if kind != "parquet":
        assert "Gréta Ünal" in collection.vocabularies["artist"]


def test_a_tables_own_split_is_kept(clean: Path, tmp_path: Path) -> None:
    frame = table_of(clean)
    frame["split"] = np.resize(["train", "Validation", "test"], len(frame))
    frame.to_csv(tmp_path / "t.csv", index=False)
    options = {"lists": None, "table": tmp_path / "t.csv", "split": "official"}
    collection, _ = gather(clean, tmp_path / "c", **options)
    wanted = ["val" if s == "Validation" else s for s in frame["split"]]
    assert list(collection.table.set_index("id").loc[frame["Path"], "split"]) == wanted


def test_columns_of_a_table_that_bear_our_names_are_renamed_and_class_names_have_no_line_breaks(
    clean: Path, tmp_path: Path
) -> None:
    frame = table_of(clean).assign(width="12 cm", group=7, place="Paris")
    frame["Style"] = frame["Style"].replace({"Cubism": "Cubism\nanalytic", "Baroque": "Baroque; late"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    collection, ledger = gather(clean, tmp_path / "c", lists=None, table=tmp_path / "t.csv")
    table = pd.read_parquet(tmp_path / "c" / "collection.parquet")
    assert (table["source_width"] == "12 cm").all() and (table["source_group"] == "7").all()
    assert table["width"].between(8, 200).all() and (table["place"] == "Paris").all()
    assert {name for name, _ in ledger.entries["renamed-column"]} == {"width", "group"}
    assert {"Cubism analytic", "Baroque; late"} <= set(collection.vocabularies["style"])
    assert [name for name, _ in ledger.entries["line-break"]] == ["style Cubism analytic"]
    assert [name for name, _ in ledger.entries["odd-class-name"]] == ["style Baroque; late"]


def test_class_folders_become_a_collection(clean: Path, tmp_path: Path) -> None:
    collection, _ = gather(clean, tmp_path / "c", lists=None)
    assert "Art_Nouveau" in collection.vocabularies["style"] and len(collection.table) == 160
    assert len(collection.vocabularies["artist"]) > 3
    genre, _ = gather(clean, tmp_path / "g", lists=None, folders="genre", artists="official")
    assert len(genre.vocabularies["genre"]) == len(collection.vocabularies["style"])
    assert genre.vocabularies["artist"] == []


@pytest.mark.parametrize("saved_as", ["save_to_disk", "parquet"])
def test_a_hub_data_set_becomes_a_collection(saved_as: str, clean: Path, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as HubImage

    files = sorted((clean / "wikiart").rglob("*.jpg"))[:60]
    styles = sorted({f.parent.name for f in files})
    artists = ["Unknown Artist", *sorted({f.name.split("_")[0] for f in files})]
    rows = {
        "image": [{"bytes": f.read_bytes(), "path": None} for f in files],
        "artist": [0 if i < 5 else artists.index(f.name.split("_")[0]) for i, f in enumerate(files)],
        "style": [styles.index(f.parent.name) for f in files],
        "year": [1900 + i for i in range(60)],
    }
    features = {
        "artist": ClassLabel(names=artists),
        "style": ClassLabel(names=styles),
        "year": Value("int64"),
    }
    data = Dataset.from_dict(rows, features=Features({"image": HubImage(), **features}))
    folder = tmp_path / "hub"
    if saved_as == "parquet":
        folder.mkdir()
        data.to_parquet(folder / "train-00000-of-00001.parquet")
    else:
        data.save_to_disk(folder)
    options = CollectOptions(None, tmp_path / "c", hub=str(folder), size=48, min_works=1)
    collection, ledger = collect(options)
    table = collection.table
    assert len(table) == 60 and list(table["year"]) == rows["year"]
    assert (table["artist"][:5] == -1).all() and (table["artist"][5:] >= 0).all()
    assert [collection.vocabularies["style"][k] for k in table["style"]] == [f.parent.name for f in files]
    assert ledger.count("unknown-label") == 5
    assert collection.read(7) == files[7].read_bytes()


def test_classes_of_another_collection_match_by_name(clean: Path, tmp_path: Path) -> None:
    collection, _ = gather(clean, tmp_path / "c")
    own = collection.vocabularies["style"]
    other = [*reversed([name.lower().replace("_", " ") for name in own[1:]]), "Rayonism"]
    matched = collection.labels("style", other)
    for before, after in zip(collection.labels("style"), matched, strict=True):
        assert after == (-1 if before == 0 else other.index(own[before].lower().replace("_", " ")))


def test_a_collection_without_a_usable_work_says_why(tmp_path: Path) -> None:
    (tmp_path / "images" / "Rococo").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / "Rococo" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"empty-file: 2"):
        collect(CollectOptions(tmp_path / "images", tmp_path / "c", min_works=1))
    assert "empty-file" in (tmp_path / "c" / "report.md").read_text()


def test_moved_folders_are_found_by_file_name(clean: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat" / "wikiart"
    flat.mkdir(parents=True)
    shutil.copytree(clean / "wikiart_csv", tmp_path / "flat" / "wikiart_csv")
    for file in (clean / "wikiart").rglob("*.jpg"):
        shutil.copy(file, flat / file.name)
    collection, ledger = gather(tmp_path / "flat", tmp_path / "c")
    assert len(collection.table) == ledger.count("folder-moved") == len(list(flat.iterdir()))


def test_names_that_are_not_utf8_and_links_in_a_circle_do_no_harm(clean: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(clean / "wikiart", images)
    (images / "Cubism" / "again").symlink_to(images, target_is_directory=True)
    odd = os.fsencode(str(images / "Cubism")) + b"/ines-valdorado_\xff.jpg"
    shutil.copy(next(images.glob("Cubism/*.jpg")), os.fsdecode(odd))
    collection, ledger = collect(CollectOptions(images, tmp_path / "c", size=48, min_works=1))
    assert len(collection.table) == 160 and ledger.count("bad-name") == 1


def test_a_collection_begun_anew_is_none_until_it_is_whole(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(clean, tmp_path / "c")
    with monkeypatch.context() as patch:
        patch.setattr(
            "morelli.collection.preparing._run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            gather(clean, tmp_path / "c", size=24, overwrite=True)
    with pytest.raises(UsageError, match="not a collection"):
        Collection.open(tmp_path / "c")
    gather(clean, tmp_path / "c", size=24)
    assert Collection.open(tmp_path / "c").info["size"] == 24


@pytest.mark.parametrize("split", ["70/15/15", "official", "artist-disjoint", "85/15/0"])
def test_works_keep_the_splits_of_an_earlier_collection(split: str, planted: Path, tmp_path: Path) -> None:
    every, _ = gather(planted, tmp_path / "every", split=split)
    ids = list(every.table["id"])
    (tmp_path / "images").symlink_to(planted / "wikiart")
    frame = pd.DataFrame({"path": every.table["file"].str.removeprefix(f"{planted / 'wikiart'}/")})
    for task in TASKS:
        names = np.array([*every.vocabularies[task], None], dtype=object)
        frame[task] = names[every.table[task]]
    frame["artist"] = every.table["artist_name"]
    frame["split"] = every.table["official"]

    def part(rows: slice, out: str, **options: object) -> Collection:
        frame.iloc[rows].to_csv(tmp_path / f"{out}.csv", index=False)
        table = {"lists": None, "table": tmp_path / f"{out}.csv", "processes": 1}
        return gather(planted, tmp_path / out, **table | options)[0]

    before = part(slice(5, None), "before", split=split)
    after = part(slice(0, len(ids) - 5), "after", splits_from=tmp_path / "before", seed=1)
    assert after.info["split"] == split
    was, now = (dict(zip(c.table["id"], c.table["split"], strict=True)) for c in (before, after))
    assert len(set(now) - set(was)) == 5 and len(set(was) - set(now)) == 5
    assert {name: now[name] for name in now if name in was} == {n: s for n, s in was.items() if n in now}
    used = after.table[after.table["split"] != "none"]
    assert used.groupby("group")["split"].nunique().max() == 1


def test_an_earlier_collection_of_another_split_or_of_other_works_is_refused(
    clean: Path, tmp_path: Path
) -> None:
    gather(clean, tmp_path / "c", processes=1)
    shutil.copytree(tmp_path / "c", tmp_path / "others")
    table = pd.read_parquet(tmp_path / "c" / "collection.parquet")
    table.assign(id="elsewhere/" + table["id"]).to_parquet(tmp_path / "others" / "collection.parquet")
    for wrong, error, message in (
        (
            {"splits_from": tmp_path / "c", "split": "official"},
            UsageError,
            "was split 70/15/15; leave out one",
        ),
        ({"splits_from": tmp_path / "others"}, DataError, "others: has none of these works, such as"),
        ({"splits_from": tmp_path / "nowhere"}, UsageError, "--splits-from .*nowhere: no such collection"),
    ):
        with pytest.raises(error, match=message):
            gather(clean, tmp_path / "d", **wrong)
    assert not (tmp_path / "d" / "collection.json").exists()


def test_new_labels_in_memory_take_the_artists_name_along_in_its_spelling(
    clean: Path, tmp_path: Path
) -> None:
    collection, _ = gather(clean, tmp_path / "c", artists="official", processes=1)
    labels = collection.labels("artist").copy()
    names = collection.vocabularies["artist"]
    spelt = collection.table.loc[labels == 1, "artist_name"].iloc[0]
    assert spelt != names[1], "the lists and the file names spell artists differently"
    row = int(np.flatnonzero(labels == 0)[0])
    labels[row] = 1
    changed = collection.with_labels("artist", labels)
    assert changed.table["artist_name"][row] == spelt and changed.labels("artist")[row] == 1
    same = np.arange(len(labels)) != row
    assert (changed.table["artist_name"] == collection.table["artist_name"])[same].all()
    assert collection.labels("artist")[row] == 0, "the collection itself stays"
    style = np.full(len(labels), 0)
    other = changed.with_labels("style", style, ["One"])
    assert other.vocabularies["style"] == ["One"] and (other.labels("style") == 0).all()
    assert (other.table["artist_name"] == changed.table["artist_name"]).all()
