"""Splits and near-duplicates."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from morelli.collection.duplicates import group, near_duplicate_pairs
from morelli.collection.images import prepare
from morelli.collection.splits import artist_disjoint, parse_split, stratified
from morelli.errors import UsageError

SHARES = (0.70, 0.15, 0.15)


def labels_of(count: int, seed: int = 0) -> np.ndarray:
    """Three tasks with long tails and unknown labels."""
    rng = np.random.default_rng(seed)
    columns = [np.minimum(rng.geometric(p, count) - 1, k) for p, k in ((0.1, 40), (0.4, 6), (0.3, 9))]
    labels = np.stack(columns, axis=1)
    labels[rng.random(labels.shape) < 0.2] = -1
    return labels


def test_every_class_is_shared_out_nearly_as_asked() -> None:
    labels = labels_of(4000)
    split = stratified(np.arange(4000), labels, SHARES, seed=3)
    assert np.abs(np.bincount(split) / 4000 - SHARES).max() < 0.01
    for column in labels.T:
        for number in range(column.max() + 1):
            mine = split[column == number]
            wanted = np.array(SHARES) * len(mine)
            assert np.abs(np.bincount(mine, minlength=3) - wanted).max() <= max(2.0, 0.03 * len(mine))


def test_groups_are_never_torn_apart() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 300, 1000)
    for split in (
        stratified(groups, labels_of(1000), SHARES, 0),
        artist_disjoint(groups, [None] * 1000, labels_of(1000), SHARES, 0),
    ):
        assert all(len(set(split[groups == number])) == 1 for number in set(groups))


def test_no_artist_stands_on_two_sides_and_sizes_hold() -> None:
    labels = labels_of(3000)
    artists = [f"artist {n}" if n >= 0 else None for n in labels[:, 0]]
    split = artist_disjoint(np.arange(3000), artists, labels, SHARES, 0)
    for name in set(artists) - {None}:
        assert len({s for s, a in zip(split, artists, strict=True) if a == name}) == 1
    assert np.abs(np.bincount(split) / 3000 - SHARES).max() < 0.03
    styles = [np.bincount(labels[split == s, 1][labels[split == s, 1] >= 0], minlength=7) for s in range(3)]
    assert all((counts > 0).all() for counts in styles)


def test_the_same_seed_gives_the_same_split_and_another_one_another() -> None:
    labels = labels_of(500)
    first, again, other = (stratified(np.arange(500), labels, SHARES, seed) for seed in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


def test_a_split_without_a_share_stays_empty() -> None:
    assert set(stratified(np.arange(200), labels_of(200), (0.8, 0.2, 0.0), 0)) == {0, 1}
    assert 2 not in artist_disjoint(np.arange(200), [None] * 200, labels_of(200), (0.8, 0.2, 0.0), 0)


@pytest.mark.parametrize("text", ["70/15", "a/b/c", "0/50/50", "-1/1/1", "", "random"])
def test_a_split_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--split"):
        parse_split(text)


def test_shares_need_not_sum_to_a_hundred() -> None:
    assert parse_split("8/1/1") == ("stratified", (0.8, 0.1, 0.1))


def texture(seed: int, size: int = 128) -> Image.Image:
    """Random coloured blobs: no two seeds look alike."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def facts(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    made = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        made.append(prepare(buffer.getvalue(), 128))
    thumbs = np.stack([np.frombuffer(m.thumb, np.uint8) for m in made])
    return np.array([m.phash for m in made], dtype=np.uint64), thumbs


def test_copies_are_found_and_other_works_are_not() -> None:
    originals = [texture(seed) for seed in range(120)]
    copies = [
        originals[3].resize((90, 90)),
        ImageEnhance.Brightness(originals[7]).enhance(1.06),
        originals[11].crop((1, 1, 127, 127)),
    ]
    pairs = near_duplicate_pairs(*facts(originals + copies))
    assert {tuple(pair) for pair in pairs} == {(3, 120), (7, 121), (11, 122)}


def test_candidates_are_exactly_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, 200, dtype=np.uint64)
    near = base.copy()
    for index in range(200):
        for bit in rng.choice(64, size=int(rng.integers(0, 14)), replace=False):
            near[index] ^= np.uint64(1) << np.uint64(bit)
    hashes = np.concatenate([base, near])
    thumb = np.arange(768, dtype=np.uint8)  # all the same: the hash alone decides
    found = {tuple(p) for p in near_duplicate_pairs(hashes, np.tile(thumb, (400, 1)))}
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    assert found == {(i, j) for i, j in zip(*np.nonzero(distance <= 8), strict=True) if i < j}


def test_empty_canvases_of_different_colours_are_not_taken_for_copies() -> None:
    canvases = [
        Image.new("RGB", (64, 64), colour) for colour in ((250, 250, 250), (20, 20, 20), (200, 30, 30))
    ]
    assert len(near_duplicate_pairs(*facts(canvases))) == 0


def test_groups_are_transitive() -> None:
    numbers = group(5, np.array([[0, 1], [1, 4]]))
    assert numbers[0] == numbers[1] == numbers[4] and len(set(numbers.tolist())) == 3
