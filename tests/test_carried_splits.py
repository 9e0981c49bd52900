"""Splits belong to ids: what stays keeps its split, whatever is relabelled, removed or added."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from morelli.collection.duplicates import group, pairs_among
from morelli.collection.splits import carry_splits, draw_splits, parse_split
from morelli.recipe import TASKS

SETTINGS = ("70/15/15", "official", "artist-disjoint", "85/15/0")
SEEDS = (0, 1)
COUNT = 400


def works_of(count: int, seed: int) -> pd.DataFrame:
    """Works with long-tailed labels, some unknown; the artist's name is known also where the label is not."""
    rng = np.random.default_rng(seed)
    artist = np.minimum(rng.geometric(0.08, count) - 1, 40)
    table = pd.DataFrame({"id": [f"w{k}.jpg" for k in range(count)]})
    table["artist_name"] = [f"artist-{k}" for k in artist]
    labels = {"artist": artist, "style": rng.integers(0, 6, count), "genre": rng.integers(0, 4, count)}
    for task, numbers in labels.items():
        table[task] = np.where(rng.random(count) < 0.2, -1, numbers).astype(np.int32)
    return table.assign(official=rng.choice(["train", "val"], count, p=[0.7, 0.3]))


def pairs_of(count: int, seed: int) -> np.ndarray:
    """Forty pairs of near-duplicates, two of which make a group of four."""
    pairs = np.random.default_rng(seed).choice(count, 80, replace=False).reshape(-1, 2)
    return np.sort(np.concatenate([pairs, [[pairs[0, 0], pairs[1, 0]]]]), axis=1)


def drawn(works: pd.DataFrame, pairs: np.ndarray, setting: str, seed: int) -> pd.DataFrame:
    kind, shares = parse_split(setting)
    return works.assign(split=draw_splits(works, group(len(works), pairs), kind, shares, seed))


def carried(
    earlier: pd.DataFrame, works: pd.DataFrame, pairs: np.ndarray, setting: str, seed: int
) -> pd.DataFrame:
    kind, shares = parse_split(setting)
    split, groups = carry_splits(earlier, works, pairs, kind, shares, seed)
    return works.assign(split=split, group=groups)


def assert_nothing_is_torn(works: pd.DataFrame, setting: str) -> None:
    used = works[works["split"] != "none"]
    assert set(used["split"]) <= {"train", "val", "test"}
    assert used.groupby("group")["split"].nunique().max() == 1
    if setting == "artist-disjoint":
        assert used.groupby("artist_name")["split"].nunique().max() == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_changed_label_moves_no_work(setting: str, seed: int) -> None:
    before, pairs = drawn(works_of(COUNT, seed), pairs_of(COUNT, seed), setting, seed), pairs_of(COUNT, seed)
    changed = before.drop(columns="split").copy()
    changed.loc[::20, "style"] = (changed.loc[::20, "style"] + 1) % 6
    changed.loc[99, "genre"] = -1
    after = carried(before, changed, pairs, setting, seed)
    assert list(after["split"]) == list(before["split"])
    assert (after["group"] == group(COUNT, pairs)).all()
    # drawn anew from the changed labels the splits would be others, or this test could not fail
    if setting != "artist-disjoint":
        assert list(drawn(changed, pairs, setting, seed)["split"]) != list(before["split"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_works_that_stay_keep_their_split_when_others_come_and_go(setting: str, seed: int) -> None:
    every, pairs = works_of(COUNT, seed), pairs_of(COUNT, seed)
    rows = np.random.default_rng(seed).permutation(COUNT)
    # the works that come are near-duplicates of works that stay, of works that go, of one another, or of none
    old, new = np.sort(rows[5:]), np.sort(rows[:-5])
    before = drawn(every.iloc[old].reset_index(drop=True), pairs_among(pairs, old), setting, seed)
    after = carried(before, every.iloc[new].reset_index(drop=True), pairs_among(pairs, new), setting, seed)
    was = before.set_index("id")["split"]
    stays = after["id"].isin(was.index)
    assert (~stays).sum() == 5
    assert list(after.loc[stays, "split"]) == list(was[after.loc[stays, "id"]])
    assert_nothing_is_torn(after, setting)
    if setting == "official":
        words = after.loc[~stays & (after["split"] != "none")]
        assert ((words["official"] == "val") == (words["split"] == "test")).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_after_many_changes_groups_are_whole_and_nearly_all_works_are_used(setting: str, seed: int) -> None:
    every, pairs = works_of(COUNT, seed), pairs_of(COUNT, seed)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(COUNT)[:200])
    works = drawn(every.iloc[rows].reset_index(drop=True), pairs_among(pairs, rows), setting, seed)
    for _ in range(6):
        absent = np.setdiff1d(np.arange(COUNT), rows)
        rows = np.sort(np.r_[rng.permutation(rows)[:-20], rng.permutation(absent)[:40]])
        works = carried(
            works, every.iloc[rows].reset_index(drop=True), pairs_among(pairs, rows), setting, seed
        )
        assert_nothing_is_torn(works, setting)
    left_out = (works["split"] == "none").mean()
    assert left_out < (0.08 if setting in ("official", "artist-disjoint") else 0.02)


@pytest.mark.slow
def test_works_added_one_by_one_are_shared_out_as_asked() -> None:
    every, pairs = works_of(300, 2), np.empty((0, 2), dtype=np.int64)
    works = drawn(every.iloc[:100], pairs, "70/15/15", 0)
    for count in range(101, 301):
        works = carried(works, every.iloc[:count], pairs, "70/15/15", 0)
    shares = works["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.70, abs=0.02)
    assert shares["val"] == pytest.approx(0.15, abs=0.02) and shares["test"] == pytest.approx(0.15, abs=0.02)


def test_new_works_fill_up_the_split_that_lost_its_works() -> None:
    every, pairs = works_of(COUNT, 3), np.empty((0, 2), dtype=np.int64)
    before = drawn(every.iloc[:300], pairs, "70/15/15", 0)
    kept = before["split"] != "test"
    works = pd.concat([every.iloc[:300][kept], every.iloc[300:345]], ignore_index=True)
    after = carried(before, works, pairs, "70/15/15", 0)
    assert (after["split"].iloc[-45:] == "test").sum() >= 40


def small(artists: list[str | None], splits: list[str], **more: object) -> pd.DataFrame:
    """Works a, b, c … with an artist and a split each."""
    table = pd.DataFrame({"id": [chr(97 + k) for k in range(len(artists))], "artist_name": artists})
    return table.assign(**dict.fromkeys(TASKS, -1), official="train", split=splits, **more)


NO_PAIRS = np.empty((0, 2), dtype=np.int64)


def test_a_work_with_a_corrected_artist_goes_to_the_split_of_that_artists_works_and_no_other_moves() -> None:
    before = small(["monet", "monet", "degas", "degas", "degas"], ["train", "train", "test", "test", "test"])
    now = before.assign(artist_name=["monet", "degas", "degas", "degas", "degas"])
    assert list(carried(before, now, NO_PAIRS, "artist-disjoint", 0)["split"]) == ["train"] + 4 * ["test"]
    # nor does the number of the corrected works decide
    now = before.assign(artist_name=["monet", "monet", "Monet", "Monet", "degas"])
    after = carried(before, now, NO_PAIRS, "artist-disjoint", 0)
    assert list(after["split"]) == ["train", "train", "train", "train", "test"]
    # an artist that is new, or unknown, moves nothing
    for artist in ("morisot", None):
        now = before.assign(artist_name=["monet", artist, "degas", "degas", "degas"])
        assert list(carried(before, now, NO_PAIRS, "artist-disjoint", 0)["split"]) == list(before["split"])


def test_works_of_two_splits_that_are_given_one_new_artist_end_together() -> None:
    before = small(["monet", "degas", "degas", "monet"], ["train", "test", "test", "train"])
    now = before.assign(artist_name=["morisot", "morisot", "morisot", "monet"])
    after = carried(before, now, NO_PAIRS, "artist-disjoint", 0)
    assert list(after["split"]) == ["test", "test", "test", "train"]


def test_a_work_that_would_stand_opposite_its_copy_or_its_artist_is_left_out() -> None:
    before = small(["monet", "monet", "degas"], ["train", "train", "test"])
    now = before.assign(artist_name=["monet", "degas", "degas"])
    after = carried(before, now, np.array([[0, 1]]), "artist-disjoint", 0)
    assert list(after["split"]) == ["train", "none", "test"]
    # both copies corrected: they move together
    now = before.assign(artist_name=["degas", "degas", "degas"])
    after = carried(before, now, np.array([[0, 1]]), "artist-disjoint", 0)
    assert list(after["split"]) == ["test", "test", "test"]


def test_a_new_work_that_looks_like_works_of_two_splits_is_left_out_and_ties_nothing() -> None:
    before = small([None, None], ["train", "test"])
    now = small([None] * 4, [""] * 4)
    pairs = np.array([[0, 2], [1, 2], [0, 3]])
    after = carried(before, now, pairs, "70/15/15", 0)
    assert list(after["split"]) == ["train", "test", "none", "train"]
    group_of = after["group"]
    assert group_of[0] == group_of[3] and len({group_of[0], group_of[1], group_of[2]}) == 3


def test_a_new_training_copy_of_a_test_work_is_left_out_of_official_splits() -> None:
    before = small([None] * 3, ["train", "test", "val"])
    now = small([None] * 6, [""] * 6).assign(official=["train", "val", "train", "train", "val", "val"])
    # d copies the test work; e, a test work, copies a training work that stays; f is a test work like any other
    after = carried(before, now, np.array([[1, 3], [0, 4]]), "official", 0)
    assert list(after["split"]) == ["train", "test", "val", "none", "none", "test"]


def test_copies_that_an_earlier_collection_had_on_two_sides_are_parted() -> None:
    before = small([None] * 3, ["train", "test", "train"])
    after = carried(before, before, np.array([[0, 1], [0, 2]]), "70/15/15", 0)
    assert list(after["split"]) == ["none", "test", "train"]
    assert_nothing_is_torn(after, "70/15/15")


def test_a_work_that_was_left_out_stays_so_and_still_shows_which_works_look_alike() -> None:
    before = small([None] * 2, ["test", "none"])
    now = small([None] * 3, [""] * 3)
    after = carried(before, now, np.array([[0, 1], [1, 2]]), "70/15/15", 0)
    assert list(after["split"]) == ["test", "none", "test"] and after["group"].nunique() == 1
