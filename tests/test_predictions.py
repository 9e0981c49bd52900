"""The predictions file: what is written comes back, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morelli.errors import DataError, MorelliError
from morelli.evaluation import predictions as file
from morelli.evaluation.predictions import Predictions, TaskPredictions

STYLES = ["Impressionism", "Ukiyo_e", "Fauvism"]
GENRES = ["portrait", "landscape"]


def softmax_of_noise(rng: np.random.Generator, works: int, classes: int) -> np.ndarray:
    scores = np.exp(rng.normal(size=(works, classes)))
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def predictions() -> Predictions:
    rng = np.random.default_rng(3)
    style = TaskPredictions(STYLES, np.array([0, -1, 2, 1, 1], np.int32), softmax_of_noise(rng, 5, 3))
    genre = TaskPredictions(GENRES, np.array([-1, 1, 0, 0, 1], np.int32), softmax_of_noise(rng, 5, 2))
    paths = [f"Ukiyo_e/katsushika-hokusai_ö-{i}.jpg" for i in range(5)]
    embedding = rng.normal(size=(5, 4)).astype(np.float32)
    return Predictions([f"w{i}" for i in range(5)], paths, {"style": style, "genre": genre}, embedding)


def test_what_is_written_comes_back_exactly(predictions: Predictions, tmp_path: Path) -> None:
    file.write(predictions, tmp_path / "p.parquet")
    back = file.read(tmp_path / "p.parquet")
    assert (back.ids, back.paths) == (predictions.ids, predictions.paths)
    assert back.embedding is not None and back.embedding.dtype == np.float32
    np.testing.assert_array_equal(back.embedding, predictions.embedding)
    assert list(back.tasks) == ["style", "genre"]
    for name, task in predictions.tasks.items():
        assert back.tasks[name].names == task.names
        assert back.tasks[name].labels.dtype == np.int32
        assert back.tasks[name].probabilities.dtype == np.float32
        np.testing.assert_array_equal(back.tasks[name].labels, task.labels)
        np.testing.assert_array_equal(back.tasks[name].probabilities, task.probabilities)


def test_pandas_alone_can_read_names_confidences_and_vocabularies(
    predictions: Predictions, tmp_path: Path
) -> None:
    path = tmp_path / "p.parquet"
    file.write(predictions, path)
    table = pd.read_parquet(path)
    for i, row in table.iterrows():
        probabilities = list(predictions.tasks["style"].probabilities[i])
        assert row["style"] == STYLES[probabilities.index(max(probabilities))]
        assert row["style_confidence"] == max(probabilities)
        assert list(row["style_probabilities"]) == probabilities
    assert list(table["style_label"]) == [0, -1, 2, 1, 1]
    metadata = pq.read_schema(path).metadata[b"morelli.vocabularies"]
    assert json.loads(metadata) == {"style": STYLES, "genre": GENRES}
    lists = pq.read_schema(path).field("embedding").type
    assert lists == pa.list_(pa.float32(), 4)


def test_a_split_without_works_and_a_file_without_embedding_survive(tmp_path: Path) -> None:
    none = TaskPredictions(STYLES, np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    file.write(Predictions([], [], {"style": none}), tmp_path / "p.parquet")
    back = file.read(tmp_path / "p.parquet")
    assert len(back) == 0 and back.embedding is None
    assert back.tasks["style"].probabilities.shape == (0, 3)


def test_many_row_groups_read_as_one_array(predictions: Predictions, tmp_path: Path) -> None:
    file.write(predictions, tmp_path / "p.parquet")
    pq.write_table(pq.read_table(tmp_path / "p.parquet"), tmp_path / "q.parquet", row_group_size=2)
    back = file.read(tmp_path / "q.parquet")
    np.testing.assert_array_equal(back.tasks["style"].probabilities, predictions.tasks["style"].probabilities)


def test_a_failed_write_leaves_the_old_file_and_no_leftover(
    predictions: Predictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.parquet"
    file.write(predictions, path)
    before = path.read_bytes()

    def full_disk(table: pa.Table, where: Path) -> None:
        Path(where).write_bytes(b"PAR1 half a file")
        raise OSError(28, "No space left on device", str(where))

    monkeypatch.setattr(file.pq, "write_table", full_disk)
    with pytest.raises(MorelliError, match="full"):
        file.write(predictions, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


def damaged(good: Path) -> None:
    good.write_bytes(good.read_bytes()[:-200])


def foreign(good: Path) -> None:
    pq.write_table(pa.table({"path": ["a.jpg"], "id": ["a"]}), good)


def text(good: Path) -> None:
    good.write_text("path,id\n")


def without_labels(good: Path) -> None:
    pq.write_table(pq.read_table(good).drop_columns(["style_label"]), good)


def with_a_label_beyond_the_vocabulary(good: Path) -> None:
    table = pq.read_table(good)
    place = table.column_names.index("style_label")
    labels = pa.array([0, 1, 2, 3, 0], pa.int32())
    pq.write_table(table.set_column(place, "style_label", labels), good)


def with_missing_labels(good: Path) -> None:
    table = pq.read_table(good)
    place = table.column_names.index("style_label")
    pq.write_table(table.set_column(place, "style_label", pa.array([0, 1, None, 1, 0], pa.int32())), good)


def with_another_vocabulary(good: Path) -> None:
    metadata = {b"morelli.vocabularies": json.dumps({"style": STYLES[:2], "genre": GENRES}).encode()}
    pq.write_table(pq.read_table(good).replace_schema_metadata(metadata), good)


SPOILERS = [
    damaged,
    foreign,
    text,
    without_labels,
    with_a_label_beyond_the_vocabulary,
    with_missing_labels,
    with_another_vocabulary,
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_damaged_or_foreign_file_is_one_clear_sentence(
    predictions: Predictions, tmp_path: Path, spoil: object
) -> None:
    path = tmp_path / "p.parquet"
    file.write(predictions, path)
    spoil(path)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        file.read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="morelli evaluate"):
        file.read(tmp_path / "none.parquet")


def test_a_diverged_models_nan_is_refused_and_not_read_as_class_zero() -> None:
    with pytest.raises(DataError, match="diverged"):
        TaskPredictions(GENRES, np.array([1], np.int32), np.array([[np.nan, 0.3]], np.float32))


def test_parts_of_different_length_are_refused(predictions: Predictions) -> None:
    with pytest.raises(DataError, match="length"):
        Predictions(predictions.ids[:4], predictions.paths, predictions.tasks)
