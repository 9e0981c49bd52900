"""Predict: the documented columns in three formats, bad files beside good ones, and an order that changes nothing."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from scipy.special import softmax
from shared import shared_paintings

from morelli.collection.collect import CollectOptions, collect
from morelli.errors import StoppedError
from morelli.evaluation.calibration.conformal import fit_thresholds
from morelli.jobs import predict as job
from morelli.jobs.evaluate import evaluate
from morelli.jobs.predict import predict
from morelli.jobs.train import train
from morelli.prediction import reader

pytestmark = pytest.mark.slow  # of the fixture that all share

TASKS = ("artist", "style", "genre")
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "image": {"size": 32},
    "backbone": {"name": "resnet18", "stage": 1, "weights": "none", "grid": 4},
    "neck": {"kind": "mean"},
    "phases": [{"epochs": 3, "lr": 3e-2}],
    "training": {"batch_size": 16, "workers": 0, "precision": "fp32"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paintings ``p``, their collection ``c``, a run ``r`` and the table ``all.parquet`` of all paintings."""
    here = tmp_path_factory.mktemp("world")
    shared_paintings(here / "p", 90, seed=3)
    lists = here / "p" / "wikiart_csv"
    collect(
        CollectOptions(here / "p" / "wikiart", here / "c", lists=lists, size=32, min_works=2, processes=1)
    )
    (here / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    train(here / "tiny.yaml", here / "c", here / "r")
    predict(here / "r", [here / "p" / "wikiart"], here / "all.parquet")
    return here


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The rows of any of the three formats without the probabilities, numbers as numbers."""
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        return table.drop_columns([n for n in table.column_names if n.endswith("_probabilities")]).to_pylist()
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    return [{k: _value(k, v) for k, v in row.items()} for row in rows]


def _value(name: str, text: str) -> Any:
    if name == "error":
        return text
    if name.endswith("_set"):
        return text.split("; ") if text else None
    number = name.endswith("_confidence") or name == "labelling_value"
    return float(text) if number and text else text or None


def assert_same(some: list[dict[str, Any]], others: list[dict[str, Any]], tolerance: float = 1e-5) -> None:
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            close = isinstance(value, float) and value == pytest.approx(b[name], abs=tolerance)
            assert close or value == b[name], (name, value, b[name])


def test_the_columns_are_the_documented_ones_and_every_value_is_in_its_range(world: Path) -> None:
    table = pq.read_table(world / "all.parquet")
    vocabularies = json.loads(table.schema.metadata[b"morelli.vocabularies"])
    columns = [f"{task}{part}" for task in TASKS for part in ("", "_confidence", "_set", "_probabilities")]
    assert sorted(table.column_names) == sorted(["path", *columns, "labelling_value", "error"])
    assert vocabularies == json.loads((world / "r" / "model.json").read_text())["vocabularies"]
    for task in TASKS:
        probabilities = np.array(table[f"{task}_probabilities"].to_pylist())
        assert probabilities.shape == (90, len(vocabularies[task]))
        assert probabilities.min() >= 0 and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert table[task].to_pylist() == [vocabularies[task][k] for k in probabilities.argmax(axis=1)]
        assert np.allclose(table[f"{task}_confidence"].to_numpy(), probabilities.max(axis=1))
    assert set(table["error"].to_pylist()) == {""}
    assert len(set(table["style"].to_pylist())) > 1, "a model that says one class would pass any test"


def test_the_sets_hold_the_classes_above_the_threshold_and_always_the_most_probable(world: Path) -> None:
    table = pq.read_table(world / "all.parquet")
    facts = json.loads((world / "r" / "model.json").read_text())
    assert json.loads(table.schema.metadata[b"morelli.coverage"]) == dict.fromkeys(TASKS, 0.9)
    sizes = []
    for task in TASKS:
        least = 1 - facts["conformal"][task]["thresholds"]["lac"]
        columns = (table[f"{task}{part}"].to_pylist() for part in ("", "_set", "_probabilities"))
        for best, inside, probabilities in zip(*columns, strict=True):
            probable = {
                n for n, p in zip(facts["vocabularies"][task], probabilities, strict=True) if p >= least
            }
            assert set(inside) == probable | {best} and inside[0] == best
            sizes.append(len(inside))
    assert min(sizes) < max(sizes)


def test_sets_by_hand() -> None:
    """Ten works of which each gave its true class 0.1, 0.2, … 1.0: 90 % of eleven, rounded up, is the tenth score."""
    own = np.arange(1, 11) / 10
    held_out = np.stack([own, 1 - own], axis=1)
    fitted = fit_thresholds(np.zeros(10, int), held_out)
    assert fitted["thresholds"]["lac"] == pytest.approx(0.9)
    model: Any = SimpleNamespace(
        vocabularies={"style": ["Cubism", "Rococo", "Pop_Art"]}, facts={"conformal": {"style": fitted}}
    )
    probabilities = np.array([[0.05, 0.75, 0.2], [0.05, 0.05, 0.9], [0.3, 0.5, 0.2]], np.float32)
    assert reader._sets(model, "style", probabilities) == [
        ["Rococo", "Pop_Art"],
        ["Pop_Art"],
        ["Rococo", "Cubism", "Pop_Art"],
    ]


def test_the_sets_of_new_works_cover_what_is_promised() -> None:
    """Six hundred simulated works, half to fit on and half to check, drawn 300 times: the mean coverage is 90 % and a
    little (271 of 301), within three of its standard errors of 0.0014."""
    rng = np.random.default_rng(0)
    names, covered = [f"class-{k}" for k in range(6)], []
    for _ in range(300):
        labels = rng.integers(0, 6, 600)
        probabilities = softmax(1.5 * np.eye(6)[labels] + rng.normal(size=(600, 6)), axis=1).astype(
            np.float32
        )
        fitted = fit_thresholds(labels[:300], probabilities[:300])
        model: Any = SimpleNamespace(vocabularies={"style": names}, facts={"conformal": {"style": fitted}})
        sets = reader._sets(model, "style", probabilities[300:])
        covered.append(np.mean([names[k] in inside for k, inside in zip(labels[300:], sets, strict=True)]))
    assert abs(np.mean(covered) - 271 / 301) < 0.0042


@pytest.mark.parametrize("few", [True, False])
def test_a_run_without_thresholds_leaves_the_sets_empty_and_says_why(
    few: bool, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "r", tmp_path / "old")
    facts = json.loads((world / "r" / "model.json").read_text())
    if few:
        facts["conformal"]["genre"]["thresholds"]["lac"] = None
    else:
        del facts["conformal"]
    (tmp_path / "old" / "model.json").write_text(json.dumps(facts))
    image = sorted((world / "p" / "wikiart").rglob("*.jpg"))[0]
    predict(tmp_path / "old", [image], tmp_path / "x.csv")
    row = rows_of(tmp_path / "x.csv")[0]
    assert row["genre"] and row["genre_set"] is None
    assert (row["style_set"] is not None) == few
    said = " ".join(capsys.readouterr().err.split())
    assert ("too few validation works" if few else "older morelli") in said and "genre_set" in said


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_formats_agree(ending: str, world: Path, tmp_path: Path) -> None:
    predict(world / "r", [world / "p" / "wikiart"], tmp_path / f"x.{ending}")
    assert_same(rows_of(tmp_path / f"x.{ending}"), rows_of(world / "all.parquet"), 2e-6)


def test_predict_gives_the_answers_that_evaluate_scored(world: Path) -> None:
    """The images are as small as the prepared ones, so both read the same pixels."""
    evaluate(world / "r", "all", page=False)
    scored = pq.read_table(world / "r" / "predictions-all.parquet").to_pandas().set_index("id")
    table = pq.read_table(world / "all.parquet").to_pandas()
    table["id"] = [Path(p).relative_to(world / "p" / "wikiart").as_posix() for p in table["path"]]
    listed = table[table["id"].isin(scored.index)].set_index("id")
    assert len(listed) > 60
    for task in TASKS:
        mine = np.stack(listed[f"{task}_probabilities"].to_list())
        theirs = np.stack(scored.loc[listed.index, f"{task}_probabilities"].to_list())
        assert np.abs(mine - theirs).max() < 2e-3, "evaluate reads cached features, of half precision"


@pytest.fixture
def mixed(world: Path, tmp_path: Path) -> Path:
    """Good files in every guise beside bad ones."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    first = sorted((world / "p" / "wikiart").rglob("*.jpg"))[0]
    shutil.copy(first, folder / "good.jpg")
    shutil.copy(first, folder / 'ärmel, "quoted".jpg')
    picture = Image.open(first).convert("RGB")
    picture.save(folder / "lossless.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    picture.convert("L").save(folder / "grey.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "rotated.png", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "lying.png")
    (folder / "truncated.jpg").write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    (folder / "nothing.jpg").touch()
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "notes.txt").write_text("not an image's name: passed over")
    (folder / "dangling.jpg").symlink_to(folder / "gone.jpg")
    return folder


BAD = {
    "truncated.jpg": "damaged",
    "nothing.jpg": "empty-file",
    "page.jpg": "not-an-image",
    "dangling.jpg": "missing-file",
}


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_bad_files_are_rows_with_an_error_beside_the_good_ones(
    ending: str, world: Path, mixed: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"x.{ending}"
    summary = predict(world / "r", [mixed], out)
    rows = {Path(row["path"]).name: row for row in rows_of(out)}
    assert sorted(rows) == sorted(p.name for p in mixed.iterdir() if p.suffix != ".txt")
    assert (summary.images, summary.failed) == (11, 4)
    for name, row in rows.items():
        if name in BAD:
            assert row["error"].startswith(BAD[name] + ": ") and row["style"] is None
            assert all(row[f"{task}_confidence"] is None and row[f"{task}_set"] is None for task in TASKS)
        else:
            assert row["error"] == "" and 0 < row["style_confidence"] <= 1


def test_a_rotated_photo_is_read_upright_and_a_neighbour_changes_nothing(
    world: Path, mixed: Path, tmp_path: Path
) -> None:
    predict(world / "r", [mixed], tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet").to_pandas()
    probabilities = {
        Path(p).name: c for p, c in zip(table["path"], table["style_probabilities"], strict=True)
    }
    assert np.allclose(probabilities["rotated.png"], probabilities["lossless.png"], atol=1e-5)
    assert not np.allclose(probabilities["rotated.png"], probabilities["lying.png"], atol=1e-4)
    assert np.allclose(probabilities['ärmel, "quoted".jpg'], probabilities["good.jpg"], atol=1e-6)
    before = pq.read_table(world / "all.parquet").to_pandas()["style_probabilities"][0]
    assert np.allclose(probabilities["good.jpg"], before, atol=1e-5)


def test_files_and_folders_are_read_once_each_in_the_order_given(world: Path, tmp_path: Path) -> None:
    folder = sorted(p for p in (world / "p" / "wikiart").iterdir() if p.is_dir())[0]
    inside = sorted(folder.glob("*.jpg"))
    predict(world / "r", [inside[-1], folder, inside[0], folder], tmp_path / "x.csv")
    assert [row["path"] for row in rows_of(tmp_path / "x.csv")] == [
        str(f) for f in [inside[-1], *inside[:-1]]
    ]


@pytest.mark.parametrize("batch_size", [1, 7, 200])
def test_the_batch_size_changes_no_answer(batch_size: int, world: Path, tmp_path: Path) -> None:
    predict(world / "r", [world / "p" / "wikiart"], tmp_path / "x.parquet", batch_size=batch_size)
    assert_same(rows_of(tmp_path / "x.parquet"), rows_of(world / "all.parquet"))


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_an_interrupted_and_resumed_table_equals_an_uninterrupted_one(
    ending: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"x.{ending}"
    read: list[Path] = []
    original = reader.open_rgb

    def stop_in_the_fifth_batch(file: Path, *rest: Any) -> Any:
        read.append(file)
        if len(read) == 41:
            raise KeyboardInterrupt
        return original(file, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "open_rgb", stop_in_the_fifth_batch)
        with pytest.raises(StoppedError, match="--resume"):
            predict(world / "r", [world / "p" / "wikiart"], out, batch_size=8)
    assert not out.exists()
    journal = out.with_name(f".{out.name}.journal")
    journal.write_bytes(journal.read_bytes()[:-100])  # as if the machine had lost its last words
    read.clear()

    def count(file: Path, *rest: Any) -> Any:
        read.append(file)
        return original(file, *rest)

    monkeypatch.setattr(reader, "open_rgb", count)
    predict(world / "r", [world / "p" / "wikiart"], out, batch_size=8, resume=True)
    assert 40 < len(read) < 90, "what was kept is not read again"
    assert_same(rows_of(out), rows_of(world / "all.parquet"), 2e-6)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_a_journal_of_another_model_is_not_taken_over(world: Path, tmp_path: Path) -> None:
    facts = json.loads((world / "r" / "model.json").read_text())
    shutil.copytree(world / "r", tmp_path / "other")
    facts["vocabularies"]["style"] = [f"{name} too" for name in facts["vocabularies"]["style"]]
    (tmp_path / "other" / "model.json").write_text(json.dumps(facts))
    images = [world / "p" / "wikiart"]
    out = tmp_path / "x.csv"
    journal = job.Journal(out, job._header(reader.load(world / "r"), out), resume=False)
    journal.write(pq.read_table(world / "all.parquet").slice(0, 5).to_pylist())
    journal.close()
    predict(tmp_path / "other", images, tmp_path / "x.csv", resume=True)
    rows = rows_of(tmp_path / "x.csv")
    assert len(rows) == 90 and all(row["style"].endswith(" too") for row in rows)
