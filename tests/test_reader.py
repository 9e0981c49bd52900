"""The reader: the answers of ``morelli predict`` in memory, for one image or a stream of them."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageCms

import morelli
from morelli.errors import ImageError, UsageError
from morelli.prediction.answer import Answer
from morelli.prediction.reader import Reader

TASKS = ["artist", "style", "genre"]


@pytest.fixture(scope="module")
def reader(example_world: Path) -> Reader:
    return morelli.load(example_world / "run")


@pytest.fixture(scope="module")
def paintings(example_world: Path) -> list[Path]:
    return sorted((example_world / "wikiart").rglob("*.jpg"))


@pytest.fixture(scope="module")
def guises(tmp_path_factory: pytest.TempPathFactory, paintings: list[Path]) -> list[Path]:
    """A painting larger than the prepared size as a JPEG, turned by EXIF, in another colour profile and in greys."""
    folder = tmp_path_factory.mktemp("guises")
    picture = Image.open(paintings[0]).convert("RGB").resize((97, 131))
    picture.save(folder / "large.jpg", quality=95)
    picture.save(folder / "large.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "png", "tiff"):
        picture.save(folder / f"turned.{ending}", exif=exif)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    picture.save(folder / "profile.png", icc_profile=lab)
    picture.convert("L").save(folder / "grey.png")
    return sorted(folder.iterdir())


def same(some: Answer, other: Answer) -> bool:
    """Equal to the last digit."""
    assert some.embedding is not None and other.embedding is not None
    return (
        np.array_equal(some.embedding, other.embedding)
        and some.to_dict()["tasks"] == other.to_dict()["tasks"]
    )


@pytest.mark.parametrize("batch_size", [7, 64])
def test_a_stream_gives_what_predict_writes_to_the_last_digit(
    batch_size: int,
    reader: Reader,
    example_world: Path,
    paintings: list[Path],
    guises: list[Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    files = [*paintings, *guises, tmp_path / "page.jpg"]
    assert len(files) > 64, "enough for the quicker backbone"
    morelli.predict(example_world / "run", files, tmp_path / "x.parquet", batch_size)
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    answers = list(reader(files, batch_size))
    assert [row["path"] for row in rows] == [answer.source for answer in answers]
    for row, answer in zip(rows, answers, strict=True):
        assert row["error"] == (answer.error or "")
        for task, found in answer.items():
            assert row[task] == found.label and row[f"{task}_set"] == found.set
            assert np.float32(row[f"{task}_confidence"]) == np.float32(found.confidence)
            assert np.array_equal(np.float32(row[f"{task}_probabilities"]), found.values)
        if not answer.error:
            assert np.float32(row["labelling_value"]) == np.float32(answer.labelling_value)
    assert [answer.error for answer in answers[:-1]] == [None] * (len(files) - 1)
    assert answers[-1].error and answers[-1].error.startswith("not-an-image: page.jpg")


def test_a_path_bytes_an_open_image_and_an_array_of_one_file_give_one_answer(
    reader: Reader, guises: list[Path]
) -> None:
    for file in guises:
        if file.name == "large.jpg" or file.name == "turned.jpg":
            continue  # a path lets the JPEG decoder reduce the picture; an open image is decoded in full
        expected = reader(str(file))
        assert same(reader(file), expected) and same(reader(file.read_bytes()), expected)
        assert same(reader(Image.open(file)), expected), file.name
    plain = next(file for file in guises if file.name == "large.png")
    assert same(reader(np.asarray(Image.open(plain))), reader(plain))
    grey = next(file for file in guises if file.name == "grey.png")
    assert same(reader(np.asarray(Image.open(grey))), reader(grey))


def test_an_open_image_is_turned_as_its_exif_says_and_stays_as_it_was(
    reader: Reader, guises: list[Path]
) -> None:
    turned = next(file for file in guises if file.name == "turned.png")
    image = Image.open(turned)
    before = image.tobytes()
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    apart = [
        (reader.pixels(image).float() - reader.pixels(each).float()).abs().mean()
        for each in (upright, np.asarray(image))
    ]
    assert apart[0] < 1 < 5 < apart[1], "in grey values; it is reduced before it is turned"
    assert (image.size, image.tobytes(), image.getexif()[0x0112]) == ((97, 131), before, 6)
    assert same(reader(image.convert("RGB")), reader(image)), (
        "a converted image has no format, but its EXIF still"
    )


def test_an_iterable_is_read_as_it_is_asked_for_and_in_order(reader: Reader, paintings: list[Path]) -> None:
    pulled = []

    def endless() -> Iterator[Path]:
        for file in itertools.cycle(paintings):
            pulled.append(file)
            yield file

    answers = reader(endless(), batch_size=4)
    assert pulled == []
    first = list(itertools.islice(answers, 6))
    assert len(pulled) <= 12, "two batches, and one that is decoded meanwhile"
    assert [answer.source for answer in first] == [str(file) for file in paintings[:6]]
    apart = [reader(file) for file in paintings[:6]]
    for answer, alone in zip(first, apart, strict=True):
        assert answer["style"].label == alone["style"].label
        assert np.allclose(answer["style"].values, alone["style"].values, atol=1e-6)


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_lists_tuples_and_iterators_are_streams_and_an_empty_one_is_empty(
    kind: type, reader: Reader, paintings: list[Path]
) -> None:
    assert len(list(reader(kind(paintings[:3])))) == 3
    assert list(reader(kind([]))) == []


def test_one_bad_image_raises_and_one_of_many_is_an_answer_with_an_error(
    reader: Reader, paintings: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "cut.jpg").write_bytes(paintings[0].read_bytes()[:200])
    for bad, words in (
        (tmp_path / "cut.jpg", "cannot be decoded"),
        (tmp_path / "gone.jpg", "gone.jpg: no such file"),
        (b"", "empty"),
        (tmp_path, "is a folder; give its images"),
        (np.zeros((40, 40, 3)), "float64 is no image; scale it to 0–255"),
        (np.zeros((40, 40, 4), np.uint8), r"shape \(40, 40, 4\)"),
        (np.zeros((3, 40, 40), np.uint8), r"shape \(3, 40, 40\)"),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            reader(bad)
        assert "\n" not in str(caught.value)
        good, failed, last = reader([paintings[0], bad, paintings[1]])
        assert good.error is None and last.error is None and not failed and failed.embedding is None
        assert failed.error and failed.error.endswith(str(caught.value))
        with pytest.raises(KeyError, match="could not be read"):
            failed["style"]


def test_what_is_neither_an_image_nor_an_iterable_is_refused_in_one_sentence(reader: Reader) -> None:
    with pytest.raises(UsageError, match="float is no image; give a path, bytes, a PIL image"):
        reader(3.5)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="batch_size 0: must be at least 1"):
        reader(["a.jpg"], batch_size=0)
    (answer,) = reader([3.5])  # type: ignore[list-item]
    assert answer.error and "float is no image" in answer.error


def test_an_image_of_too_many_pixels_is_refused(example_world: Path) -> None:
    with pytest.raises(ImageError, match="pixels"):
        morelli.load(example_world / "run", max_pixels=100)(example_world / "painting.jpg")


def test_an_answer_holds_label_confidence_set_probabilities_and_embedding(
    reader: Reader, example_world: Path
) -> None:
    answer = reader(example_world / "painting.jpg")
    assert list(answer) == TASKS == list(reader.tasks) and len(answer) == 3
    facts = json.loads((example_world / "run" / "model.json").read_text())
    assert reader.classes == facts["vocabularies"]
    for task, found in answer.items():
        probabilities = found.probabilities
        assert set(probabilities) == set(reader.classes[task])
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
        assert (found.label, found.confidence) == next(iter(probabilities.items()))
        assert [found.classes[k] for k in np.argsort(-found.values, kind="stable")] == list(probabilities)
        threshold = facts["conformal"][task]["thresholds"]["lac"]
        if threshold is None:
            assert found.set is None and task not in reader.coverage
        else:
            inside = [name for name, p in probabilities.items() if 1 - p <= threshold or name == found.label]
            assert found.set == inside and reader.coverage[task] == 0.9
    assert answer.embedding is not None
    assert (answer.embedding.dtype, answer.embedding.shape) == (np.dtype("float32"), (12,))
    assert answer.source == str(example_world / "painting.jpg")
    assert json.loads(json.dumps(answer.to_dict()))["tasks"]["style"]["label"] == answer["style"].label


def test_what_was_read_before_changes_no_answer(
    example_world: Path, paintings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORELLI_ENGINE", "torch")
    fresh = morelli.load(example_world / "run")
    before = fresh(paintings[0])
    assert len(list(fresh([*paintings, *paintings]))) == 2 * len(paintings) > 64
    assert same(fresh(paintings[0]), before)


def test_threads_share_a_reader(reader: Reader, paintings: list[Path]) -> None:
    expected = [reader(file) for file in paintings[:8]]
    wrong: list[Path] = []

    def read() -> None:
        for file, answer in zip(paintings[:8], expected, strict=True):
            if not same(reader(file), answer):
                wrong.append(file)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_reading_writes_no_file_and_needs_the_two_files_of_a_model_alone(
    example_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model.json", "model.safetensors"):
        shutil.copy(example_world / "run" / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    answer = morelli.load(".")(str(example_world / "painting.jpg"))
    assert same(answer, morelli.load(example_world / "run")(example_world / "painting.jpg"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_readers_and_answers_are_readable_as_text_and_as_html(reader: Reader, example_world: Path) -> None:
    assert "style" in repr(reader) and "resnet18 → gru, 32 px" in repr(reader)
    answer = reader(example_world / "painting.jpg")
    lines = repr(answer).splitlines()
    assert len(lines) == 4 and lines[0].endswith("painting.jpg")
    assert f"{answer['style'].label} ({answer['style'].confidence:.2f})" in lines[2]
    page = answer._repr_html_()
    assert page.count("<table>") == 4 and answer["genre"].label in page
    (failed,) = reader([b"<script>"])
    assert "not-an-image" in repr(failed) and "<script>" not in failed._repr_html_()
