"""Principal components of a readout: found without labels, kept, and read by everything like a map."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.decomposition import PCA
from test_map_statistics import FIRST, SECOND, STATISTICS, TWO, reader
from tiny import morelli, painted_collection, recipe_file

from morelli.collection.collection import Collection
from morelli.errors import DataError, RecipeError, RunError
from morelli.jobs.train import train
from morelli.network.backbone.components import Components
from morelli.network.backbone.map_statistics import MapStatistics, StatisticsLayout, parts_of
from morelli.prediction.model import load_model
from morelli.prediction.spatial_view import spatial_view
from morelli.preprocessing.pixels import decode, square, to_tensor
from morelli.training.components import _fit_axes, fit_components
from morelli.training.features import FeatureFile
from morelli.training.sources import backbone_features, existing_features

pytestmark = pytest.mark.slow  # of the fixture that all share

WIDTH = 24
HIDDEN = {"kind": "mlp", "fused": 16, "members": 2, "input_dropout": 0.2, "dropout": 0.2}
SMALL: dict[str, Any] = {
    "image": {"size": 32},
    "backbones": TWO,
    "features": STATISTICS | {"components": WIDTH},
    "neck": HIDDEN,
    "artist_prior": 2,
    "augment": {"mixup": 0.4},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection ``c``, the recipe ``tiny.yaml`` and its run ``run``, with a refit."""
    here = tmp_path_factory.mktemp("world")
    data = painted_collection(here)
    train(recipe_file(here, **SMALL), data, here / "run", ["training.refit=true"])
    return here


def file_of(folder: Path, readout: torch.Tensor) -> tuple[FeatureFile, np.ndarray]:
    np.save(folder / "readout.npy", readout.numpy().astype(np.float16))
    rows = np.arange(len(readout))
    return FeatureFile(folder / "readout.npy", rows), rows


def readouts(works: int) -> torch.Tensor:
    """Of maps of five channels, and of three hundred, which vary together."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(5, 5, generator=generator)
    narrow = torch.einsum("pc,ncij->npij", mix, torch.randn(works, 5, 3, 3, generator=generator))
    wide = torch.randn(works, 300, 2, 2, generator=generator)
    return MapStatistics([5, 300])([narrow, wide])


def test_components_are_those_of_standardised_roots_each_block_of_one_weight(tmp_path: Path) -> None:
    layout = [StatisticsLayout(5), StatisticsLayout(300)]
    made = Components(layout, 39)  # as many as forty works have
    assert not made.fitted
    file, rows = file_of(tmp_path, readouts(40))
    _fit_axes(made, file, rows)
    assert made.fitted
    read = torch.from_numpy(file.read(rows)).float()
    (mean, second), (wide_mean, wide_second) = (
        (a.double().numpy(), b.double().numpy()) for a, b in parts_of(read, layout)
    )
    diagonal = [0, 5, 9, 12, 14]
    blocks = [
        mean,
        np.sqrt(second[:, diagonal] + 1e-6),
        np.sign(second) * np.sqrt(np.abs(second) + 1e-6),
        wide_mean,
        np.sqrt(wide_second + 1e-6),
    ]
    blocks = [(b - b.mean(axis=0)) / b.std(axis=0) / np.sqrt(b.shape[1]) for b in blocks]
    wanted = PCA(39, svd_solver="full").fit_transform(np.concatenate(blocks, axis=1))
    wanted *= np.sqrt(39) / np.linalg.norm(wanted, axis=1, keepdims=True)
    found = made(read)[:, :, 0, 0].numpy()
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=0.1)  # whichever way the axes point
    turned = np.sign((found * wanted).sum(axis=0))
    np.testing.assert_allclose((found * turned)[:, :3], wanted[:, :3], atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.sqrt(39), rtol=1e-4)


def test_where_works_are_few_the_rest_of_the_components_is_zero(tmp_path: Path) -> None:
    made = Components([StatisticsLayout(5), StatisticsLayout(300)], 32)
    file, rows = file_of(tmp_path, readouts(8))
    _fit_axes(made, file, rows)
    found = made(torch.from_numpy(file.read(rows)))
    assert found.shape == (8, 32, 1, 1) and found.isfinite().all()
    assert (found[:, 8:] == 0).all() and found[:, :6].abs().amin() > 0


def test_autocast_does_not_touch_them(tmp_path: Path) -> None:
    made = Components([StatisticsLayout(5), StatisticsLayout(300)], 6)
    file, rows = file_of(tmp_path, readouts(20))
    _fit_axes(made, file, rows)
    read = torch.from_numpy(file.read(rows)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(read)
    torch.testing.assert_close(half, made(read), rtol=0, atol=0)


def test_what_is_cached_is_what_an_image_gives(world: Path) -> None:
    model, collection = load_model(world / "run"), Collection.open(world / "c")
    cached = existing_features(collection, model)
    assert cached is not None and cached.shape == (WIDTH, 1, 1)
    rows = collection.rows("test")[:5]
    images = [to_tensor(square(decode(collection.read(int(row))), model.recipe.image)) for row in rows]
    found = model.features(torch.stack(images))
    torch.testing.assert_close(torch.from_numpy(cached.read(rows)).float(), found, rtol=0.02, atol=0.02)
    assert model.network.describe()["features"]["components"] == WIDTH
    raw = backbone_features(collection, model, collection.rows("all"), model.recipe)
    assert raw.shape == (model.network.backbone.channels, 1, 1)


def test_they_are_found_in_the_training_works_alone_and_once(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, collection = load_model(world / "run"), Collection.open(world / "c")
    kept = next((world / "c" / "features").glob("*.safetensors"))
    whole, asked = kept.read_bytes(), []

    def fit_axes(made: Components, file: FeatureFile, rows: np.ndarray) -> None:
        asked.append(rows)
        _fit_axes(made, file, rows)

    monkeypatch.setattr("morelli.training.components._fit_axes", fit_axes)
    fit_components(model, collection)
    assert not asked, "kept beside the features for every run"
    kept.unlink()
    fit_components(model, collection)
    assert len(asked) == 1 and np.array_equal(asked[0], np.sort(collection.rows("train")))
    assert kept.read_bytes() == whole
    kept.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=f"{kept.name}: damaged; delete it"):
        fit_components(model, collection)
    kept.write_bytes(whole)


def test_checkpoints_leave_them_out_and_a_resumed_run_has_them_again(world: Path, tmp_path: Path) -> None:
    run = shutil.copytree(world / "run", tmp_path / "run")
    for file in run.rglob("*.ckpt"):
        names = torch.load(file, weights_only=False)["state_dict"]
        assert names and not [name for name in names if ".components." in name]
    before = load_file(run / "model.safetensors")
    (run / "model.safetensors").unlink()
    train(world / "tiny.yaml", world / "c", run, ["training.refit=true"], resume=True)
    after = load_file(run / "model.safetensors")
    assert before["components.basis"].any()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_refit_and_another_run_take_the_same(world: Path, tmp_path: Path) -> None:
    first = load_model(world / "run").network.components
    torch.manual_seed(0)
    train(
        world / "tiny.yaml",
        world / "c",
        tmp_path / "from",
        ["phases.0.epochs=1", "phases.0.lr=1e-12"],
        start_from=world / "run",
    )
    second = load_model(tmp_path / "from").network.components
    assert first is not None and second is not None and first.fitted
    assert torch.equal(first.basis, second.basis) and torch.equal(first.mean, second.mean)
    learned = torch.load(world / "run" / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    heads = {name: value for name, value in learned.items() if name.startswith("network.heads.")}
    taken = load_file(tmp_path / "from" / "model.safetensors")
    assert any("prior_artist" in name for name in heads)
    assert all(torch.allclose(taken[n.removeprefix("network.")], v, atol=1e-6) for n, v in heads.items())


@pytest.mark.parametrize(("split", "name"), [("train", "training"), ("val", "validation")])
def test_a_split_without_works_is_one_sentence_before_anything_is_made(
    split: str, name: str, world: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(world / "c", tmp_path / "c", ignore=shutil.ignore_patterns("features"))
    table = Collection.open(data).table
    kept = table["split"].where(table["split"] != split, "test")
    table.assign(split=kept).to_parquet(data / "collection.parquet", index=False)
    with pytest.raises(DataError, match=rf"{data}: no {name} works; collect with another --split"):
        train(world / "tiny.yaml", data, tmp_path / "run")
    assert not (tmp_path / "run").exists() and not (data / "features").exists()


def test_components_without_training_works_are_one_sentence_too(world: Path) -> None:
    model, collection = load_model(world / "run"), Collection.open(world / "c")
    empty = Collection(collection.folder, collection.table.assign(split="test"), collection.info)
    with pytest.raises(DataError, match="no training works; collect with another --split"):
        fit_components(model, empty)


def test_an_opened_network_answers_the_same(world: Path) -> None:
    model, collection = load_model(world / "run"), Collection.open(world / "c")
    pixels = to_tensor(square(decode(collection.read(0)), model.recipe.image))
    inside, features = spatial_view(model, pixels[None])
    torch.testing.assert_close(
        inside.read(features)[0]["style"], model.predict(pixels[None])[0]["style"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"features": {"components": 8}}, "components are of statistics"),
        ({"backbones": [FIRST | {"components": 8}, SECOND]}, "unknown key backbones.0.components"),
        ({"neck": HIDDEN | {"statistics": ["moments"]}}, "kind mlp reads one vector as it is"),
        (
            {"neck": {"kind": "gru", "members": 2}},
            "several members are for kinds statistics and mlp, not for gru",
        ),
        ({"neck": HIDDEN}, "neck.kind: mlp reads a map, but features.readout is statistics"),
    ],
)
def test_a_mistake_is_one_sentence(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        reader(**changes)


def test_a_hidden_layer_may_read_a_map_of_one_cell_and_no_larger_one() -> None:
    one = {"stage": 2, "grid": 1, "weights": "none"}
    assert reader(backbones=[one], features={}, neck=HIDDEN).network.neck.necks[0].layer[1].in_features == 128
    with pytest.raises(RecipeError, match=r"mlp reads one vector, and the backbone gives a map of 2 × 2"):
        reader(backbones=[one | {"grid": 2}], features={}, neck=HIDDEN)


def test_an_image_is_answered_and_explained(world: Path) -> None:
    """Training, evaluation and audit with components are those of the recipe morelli, in test_recipes.py."""
    run, work = world / "run", next(iter((world / "p" / "wikiart").glob("*/*.jpg")))
    morelli(f"predict {run} '{work}' --out {world / 'answers.csv'}")
    morelli(f"explain {run} '{work}'")
    assert (world / "answers.csv").is_file() and list((run / "explain").glob("*/trace_style.png"))
