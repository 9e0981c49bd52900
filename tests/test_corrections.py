"""Corrections: what is read of a file that a person filled in, and what it does to the table of works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import morelli, painted_collection

from morelli.collection.collection import Collection
from morelli.collection.corrections import apply_corrections, read_corrections
from morelli.collection.ledger import Ledger
from morelli.errors import DataError, UsageError


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


def test_only_filled_in_rows_are_read_and_keep_means_as_it_is(tmp_path: Path) -> None:
    rows = [
        ("a.jpg", "style", " Rococo "),
        ("b.jpg", "style", None),
        ("c.jpg", "style", "Keep"),
        ("d.jpg", "genre", "unknown"),
        ("a.jpg", "style", "Rococo"),
    ]
    made = read_corrections(filled(tmp_path, rows))
    assert [tuple(row) for row in made.itertuples(index=False)] == [
        ("a.jpg", "style", "Rococo"),
        ("d.jpg", "genre", None),
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
    made, ledger = corrected(filled(tmp_path, rows))
    expected = works()
    expected["style"] = ["Rococo", "Rococo", "Naive Art", "Cubism"]
    expected["genre"] = ["portrait", "landscape", "portrait", None]
    expected.loc[3, ["artist", "artist_name"]] = "juan-gris"
    pd.testing.assert_frame_equal(made.fillna("-"), expected.fillna("-"), check_dtype=False)
    assert ledger.count("corrected") == 5  # one said what was there already
    assert ("a.jpg", "style: Cubism → Rococo") in ledger.entries["corrected"]
    assert ("d.jpg", "genre: landscape → unknown") in ledger.entries["corrected"]
    assert works()["style"].iloc[0] == "Cubism"


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
