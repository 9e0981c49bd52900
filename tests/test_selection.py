"""The works that a filter leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from morelli.collection.collection import Collection
from morelli.collection.selection import artists_of, rows_by_artist, rows_where
from morelli.errors import UsageError

YEARS = [1850, 1889, 1890, 1900, 1910, 1950, None]
STYLES = ["Cubism", "Rococo"]


def collection(**columns: list[object]) -> Collection:
    """Fourteen works in memory, each third of no known style, by a class of artist, a rare artist, or nobody known."""
    count = 14
    table = pd.DataFrame({"id": [f"{k}.jpg" for k in range(count)], "width": range(100, 100 + count)})
    table["style"] = np.resize([0, 1, -1], count)
    table["artist"] = np.resize([0, -1, -1, 0], count)
    table["artist_name"] = np.resize(
        np.array(["claude-monet", "a-rare-one", None, None], dtype=object), count
    )
    vocabularies = {"artist": ["Claude_Monet"], "style": STYLES, "genre": []}
    info = {"vocabularies": vocabularies, "images_fingerprint": "f"}
    return Collection(Path("c"), table.assign(genre=-1, **columns), info)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("1890..1910", [1890, 1900, 1910]),
        ("1910..", [1910, 1950]),
        ("..1889", [1850, 1889]),
        ("1900", [1900]),
        ("1850,1910..1950", [1850, 1910, 1950]),
    ],
)
@pytest.mark.parametrize("kind", [float, str])
def test_a_range_of_numbers_holds_its_ends_and_no_unknown_one(text: str, fits: list[int], kind: type) -> None:
    if kind is str and ".." not in text:
        text = f"{text}..{text}"
    years = [YEARS[row % 7] for row in range(14)]
    works = collection(year=[None if year is None else kind(year) for year in years])
    assert rows_where(works, {"year": text}).tolist() == [year in fits for year in years]


def test_a_column_of_yes_and_no_is_asked_for_by_true_or_false() -> None:
    works = collection(verified_style=[row % 5 == 0 for row in range(14)])
    assert np.flatnonzero(rows_where(works, {"verified_style": "true"})).tolist() == [0, 5, 10]
    assert rows_where(works, {"verified_style": "False"}).sum() == 11


def test_every_condition_must_hold_and_one_of_its_values_suffices() -> None:
    works = collection()
    assert np.flatnonzero(rows_where(works, {"style": "rococo, Cubism", "width": "105.."})).tolist() == [
        6, 7, 9, 10, 12, 13
    ]  # fmt: skip
    assert np.flatnonzero(rows_where(works, {"style": "cubism"})).tolist() == [0, 3, 6, 9, 12]


def test_an_artist_is_found_by_any_spelling_and_where_too_rare_to_be_a_class() -> None:
    works = collection()
    assert artists_of(works)[:4].tolist() == ["claude-monet", "a-rare-one", None, "Claude_Monet"]
    assert np.flatnonzero(rows_by_artist(works, "Claude Monet")).tolist() == [0, 3, 4, 7, 8, 11, 12]
    assert np.flatnonzero(rows_where(works, {"artist": "A Rare One"})).tolist() == [1, 5, 9, 13]
    with pytest.raises(UsageError, match=r"--artist nobody: no work has the artist nobody"):
        rows_by_artist(works, "nobody")


def test_filters_that_fit_nothing_are_refused_with_a_suggestion() -> None:
    for where, message in (
        ({"stile": "Cubism"}, "has no column stile; did you mean style"),
        ({"style": "Cubis"}, "no work has the style Cubis; did you mean Cubism"),
        ({"width": "wide"}, "wide is neither a number nor a range"),
        ({"style": " , "}, "gives no value"),
        ({"width": "1..2"}, r"--where width=1\.\.2: no work of the collection fits"),
        ({"artist": "nobody"}, "no work has the artist nobody"),
    ):
        with pytest.raises(UsageError, match=message):
            rows_where(collection(), where)
