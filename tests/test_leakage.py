"""The leakage audit finds the twins that were planted, and no others, and is fast."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.scores.leakage import accuracy_without, find_leakage, leakage_report, series_key

MONET, WARHOL = "claude-monet", "andy-warhol"


@pytest.fixture
def table() -> pd.DataFrame:
    """Training works t0–t5, validation v, and test works whose twins are planted one by one."""
    base = np.uint64(0x0F0F_3C3C_AAAA_5555)
    far = [np.uint64(0x1234_5678_9ABC_DEF0) ^ np.uint64(0x0101_1001_0010_0101 * k) for k in range(20)]
    rows = [
        (f"Impressionism/{MONET}_haystacks-1890.jpg", "train", MONET, 1, base),
        (f"Pop_Art/{WARHOL}_untitled-1.jpg", "train", WARHOL, 2, ~base),
        (f"Impressionism/{MONET}_the-pond.jpg", "none", MONET, 3, far[0] ^ ~base),
        (f"Impressionism/{MONET}_water-lilies-2.jpg", "val", MONET, 4, far[3] ^ base),
        # test: a group twin; a hash 6 bits off; 7 bits off; a series; one of validation; two that say nothing
        ("Impressionism/x-y_other.jpg", "test", "x-y", 1, ~np.uint64(0xFFFF_0000)),
        ("Impressionism/x-y_elsewhere.jpg", "test", "x-y", 11, base ^ np.uint64(0b111111)),
        ("Impressionism/x-y_nowhere.jpg", "test", "x-y", 12, base ^ np.uint64(0b1111111)),
        (f"Post/{MONET}_haystacks-study-(2)-1891.jpg", "test", MONET, 13, np.uint64(0xFFFF_0000_FF00_F0F1)),
        (f"Post/{MONET}_water-lilies.jpg", "test", MONET, 14, np.uint64(0x00FF_FF00_0FF0_3CC3)),
        (f"Pop_Art/{WARHOL}_untitled-2.jpg", "test", WARHOL, 15, np.uint64(0xF0F0_00FF_3333_CCCC)),
        (f"Impressionism/{MONET}_the-pond-2.jpg", "test", MONET, 16, np.uint64(0x3333_0F0F_F00F_9999)),
        ("Impressionism/x-y_haystacks.jpg", "test", "x-y", 17, np.uint64(0x6666_9999_00FF_0FF0)),
    ]
    return pd.DataFrame(rows, columns=["id", "split", "artist_name", "group", "phash"])


def test_every_planted_twin_is_found_and_nothing_else(table: pd.DataFrame) -> None:
    found = find_leakage(table, "test")
    assert found is not None and found.rows.tolist() == list(range(4, 12))
    assert found.twins["group"].tolist() == [0, -1, -1, -1, -1, -1, -1, -1]
    assert found.twins["hash"].tolist() == [-1, 0, -1, -1, -1, -1, -1, -1]
    # another artist's haystacks, a title that says nothing and a work that is in no split are no series
    assert found.twins["series"].tolist() == [-1, -1, -1, 0, 3, -1, -1, -1]
    assert found.leaked("group", "hash").tolist() == [True, True] + [False] * 6
    assert found.leaked().sum() == 4


def test_the_report_counts_and_names_them(table: pd.DataFrame) -> None:
    found = find_leakage(table, "test")
    assert found is not None
    report = leakage_report(found, table, "test")
    assert (report["works"], report["seen"], report["any"]) == (
        8,
        ["train", "val"],
        {"works": 4, "share": 0.5},
    )
    assert {kind: row["works"] for kind, row in report["kinds"].items()} == {
        "group": 1,
        "hash": 1,
        "series": 2,
    }
    assert report["kinds"]["series"]["examples"] == [
        [f"Post/{MONET}_haystacks-study-(2)-1891.jpg", f"Impressionism/{MONET}_haystacks-1890.jpg"],
        [f"Post/{MONET}_water-lilies.jpg", f"Impressionism/{MONET}_water-lilies-2.jpg"],
    ]
    assert len(leakage_report(found, table, "test", examples=1)["kinds"]["series"]["examples"]) == 1


def test_the_accuracy_without_them_by_hand(table: pd.DataFrame) -> None:
    found = find_leakage(table, "test")
    assert found is not None
    # of the works by row 4–11: right, right, wrong, right, unknown, wrong, right, wrong
    labels = np.array([0, 0, 1, 0, -1, 1, 0, 1], np.int32)
    probabilities = np.tile(np.float32([0.8, 0.2]), (8, 1))
    task = TaskPredictions(["a", "b"], labels, probabilities)
    ids = list(table["id"].iloc[found.rows])
    without = accuracy_without(Predictions(ids, ids, {"style": task}), found, table)["style"]
    assert (without["copies"]["n"], without["copies"]["accuracy"]) == (5, pytest.approx(2 / 5))
    assert (without["any"]["n"], without["any"]["accuracy"]) == (4, pytest.approx(1 / 4))


def test_validation_is_compared_with_training_alone_and_training_with_nothing(table: pd.DataFrame) -> None:
    assert find_leakage(table, "train") is None and find_leakage(table, "all") is None
    moved = table.assign(split=table["split"].replace({"val": "test", "test": "val"}))
    found = find_leakage(moved, "val")
    assert found is not None and found.twins["series"].tolist() == [-1, -1, -1, 0, -1, -1, -1, -1]


def test_a_collection_without_hashes_or_groups_is_judged_by_its_titles(table: pd.DataFrame) -> None:
    found = find_leakage(table.drop(columns=["group", "phash"]), "test")
    assert found is not None and list(found.twins) == ["series"] and found.leaked().sum() == 2
    alone = find_leakage(table[table["split"] == "test"], "test")
    assert alone is not None and not alone.leaked().any()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("in-the-kitchen-garden-1883(1)", "in the kitchen garden"),
        ("atlantique-ii-1991", "atlantique"),
        ("the-pont-neuf-2-1901", "the pont neuf"),
        ("portrait-of-a-man-study", "portrait of a man"),
        ("study", "study"),
        ("not_detected_233134", None),
        ("no-7-1964", None),
        ("1964", None),
    ],
)
def test_titles_lose_their_numbers_and_trailing_words(name: str, key: str | None) -> None:
    expected = None if key is None else f"{MONET} {key}"
    assert series_key(f"Impressionism/{MONET}_{name}.jpg", MONET) == expected


def test_a_name_that_is_no_artist_and_title_has_no_series() -> None:
    assert series_key("photos/IMG_1234.jpg", MONET) is None
    assert series_key(f"a/{MONET}_haystacks.jpg", None) is None
    assert series_key(f"a/{MONET}_haystacks.jpg", float("nan")) is None


def test_nearest_hashes_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, dtype=np.uint64)
    for i in range(0, 100):  # half of the test works are some bits away from a training work
        bits = rng.choice(64, rng.integers(0, 13), replace=False)
        hashes[200 + i] = hashes[i] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=0)
    split = np.array(["train"] * 200 + ["test"] * 100)
    table = pd.DataFrame({"id": [f"w{i}" for i in range(300)], "split": split, "artist_name": None})
    found = find_leakage(table.assign(phash=hashes), "test")
    expected = [min(bin(int(h) ^ int(o)).count("1") for o in hashes[:200]) <= 6 for h in hashes[200:]]
    assert found is not None and (found.twins["hash"] >= 0).tolist() == expected and 20 < sum(expected) < 80


@pytest.mark.slow
def test_it_is_fast_for_as_many_works_as_wikiart() -> None:
    rng = np.random.default_rng(1)
    works = 81_446
    artists = [f"painter-{chr(97 + a % 26)}{chr(97 + a // 26)}" for a in rng.integers(0, 600, works)]
    titles = rng.integers(0, 40_000, works)
    table = pd.DataFrame(
        {
            "id": [
                f"s/{a}_view-{chr(97 + t % 26)}-{t}-18{t % 90}.jpg"
                for a, t in zip(artists, titles, strict=True)
            ],
            "split": rng.choice(["train", "val", "test"], works, p=[0.6, 0.1, 0.3]),
            "artist_name": artists,
            "group": rng.integers(0, 80_000, works),
            "phash": rng.integers(0, 2**64, works, dtype=np.uint64),
        }
    )
    start = time.process_time()  # the machine may be busy with other things
    found = find_leakage(table, "test")
    assert found is not None and leakage_report(found, table, "test")["kinds"]["group"]["works"] > 1000
    assert time.process_time() - start < 10
