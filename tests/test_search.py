"""The index finds what scikit-learn's brute force finds, in bounded memory, and is never half an index."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from morelli.errors import DataError, UsageError
from morelli.evaluation.search import quantization, search
from morelli.evaluation.search.search import Index


def table_of(works: int) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"work {i}" for i in range(works)]})


def index_of(folder: Path, embedding: np.ndarray) -> Index:
    return Index.build(folder, embedding, table_of(len(embedding)))


def vectors_of(works: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(works, width)) * rng.uniform(0.01, 100, (works, 1))).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a search filters, and crosses many blocks of rows, the last one not full."""
    monkeypatch.setattr(search, "_ROWS", 700)
    monkeypatch.setattr(search, "_SPARE", 40)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("k", [1, 10, 900])
def test_the_nearest_are_those_of_scikit_learns_brute_force(k: int, tmp_path: Path) -> None:
    embedding, queries = vectors_of(3000, 24), vectors_of(150, 24, seed=1)
    distances, rows = index_of(tmp_path, embedding).search(queries, k)
    truth = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(embedding.astype(float))
    wanted, places = truth.kneighbors(queries.astype(float))
    np.testing.assert_allclose(distances, wanted, atol=2e-7)
    # works closer to one another than the seventh decimal may change places, no others: look at their distances
    np.testing.assert_allclose(
        np.take_along_axis(cosine_distances(queries.astype(float), embedding.astype(float)), rows, 1),
        wanted,
        atol=2e-7,
    )
    assert all(len(set(found)) == k for found in rows) and (rows == places).mean() > 0.99


@pytest.mark.usefixtures("small_blocks")
def test_works_at_the_same_distance_come_in_the_order_of_their_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    directions = vectors_of(5, 16)
    which = rng.integers(5, size=2000)
    embedding = directions[which] * np.exp2(rng.integers(-9, 9, (2000, 1))).astype(np.float32)
    _, rows = index_of(tmp_path, embedding).search(directions, 2000)
    for number, found in enumerate(rows):
        cosines = directions @ directions[number] / np.linalg.norm(directions, axis=1)
        order = np.argsort(-cosines)
        assert found.tolist() == [row for direction in order for row in np.flatnonzero(which == direction)]


def clusters(works: int, width: int, spread: float) -> np.ndarray:
    """Works packed so closely around five directions that the filter cannot tell those of a cluster apart."""
    rng = np.random.default_rng(8)
    return (vectors_of(5, width)[rng.integers(5, size=works)]) + spread * rng.normal(size=(works, width))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("spread", [0.0, 1e-3, 0.3, 30.0])
def test_the_filter_never_loses_a_near_work_however_closely_works_lie(spread: float, tmp_path: Path) -> None:
    embedding = clusters(3000, 20, spread).astype(np.float32)
    embedding[7] = np.eye(20)[3]  # one far out coarsens the steps of all
    index = index_of(tmp_path, embedding)
    queries = np.concatenate([embedding[:40], vectors_of(20, 20, seed=4)])
    distances, rows = index.search(queries, 25)
    units = normalize(queries.astype(float))
    truth = np.rint((1 - units @ index.vectors.T.astype(float)) * 1e7)
    order = np.lexsort([np.broadcast_to(np.arange(3000), truth.shape), truth], axis=1)[:, :25]
    np.testing.assert_allclose(distances, np.take_along_axis(truth, order, 1) / 1e7, atol=2e-7)
    assert (rows == order).mean() > 0.999


def test_the_filter_reads_a_small_part_of_the_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_of(tmp_path, vectors_of(20_000, 64))
    read: list[int] = []
    original = Index._nearest
    monkeypatch.setattr(
        Index, "_nearest", lambda self, unit, k, rows: read.append(len(rows)) or original(self, unit, k, rows)
    )
    index.search(vectors_of(20, 64, seed=1), 10)
    assert len(read) == 20 and max(read) < 500


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("off", [0.0, 0.5])
def test_shortened_vectors_lose_no_near_work(off: float, tmp_path: Path) -> None:
    """Vectors that nearly lie in thirty directions are halved; queries may lie far from these."""
    rng = np.random.default_rng(5)
    hidden, directions = rng.normal(size=(3000, 30)), rng.normal(size=(30, 160))
    embedding = (hidden @ directions + 0.5 * rng.normal(size=(3000, 160))).astype(np.float32)
    index = index_of(tmp_path, embedding)
    assert index.short is not None and index.codes.d == 80
    queries = embedding[:60] + off * np.abs(embedding).mean() * rng.normal(size=(60, 160))
    truth = np.sort(cosine_distances(queries, embedding.astype(float)), axis=1)[:, :10]
    np.testing.assert_allclose(index.search(queries, 10)[0], truth, atol=2e-7)
    short = index.short.of(normalize(embedding.astype(float)))
    products = normalize(queries) @ normalize(embedding.astype(float)).T
    assert (index.short.of(normalize(queries)) @ short.T >= products - 1e-9).all()


@pytest.mark.usefixtures("small_blocks")
def test_vectors_that_differ_in_every_direction_alike_are_not_shortened(tmp_path: Path) -> None:
    assert index_of(tmp_path, vectors_of(3000, 160)).short is None


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index of 6,000 works as one of more than 200,000 would be."""
    monkeypatch.setattr(search, "EXACT", 5999)
    return index_of(tmp_path / "graph", clusters(6000, 32, 20.0).astype(np.float32))


def test_beyond_the_limit_a_graph_is_searched_and_finds_nearly_all_of_the_nearest(graph: Index) -> None:
    assert graph.backend == "hnsw"
    queries = clusters(100, 32, 20.0)
    truth = cosine_distances(queries, graph.vectors.astype(float))
    distances, rows = graph.search(queries, 10)
    wanted = np.argsort(truth, axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, wanted, strict=True)])
    assert recall >= 0.95
    np.testing.assert_allclose(distances, np.take_along_axis(truth, rows, 1), atol=2e-7)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_a_graph_is_searched_as_broadly_as_its_works_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among works that differ in every direction alike a narrow search loses some."""
    monkeypatch.setattr(search, "EXACT", 0)
    monkeypatch.setattr(quantization, "EF_SEARCH", (10, 300))
    unlike = np.random.default_rng(2).normal(size=(4000, 256)).astype(np.float32)
    assert index_of(tmp_path / "hard", unlike).ef_search == 300
    assert index_of(tmp_path / "easy", unlike[:12]).ef_search == 10


@pytest.mark.parametrize("left_out", [1, 200, 3000])
def test_a_graph_leaves_out_what_is_not_allowed_and_is_exact_where_much_is(
    left_out: int, graph: Index
) -> None:
    queries = clusters(20, 32, 20.0)
    truth = cosine_distances(queries, graph.vectors.astype(float))
    allowed = np.ones(6000, dtype=bool)
    allowed[np.argsort(truth[0])[:left_out]] = False
    distances, rows = graph.search(queries, 10, allowed)
    assert rows.shape == (20, 10) and allowed[rows].all()
    if left_out > 256:
        nearest = np.sort(np.where(allowed, truth, 9), axis=1)[:, :10]
        np.testing.assert_allclose(distances, nearest, atol=2e-7)


def test_the_backend_is_chosen_by_the_number_of_works_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [search.backend_of(works) for works in (1, 200_000, 200_001)] == ["exact", "exact", "hnsw"]
    assert index_of(tmp_path, vectors_of(9, 4)).backend == "exact"
    assert "search is exact" in capsys.readouterr().err


def test_an_index_of_another_version_is_not_opened(tmp_path: Path) -> None:
    index_of(tmp_path, vectors_of(9, 4))
    about = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(about | {"version": 1}))
    with pytest.raises(DataError, match="another version"):
        Index.open(tmp_path)


def test_distances_are_zero_to_itself_one_at_a_right_angle_and_two_to_the_opposite(tmp_path: Path) -> None:
    embedding = np.array([[3, 0], [0, 0.5], [-7, 0], [0, 0]], np.float32)
    distances, rows = index_of(tmp_path, embedding).search(np.array([[0.1, 0], [0, 0]]), 4)
    assert distances.tolist() == [[0, 1, 1, 2], [1, 1, 1, 1]], "a zero vector is at distance 1 of everything"
    assert rows.tolist() == [[0, 1, 3, 2], [0, 1, 2, 3]]


def test_a_k_beyond_the_works_gives_every_work_once(tmp_path: Path) -> None:
    distances, rows = index_of(tmp_path, vectors_of(7, 3)).search(vectors_of(2, 3, seed=5), 50)
    assert distances.shape == rows.shape == (2, 7)
    assert sorted(rows[0]) == sorted(rows[1]) == list(range(7))
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.usefixtures("small_blocks")
def test_only_allowed_works_are_found_as_if_the_others_were_not_there(tmp_path: Path) -> None:
    embedding, queries = vectors_of(2000, 8), vectors_of(5, 8, seed=2)
    allowed = np.random.default_rng(1).random(2000) < 0.4
    distances, rows = index_of(tmp_path / "all", embedding).search(queries, 30, allowed)
    fewer, places = index_of(tmp_path / "some", embedding[allowed]).search(queries, 30)
    assert rows.tolist() == np.flatnonzero(allowed)[places].tolist()
    np.testing.assert_array_equal(distances, fewer)
    none, _ = index_of(tmp_path / "all", embedding).search(queries, 30, np.zeros(2000, bool))
    assert none.shape == (5, 0)


def test_a_search_holds_a_block_of_the_vectors_and_not_all_of_them(tmp_path: Path) -> None:
    index = index_of(tmp_path, np.random.default_rng(0).random((120_000, 64), dtype=np.float32))
    assert isinstance(index.vectors, np.memmap)
    tracemalloc.start()
    index.search(index.vectors[:4], 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6, "all vectors as float32 are 31 MB"


def test_an_index_opened_again_is_the_one_that_was_built(tmp_path: Path) -> None:
    embedding, table = vectors_of(40, 6), table_of(40).assign(style=["Cubism", None] * 20)
    built = Index.build(tmp_path / "new" / "index", embedding, table, {"weights": "abc"})
    again = Index.open(tmp_path / "new" / "index")
    assert again.facts == built.facts == {"weights": "abc"}
    assert list(again.table["id"]) == list(table["id"])
    assert again.table["style"].isna().tolist() == [False, True] * 20
    np.testing.assert_allclose(np.linalg.norm(again.vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(again.search(embedding, 5)[1], built.search(embedding, 5)[1])


def test_a_build_that_breaks_off_leaves_no_index_of_two_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_of(tmp_path, vectors_of(40, 6))

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="No space"):
        index_of(tmp_path, vectors_of(50, 6))
    with pytest.raises(DataError, match=r"index\.json"):
        Index.open(tmp_path)


@pytest.mark.parametrize("name", ["vectors.npy", "codes.faiss", "works.parquet", "index.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "another's"])
def test_a_damaged_index_is_said_and_not_searched(name: str, damage: str, tmp_path: Path) -> None:
    index_of(tmp_path / "a", vectors_of(40, 6))
    index_of(tmp_path / "b", vectors_of(41, 6))
    file = tmp_path / "a" / name
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:20])
    else:
        file.write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(DataError, match=str(tmp_path / "a")):
        Index.open(tmp_path / "a")


@pytest.mark.parametrize("size", [0, 20, 400])
def test_an_index_without_its_shortening_is_said_and_not_searched(size: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    index_of(tmp_path, (rng.normal(size=(600, 4)) @ rng.normal(size=(4, 128))).astype(np.float32))
    file = tmp_path / "short.npz"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DataError, match=str(tmp_path)):
        Index.open(tmp_path)


def test_a_wrong_call_is_refused_in_one_sentence(tmp_path: Path) -> None:
    embedding = vectors_of(9, 4)
    index = index_of(tmp_path, embedding)
    with pytest.raises(UsageError, match="-k 0"):
        index.search(embedding, 0)
    with pytest.raises(DataError, match="4 numbers"):
        index.search(vectors_of(2, 5), 3)
    embedding[3, 2] = np.nan
    for broken, table in (
        (embedding, table_of(9)),
        (vectors_of(8, 4), table_of(9)),
        (embedding[:0], table_of(0)),
    ):
        with pytest.raises(DataError):
            Index.build(tmp_path / "other", broken, table)
    with pytest.raises(DataError, match="not a number"):
        index.search(embedding, 3)
