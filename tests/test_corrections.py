"""Corrections: what is read of a file that a person filled in, and what it does to the table of works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import morelli, painted_collection

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.collection.corrections import apply_corrections, read_corrections
from morelli.collection.ledger import Ledger
from morelli.errors import DataError, UsageError
from morelli.synthetic import paint


def works() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
            "style": ["Cubism", "Rococo", None, "Cubism"],
            "genre": ["portrait", None, "portrait", "landscape"],
            "artist": ["pablo-picasso", "juan-gris", "juan-gris", None],
            "artist_name": ["pablo-picasso", "juan-gris", "juan-gris", "a-rare-one"],
        }
    )


def filled(folder: Path, rows: list[tuple[Any, ...]], columns: str = "id,task,correct_label") -> Path:
    file = folder / "candidates.csv"
    pd.DataFrame(rows, columns=columns.split(",")).to_csv(file, index=False)
    return file


def corrected(file: Path) -> tuple[pd.DataFrame, Ledger]:
    ledger = Ledger()
    return apply_corrections(works(), read_corrections(file), file, ledger), ledger


def test_only_filled_in_rows_are_read_and_keep_confirms_what_is_there(tmp_path: Path) -> None:
    rows = [
        ("a.jpg", "style", " Rococo "),
        ("b.jpg", "style", None),
        ("c.jpg", "style", "Keep"),
        ("d.jpg", "genre", "unknown"),
        ("a.jpg", "style", "Rococo"),
    ]
    read = read_corrections(filled(tmp_path, rows))
    assert [tuple(row) for row in read.itertuples(index=False)] == [
        ("a.jpg", "style", "Rococo", False),
        ("c.jpg", "style", None, True),
        ("d.jpg", "genre", None, False),
    ]


def test_labels_are_changed_as_the_classes_are_spelt_and_nothing_else_is(tmp_path: Path) -> None:
    rows = [
        ("a.jpg", "style", "rococo"),
        ("c.jpg", "style", "Naive Art"),
        ("b.jpg", "genre", "Landscape"),
        ("d.jpg", "genre", "unknown"),
        ("d.jpg", "artist", "Juan Gris"),
        ("b.jpg", "style", "Rococo"),
    ]
    result, ledger = corrected(filled(tmp_path, rows))
    made = result[list(works())]
    expected = works()
    expected["style"] = ["Rococo", "Rococo", "Naive Art", "Cubism"]
    expected["genre"] = ["portrait", "landscape", "portrait", None]
    expected.loc[3, ["artist", "artist_name"]] = "juan-gris"
    pd.testing.assert_frame_equal(made.fillna("-"), expected.fillna("-"), check_dtype=False)
    assert ledger.count("corrected") == 5  # one confirms what was there already
    assert ledger.entries["verified"] == [("b.jpg", "style: Rococo")]
    assert ("a.jpg", "style: Cubism → Rococo") in ledger.entries["corrected"]
    assert ("d.jpg", "genre: landscape → unknown") in ledger.entries["corrected"]
    assert works()["style"].iloc[0] == "Cubism"


def test_labels_that_a_person_kept_or_changed_are_verified_and_no_others(tmp_path: Path) -> None:
    rows = [
        ("a.jpg", "style", "keep"),
        ("b.jpg", "style", "Cubism"),
        ("c.jpg", "style", None),
        ("d.jpg", "genre", "unknown"),
        ("c.jpg", "genre", "KEEP "),
    ]
    result, ledger = corrected(filled(tmp_path, rows))
    assert result["verified_style"].tolist() == [True, True, False, False]
    assert result["verified_genre"].tolist() == [False, False, True, True]
    assert list(result["style"].fillna("-")) == ["Cubism", "Cubism", "-", "Cubism"]
    assert ledger.entries["verified"] == [("a.jpg", "style: Cubism"), ("c.jpg", "genre: portrait")]
    # a second round of corrections forgets none of the first
    file = filled(tmp_path, [("d.jpg", "style", "keep")])
    again = apply_corrections(result, read_corrections(file), file, Ledger())
    assert again["verified_style"].tolist() == [True, True, False, True]


def test_an_artist_is_spelt_as_the_artists_other_works_are(tmp_path: Path) -> None:
    table = works().assign(
        artist=["Pablo_Picasso", "Juan_Gris", "Juan_Gris", None],
        artist_name=["pablo-picasso", "juan-gris", "juan-gris", "a-rare-one"],
    )
    rows = [
        ("a.jpg", "artist", "juan gris"),
        ("b.jpg", "artist", "A rare one"),
        ("d.jpg", "artist", "unknown"),
    ]
    file = filled(tmp_path, rows)
    result = apply_corrections(table, read_corrections(file), file, Ledger())
    assert list(result["artist"].fillna("-")) == ["Juan_Gris", "a-rare-one", "Juan_Gris", "-"]
    assert list(result["artist_name"].fillna("-")) == ["juan-gris", "a-rare-one", "juan-gris", "-"]


def test_a_parquet_file_and_a_column_called_label_are_read_as_well(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    pd.DataFrame({"id": ["a.jpg"], "task": ["style"], "label": ["Rococo"], "more": [1]}).to_parquet(file)
    assert list(read_corrections(file)["label"]) == ["Rococo"]


def test_nothing_filled_in_changes_nothing(tmp_path: Path) -> None:
    made, ledger = corrected(filled(tmp_path, [("a.jpg", "style", None)]))
    pd.testing.assert_frame_equal(made, works())
    assert not ledger.entries


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([("e.jpg", "style", "Rococo")], "id,task,correct_label", "corrects e.jpg, which is not among these works"),
        ([("a.jpg", "period", "late")], "id,task,correct_label", "says period; it must be one of artist, style, genre"),
        ([("a.jpg", "style", "Cubsm")], "id,task,correct_label", "no work has the style Cubsm; did you mean Cubism?"),
        (
            [("a.jpg", "style", "Cubism"), ("a.jpg", "style", "Rococo")],
            "id,task,correct_label",
            "a.jpg has two corrections of its style",
        ),
        ([("a.jpg", "Cubism")], "id,correct_label", "has no column task"),
        ([("a.jpg", "style")], "id,task", "has no column correct_label"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_said_in_one_sentence_with_the_file(
    tmp_path: Path, rows: list[tuple[Any, ...]], columns: str, said: str
) -> None:
    file = filled(tmp_path, rows, columns)
    with pytest.raises(DataError) as caught:
        corrected(file)
    assert str(caught.value).startswith(f"{file}: ") and said in str(caught.value)


def test_a_file_that_is_not_there_or_not_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--corrections .*: no such file"):
        read_corrections(tmp_path / "no.csv")
    with pytest.raises(UsageError, match="is a folder"):
        read_corrections(tmp_path)
    for name, content in (("e.csv", b""), ("x.csv", b"\xff\xfe\x00bad\x80"), ("p.parquet", b"PAR1")):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_corrections(file)


SPLITS = ("70/15/15", "official", "artist-disjoint", "85/15/0")


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paintings with near-duplicates."""
    out = tmp_path_factory.mktemp("painted") / "p"
    paint(out, 150, seed=4, size=32, defects=True)
    return out


def gather(painted: Path, out: Path, **options: Any) -> tuple[Collection, Ledger]:
    chosen = {"lists": painted / "wikiart_csv", "size": 32, "min_works": 1, "processes": 1} | options
    return collect(CollectOptions(painted / "wikiart", out, **chosen))


def splits_of(collection: Collection) -> dict[str, str]:
    return dict(zip(collection.table["id"], collection.table["split"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("split", SPLITS)
def test_collecting_with_corrections_gives_every_work_the_split_it_has_without(
    split: str, seed: int, painted: Path, tmp_path: Path
) -> None:
    before, _ = gather(painted, tmp_path / "before", split=split, seed=seed)
    names, table = before.vocabularies["style"], before.table
    chosen = table[table["style"] >= 0].iloc[::9]
    rows = [(row.id, "style", names[(row.style + 1) % len(names)]) for row in chosen.itertuples()]
    rows += [(row.id, "genre", "unknown") for row in table[table["genre"] >= 0].iloc[::11].itertuples()]
    file = filled(tmp_path, rows)
    after, ledger = gather(painted, tmp_path / "after", split=split, seed=seed, corrections=file)
    assert ledger.count("corrected") == len(rows) > 20
    assert splits_of(after) == splits_of(before)
    assert (after.table["group"] == table["group"]).all() and after.fingerprint == before.fingerprint


@pytest.mark.slow
def test_corrections_that_bring_works_in_and_take_works_out_move_none_of_the_others(
    painted: Path, tmp_path: Path
) -> None:
    every, _ = gather(painted, tmp_path / "every")
    names = every.vocabularies["style"]
    counts = every.table["style"].value_counts()
    one, other = (names[k] for k in counts.index[counts.index >= 0][:2])
    options = {"only": {"style": [one]}, "subset": int(counts.max()) - 3}
    before, _ = gather(painted, tmp_path / "before", **options)
    leaves = before.table["id"].iloc[:4]
    enters = every.table.loc[every.table["style"] == names.index(other), "id"].iloc[:3]
    file = filled(tmp_path, [(i, "style", other) for i in leaves] + [(i, "style", one) for i in enters])
    after, _ = gather(painted, tmp_path / "after", corrections=file, **options)
    was, now = splits_of(before), splits_of(after)
    assert set(now) == set(was) - set(leaves) | set(enters)
    assert {name: now[name] for name in now if name in was} == {n: s for n, s in was.items() if n in now}


@pytest.mark.slow
@pytest.mark.parametrize("artists", ["names", "official"])
def test_a_corrected_artist_stands_with_the_works_of_that_artist_however_it_is_spelt(
    artists: str, painted: Path, tmp_path: Path
) -> None:
    options = {"split": "artist-disjoint", "artists": artists}
    before, _ = gather(painted, tmp_path / "before", **options)
    known, _ = gather(painted, tmp_path / "known", artists=artists)
    labels = known.labels("artist")
    table = before.table[(labels >= 0) & ~before.table["group"].duplicated(keep=False)]
    work = table[table["split"] == "train"].iloc[0]
    other = table[~table["split"].isin(["train", "none"])].iloc[0]
    name = known.vocabularies["artist"][labels[other.name]]
    file = filled(tmp_path, [(work["id"], "artist", name.replace("-", " ").replace("_", " "))])
    after, ledger = gather(painted, tmp_path / "after", corrections=file, **options)
    row = after.table.set_index("id").loc[work["id"]]
    assert row["artist_name"] == other["artist_name"] and row["split"] == other["split"]
    was, now = splits_of(before), splits_of(after)
    assert {i for i in was if was[i] != now[i]} == {work["id"]}
    assert after.table.groupby("artist_name")["split"].nunique().max() == 1
    assert ledger.entries["split-moved"] == [
        (work["id"], f"train → {other['split']}, where {other['artist_name']} is")
    ]


@pytest.mark.slow
def test_a_collection_keeps_what_a_person_verified(painted: Path, tmp_path: Path) -> None:
    plain, _ = gather(painted, tmp_path / "plain")
    assert not plain.verified("style").any() and plain.info["verified"] == dict.fromkeys(
        plain.vocabularies, 0
    )
    ids = plain.table["id"]
    rows = [(ids[0], "style", "keep"), (ids[1], "style", "unknown"), (ids[2], "genre", "keep")]
    gather(painted, tmp_path / "c", corrections=filled(tmp_path, rows))
    collection = Collection.open(tmp_path / "c")
    assert np.flatnonzero(collection.verified("style")).tolist() == [0, 1]
    assert np.flatnonzero(collection.verified("genre")).tolist() == [2]
    assert collection.verified("artist").dtype == bool and not collection.verified("artist").any()
    assert collection.info["verified"] == {"artist": 0, "style": 2, "genre": 1}
    assert collection.labels("style")[0] == plain.labels("style")[0] and collection.labels("style")[1] == -1
    assert json.loads((tmp_path / "c" / "report.json").read_text())["notes"]["verified"]["count"] == 2
    # a collection without the columns
    without = Collection(collection.folder, collection.table[["id", "style"]], collection.info)
    assert without.verified("style").tolist() == [False] * len(ids)


@pytest.mark.slow
def test_collecting_again_with_corrections_changes_those_labels_and_says_so(tmp_path: Path) -> None:
    before = Collection.open(painted_collection(tmp_path, works=30))
    names, work = before.vocabularies["style"], before.table.iloc[4]
    given, other = names[work["style"]], names[(work["style"] + 1) % len(names)]
    file = filled(tmp_path, [(work["id"], "style", other)])
    source = f"{tmp_path}/p/wikiart --lists {tmp_path}/p/wikiart_csv --size 32 --min-works 1"
    morelli(f"collect {source} --out {tmp_path}/again --corrections {file}")
    after = Collection.open(tmp_path / "again")
    changed = after.table.set_index("id")["style"].map(lambda k: after.vocabularies["style"][k])
    known = before.table.set_index("id")["style"].map(lambda k: names[k])
    assert changed[changed != known].to_dict() == {work["id"]: other}
    assert f"style: {given} → {other}" in (tmp_path / "again" / "ledger.csv").read_text()
