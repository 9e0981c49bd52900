"""Similar works: the network's own neighbours, itself left out, from an index that is made once and kept true."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file
from shared import shared_paintings
from sklearn.metrics.pairwise import cosine_distances

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation.predictions import read
from morelli.jobs import similar as job
from morelli.jobs.evaluate import evaluate
from morelli.jobs.predict import predict
from morelli.jobs.results.similar import Similar, SimilarWork
from morelli.jobs.similar import similar
from morelli.jobs.train import train

pytestmark = pytest.mark.slow  # of the fixture that all share

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "image": {"size": 32},
    "backbone": {"name": "resnet18", "stage": 1, "weights": "none", "grid": 4},
    "neck": {"kind": "mean"},
    "phases": [{"epochs": 1, "lr": 3e-2}],
    "training": {"batch_size": 16, "workers": 0, "precision": "fp32"},
}
KEYS = ["rank", "id", "path", "distance", "artist", "style", "genre"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paintings ``p``, their collection ``c``, a run ``r`` of all tasks and a run ``s`` of style alone."""
    here = tmp_path_factory.mktemp("world")
    shared_paintings(here / "p", 80, seed=3)
    lists = here / "p" / "wikiart_csv"
    collect(
        CollectOptions(here / "p" / "wikiart", here / "c", lists=lists, size=32, min_works=2, processes=1)
    )
    for name, tasks in (("r", ["artist", "style", "genre"]), ("s", ["style"])):
        (here / f"{name}.yaml").write_text(yaml.safe_dump(RECIPE | {"tasks": tasks}))
        train(here / f"{name}.yaml", here / "c", here / name)
    evaluate(here / "r", "all", page=False)
    return here


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Path:
    """A copy of the run without an index, whose collection is a copy too, for tests that change them."""
    shutil.copytree(world / "c", tmp_path / "c")
    shutil.copytree(world / "r", tmp_path / "r", ignore=shutil.ignore_patterns("index"))
    (tmp_path / "r" / "collection.txt").write_text(f"{tmp_path / 'c'}\n")
    return tmp_path / "r"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many works were read, a number for each time that the collection is read."""
    counts: list[int] = []
    original = job.read_rows

    def count(model: Any, collection: Collection, rows: np.ndarray, title: str) -> Any:
        counts.append(len(rows))
        return original(model, collection, rows, title)

    monkeypatch.setattr(job, "read_rows", count)
    return counts


def distances_from(world: Path, work: str) -> pd.Series:
    """The cosine distance of every other work, nearest first, out of the predictions file and scikit-learn."""
    predictions = read(world / "r" / "predictions-all.parquet")
    assert predictions.embedding is not None
    all_of_them = predictions.embedding.astype(float)
    row = predictions.ids.index(work)
    distances = cosine_distances(all_of_them[[row]], all_of_them)[0]
    return pd.Series(distances, predictions.ids).drop(work).sort_values()


def table_of(world: Path) -> pd.DataFrame:
    return Collection.open(world / "c").table.set_index("id", drop=False)


@pytest.mark.parametrize("place", [0, 17, 63])
def test_a_work_of_the_collection_has_the_neighbours_of_its_embedding_without_itself(
    place: int, world: Path
) -> None:
    work = table_of(world)["id"].iloc[place]
    found = similar(world / "r", work, k=12)
    truth = distances_from(world, work).iloc[:12]
    assert found.query == work and [list(r) for r in found.to_dict()["results"]] == [KEYS] * 12
    assert [r.rank for r in found.results] == list(range(1, 13))
    np.testing.assert_allclose([r.distance for r in found.results], truth, atol=1e-6)
    assert [r.id for r in found.results] == list(truth.index)
    assert truth.iloc[-1] > truth.iloc[0] > 0, "a network that sees no difference would pass any test"


def test_every_result_carries_the_labels_and_the_path_of_its_work(world: Path) -> None:
    collection = Collection.open(world / "c")
    table = collection.table.set_index("id")
    for result in similar(world / "r", collection.table["id"].iloc[0], k=1000).to_dict()["results"]:
        work = table.loc[result["id"]]
        assert result["path"] == work["file"] and result["artist"] == work["artist_name"]
        for task in ("style", "genre"):
            known = work[task] >= 0
            assert result[task] == (collection.vocabularies[task][work[task]] if known else None)


def test_a_k_beyond_the_collection_gives_every_other_work(world: Path) -> None:
    ids = list(table_of(world)["id"])
    results = similar(world / "r", ids[0], k=1000).to_dict()["results"]
    assert sorted(r["id"] for r in results) == sorted(ids[1:])


def test_an_image_file_finds_its_own_copy_first_at_no_distance(world: Path, tmp_path: Path) -> None:
    work = table_of(world).iloc[5]
    shutil.copy(work["file"], tmp_path / "photo.jpg")
    results = similar(world / "r", str(tmp_path / "photo.jpg"), k=9).to_dict()["results"]
    assert results[0]["id"] == work["id"] and results[0]["distance"] < 1e-4
    truth = distances_from(world, work["id"]).iloc[:8]
    np.testing.assert_allclose([r["distance"] for r in results[1:]], truth, atol=1e-3)


def test_other_artists_leaves_out_the_works_of_the_known_artist_and_no_others(world: Path) -> None:
    table = table_of(world)
    work = table["id"].iloc[table["artist_name"].eq(table["artist_name"].mode()[0]).to_numpy().argmax()]
    others = table["id"][table["artist_name"] != table["artist_name"][work]]
    assert 40 < len(others) < 79
    results = similar(world / "r", work, k=1000, same_artist=False).to_dict()["results"]
    assert [r["id"] for r in results] == list(distances_from(world, work)[list(others)].sort_values().index)


def test_other_artists_of_an_image_are_other_than_the_networks_answer(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = table_of(world)["file"].iloc[11]
    predict(world / "r", [Path(file)], tmp_path / "answer.csv")
    answer = pd.read_csv(tmp_path / "answer.csv")["artist"][0]
    results = similar(world / "r", file, k=1000, same_artist=False).to_dict()["results"]
    table = table_of(world)
    assert sorted(r["id"] for r in results) == sorted(table["id"][table["artist_name"] != answer])
    assert f"works by {answer} are left out (the network's answer" in capsys.readouterr().err


def test_a_run_without_artists_cannot_tell_whose_works_to_leave_out_unless_the_artist_is_known(
    world: Path,
) -> None:
    work = table_of(world).iloc[3]
    with pytest.raises(UsageError, match="--other-artists"):
        similar(world / "s", work["file"], same_artist=False)
    results = similar(world / "s", work["id"], k=1000, same_artist=False).to_dict()["results"]
    assert work["artist_name"] not in {r["artist"] for r in results}


def test_the_collection_is_read_once_and_the_index_kept(run: Path, readings: list[int]) -> None:
    work = table_of(run.parent)["id"].iloc[0]
    first = similar(run, work)
    written = (run / "index" / "vectors.npy").stat().st_mtime_ns
    assert similar(run, work) == first
    assert similar(run, table_of(run.parent)["file"].iloc[1]).to_dict()["results"]
    assert readings == [len(table_of(run.parent))]
    assert (run / "index" / "vectors.npy").stat().st_mtime_ns == written


def change_weights(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    save_file(
        {k: v * 1.5 if v.dtype.kind == "f" else v for k, v in weights.items()}, run / "model.safetensors"
    )


def change_images(run: Path) -> None:
    file = run.parent / "c" / "collection.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"images_fingerprint": "another"}))


def change_works(run: Path) -> None:
    file = run.parent / "c" / "collection.parquet"
    pd.read_parquet(file).iloc[1:].reset_index(drop=True).to_parquet(file)


def break_index(run: Path) -> None:
    (run / "index" / "vectors.npy").write_bytes(b"not an array")


@pytest.mark.parametrize("change", [change_weights, change_images, change_works, break_index])
def test_the_index_is_made_again_where_weights_images_or_works_are_others(
    change: Any, run: Path, readings: list[int]
) -> None:
    work = table_of(run.parent)["id"].iloc[20]
    similar(run, work, k=5)
    change(run)
    after = similar(run, work, k=5)
    assert len(readings) == 2 and readings[1] == len(table_of(run.parent))
    shutil.rmtree(run / "index")
    assert similar(run, work, k=5) == after


def test_new_labels_are_shown_without_reading_the_works_again(run: Path, readings: list[int]) -> None:
    table = table_of(run.parent)
    similar(run, table["id"].iloc[0])
    changed = table.assign(artist_name="somebody-else", style=-1).reset_index(drop=True)
    changed.to_parquet(run.parent / "c" / "collection.parquet")
    results = similar(run, table["id"].iloc[0]).to_dict()["results"]
    assert {(r["artist"], r["style"]) for r in results} == {("somebody-else", None)}
    assert len(readings) == 1


def test_the_tables_hold_what_is_returned(world: Path, tmp_path: Path) -> None:
    work = table_of(world)["id"].iloc[30]
    found = [similar(world / "r", work, 6, tmp_path / f"x.{end}") for end in ("csv", "parquet", "json")]
    assert found[0] == found[1] == found[2]
    assert json.loads((tmp_path / "x.json").read_text()) == found[0].to_dict()
    for table in (pd.read_csv(tmp_path / "x.csv"), pd.read_parquet(tmp_path / "x.parquet")):
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        assert [list(row) for row in rows] == [KEYS] * 6
        assert rows == found[0].to_dict()["results"]


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("by", ["id", "file"])
def test_a_gallery_shows_the_query_and_then_the_works(
    ending: str, by: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from morelli.report.figures import gallery

    shown: list[Any] = []
    original = gallery.gallery_figure
    monkeypatch.setattr(
        gallery, "gallery_figure", lambda tiles, **how: shown.extend(tiles) or original(tiles, **how)
    )
    work = table_of(world).iloc[8]
    out = tmp_path / "new" / f"gallery.{ending}"
    found = similar(world / "r", work["id" if by == "id" else "file"], 4, out)
    collection = Collection.open(world / "c")
    rows = {name: row for row, name in enumerate(collection.table["id"])}
    pictures = [collection.read(rows[name]) for name in [work["id"], *(r.id for r in found.results)]]
    assert [tile.picture for tile in shown] == pictures, "the image file is as small as the prepared one"
    assert shown[0].colour and not any(tile.colour for tile in shown[1:])
    for tile, result in zip(shown[1:], found.results, strict=True):
        assert tile.lines[0] == f"{result.rank}: distance {result.distance:.3f}"
    picture = Image.open(io.BytesIO(out.read_bytes()))
    assert picture.format == {"jpg": "JPEG", "png": "PNG"}[ending] and min(picture.size) > 200


def test_what_was_found_is_printed_with_its_distance(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Similar("q", [SimilarWork(1, "a/b.jpg", "", 0.12345, None, "Cubism", None)]).show()
    assert capsys.readouterr().err.split()[-5:] == ["id", "1", "0.1235", "Cubism", "a/b.jpg"]


@pytest.mark.parametrize(
    ("query", "k", "out", "message"),
    [
        ("ID", 0, None, "-k 0"),
        ("ID", 5, "x.txt", "must end in"),
        ("ID", 5, "folder.csv", "is a folder"),
        ("ID", 101, "x.jpg", "at most 100"),
        ("nowhere.jpg", 5, None, "neither an image file nor the id"),
        ("FOLDER", 5, None, "is a folder"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_read(
    query: str, k: int, out: str | None, message: str, world: Path, tmp_path: Path, readings: list[int]
) -> None:
    (tmp_path / "folder.csv").mkdir()
    names = {"ID": table_of(world)["id"].iloc[0], "FOLDER": str(tmp_path)}
    with pytest.raises(UsageError, match=message):
        similar(world / "s", names.get(query, query), k, tmp_path / out if out else None)
    assert readings == []


def test_a_query_that_is_nearly_an_id_gets_a_suggestion(world: Path) -> None:
    work = table_of(world)["id"].iloc[0]
    with pytest.raises(UsageError, match=f"did you mean {work}"):
        similar(world / "r", Path(work).name)


def test_an_image_that_cannot_be_read_and_a_collection_that_is_gone_are_said(
    run: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"page\.jpg: cannot be read \(not-an-image\)"):
        similar(run, str(tmp_path / "page.jpg"))
    shutil.rmtree(tmp_path / "c")
    with pytest.raises(
        RunError, match=r"collection\.txt: names .*/c, where no collection is now; write the folder"
    ):
        similar(run, "anything")
    (run / "collection.txt").unlink()
    with pytest.raises(RunError, match=r"collection\.txt: missing"):
        similar(run, "anything")


def test_an_artist_is_sought_by_the_mean_direction_of_the_works(world: Path) -> None:
    predictions, table = read(world / "r" / "predictions-all.parquet"), table_of(world)
    name = table["artist_name"].mode()[0]
    own = (table["artist_name"] == name).to_numpy()
    assert predictions.embedding is not None
    units = predictions.embedding.astype(float)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    distances = pd.Series(cosine_distances(units[own].mean(axis=0, keepdims=True), units)[0], predictions.ids)
    found = similar(world / "r", None, k=1000, artist=name.replace("-", " ").title())
    assert [r.id for r in found.results] == list(distances.sort_values().index)
    np.testing.assert_allclose([r.distance for r in found.results], distances.sort_values(), atol=1e-6)
    others = similar(world / "r", None, k=1000, same_artist=False, artist=name).to_dict()["results"]
    assert [r["id"] for r in others] == list(distances[~own].sort_values().index)


def test_filters_leave_the_works_that_fit_in_the_order_they_had(world: Path) -> None:
    collection, table = Collection.open(world / "c"), table_of(world)
    styles = [collection.vocabularies["style"][number] for number in (0, 1)]
    work = table["id"].iloc[4]
    full = [r["id"] for r in similar(world / "r", work, k=1000).to_dict()["results"]]
    where = {"style": f"{styles[0].lower()}, {styles[1]}", "split": "train"}
    fits = set(table["id"][table["style"].isin([0, 1]) & (table["split"] == "train")])
    assert 0 < len(fits - {work}) < len(full)
    found = [r["id"] for r in similar(world / "r", work, k=1000, where=where).to_dict()["results"]]
    assert found == [name for name in full if name in fits]


@pytest.mark.parametrize("by", ["id", "file"])
def test_near_duplicates_of_the_query_are_left_out_when_asked(by: str, run: Path) -> None:
    file = run.parent / "c" / "collection.parquet"
    table = pd.read_parquet(file)
    work = table.iloc[9]
    table["group"] = np.where(table.index.isin([9, 20, 41]), 5000, table["group"])
    table.to_parquet(file)
    query = work["id"] if by == "id" else work["file"]
    full = [r["id"] for r in similar(run, query, k=1000).to_dict()["results"]]
    found = [r["id"] for r in similar(run, query, k=1000, near_duplicates=False).to_dict()["results"]]
    assert found == [name for name in full if name not in set(table["id"].iloc[[9, 20, 41]])]
    assert len(full) - len(found) == (2 if by == "id" else 3)


def test_diversity_chooses_among_the_nearest_and_begins_with_the_nearest(world: Path) -> None:
    work = table_of(world)["id"].iloc[0]
    plain = similar(world / "r", work, k=1000).to_dict()["results"]
    mixed = similar(world / "r", work, k=6, diversity=0.8).to_dict()["results"]
    assert mixed[0] == plain[0] and [r["rank"] for r in mixed] == list(range(1, 7))
    assert {r["id"] for r in mixed} <= {r["id"] for r in plain[:60]}
    assert [r["id"] for r in mixed] != [r["id"] for r in plain[:6]]
    assert all(r["distance"] == next(p["distance"] for p in plain if p["id"] == r["id"]) for r in mixed)


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (None, {}, "one of the two"),
        ("ID", {"artist": "somebody"}, "one of the two"),
        ("ID", {"diversity": 1.5}, "--diversity 1.5"),
        (None, {"artist": "nobody-at-all"}, "--artist nobody-at-all: no work has the artist"),
    ],
)
def test_a_query_must_be_a_painting_or_an_artist(
    query: str | None, options: dict[str, Any], message: str, world: Path, readings: list[int]
) -> None:
    with pytest.raises(UsageError, match=message):
        similar(world / "r", query and table_of(world)["id"].iloc[0], **options)
    assert readings == []


def test_an_index_of_an_older_version_is_made_again_without_a_word_of_error(
    run: Path, readings: list[int]
) -> None:
    work = table_of(run.parent)["id"].iloc[2]
    before = similar(run, work)
    about = json.loads((run / "index" / "index.json").read_text())
    (run / "index" / "index.json").write_text(json.dumps(about | {"version": 1}))
    (run / "index" / "codes.faiss").unlink()
    assert similar(run, work) == before
    assert len(readings) == 2 and (run / "index" / "codes.faiss").exists()
