"""Speed as counts that do not depend on the machine's mood, and benchmarks that give their ratios at a tiny size."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from tiny import painted_collection, recipe_file
from typer.testing import CliRunner

from morelli.cli import app
from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.errors import MorelliError, UsageError
from morelli.jobs import bench as job
from morelli.jobs.predict import predict
from morelli.jobs.train import train
from morelli.network.network import Network
from morelli.prediction.model import Model
from morelli.training.features import FeatureFile

WORKS = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paintings ``p``, their collection ``c`` and a run ``r``."""
    here = tmp_path_factory.mktemp("world")
    painted_collection(here, WORKS)
    train(recipe_file(here), here / "c", here / "r")
    return here


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The pixels of every image that Pillow decodes in this process, at the size it decodes it to."""
    seen: list[tuple[int, int]] = []
    real = ImageFile.ImageFile.load

    def load(self: ImageFile.ImageFile) -> Any:
        if self.tile:  # else it is decoded already
            seen.append(self.size)
        return real(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    return seen


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the backbone read, call by call."""
    seen: list[int] = []
    real = Network.features

    def features(self: Network, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return real(self, images)

    read = Model.part

    def with_its_own_or_a_quicker_one(self: Model, number: int, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return read(self, number, images)

    monkeypatch.setattr(Network, "features", features)
    monkeypatch.setattr(Model, "part", with_its_own_or_a_quicker_one)
    return seen


class OneProcess:
    """Stands for a pool of processes, and works at once, in this one, where the counters are."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        from concurrent.futures import Future

        future: Future[Any] = Future()
        future.set_result(work(*arguments))
        return future

    def shutdown(self, **_: Any) -> None:
        pass


def test_collect_decodes_each_work_once_and_no_larger_than_it_must(
    tmp_path: Path, decodes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "images" / "Cubism"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (17, 14, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((700, 850)).save(folder / f"ann-lee_{number}.jpg")
    monkeypatch.setattr("morelli.collection.preparing._pool", lambda workers: OneProcess())
    collect(CollectOptions(tmp_path / "images", tmp_path / "c", size=80, min_works=1))
    # an eighth of 700 is above 80, which the prepared image keeps of its short side
    assert len(decodes) == 12 and set(decodes) == {(88, 107)}


def test_a_cached_run_reads_each_image_once_and_epochs_add_no_backbone_pass(
    tmp_path: Path, decodes: list[tuple[int, int]], passes: list[int]
) -> None:
    folder = painted_collection(tmp_path, WORKS)
    works = len(Collection.open(folder).table)
    decodes.clear()
    train(recipe_file(tmp_path, phases=[{"epochs": 3}]), folder, tmp_path / "r")
    assert sum(passes) == works and len(decodes) == works
    passes.clear(), decodes.clear()
    train(recipe_file(tmp_path, phases=[{"epochs": 5}]), folder, tmp_path / "again")
    assert sum(passes) == 0 and not decodes, "a second run uses the first one's features"


def test_an_epoch_reads_the_bytes_of_its_works_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = Collection.open(world / "c")
    read: list[int] = []
    real = FeatureFile.read

    def counted(self: FeatureFile, rows: np.ndarray) -> np.ndarray:
        maps = real(self, rows)
        read.append(maps.nbytes)
        return maps

    monkeypatch.setattr(FeatureFile, "read", counted)
    train(recipe_file(world / "bytes", phases=[{"epochs": 1}]), world / "c", world / "bytes" / "r")
    one = FeatureFile(next((world / "c" / "features").glob("*.npy")), collection.rows("all"))
    each = 2 * int(np.prod(one.shape))
    validated = 2 * len(collection.rows("val"))  # after the epoch, and once more to fit the temperature
    assert sum(read) <= each * (len(collection.rows("train")) + validated)
    assert sum(read) >= each * len(collection.rows("train"))


def test_predict_decodes_and_reads_each_image_once(
    world: Path, tmp_path: Path, decodes: list[tuple[int, int]], passes: list[int]
) -> None:
    summary = predict(world / "r", [world / "p" / "wikiart"], tmp_path / "t.csv", batch_size=16)
    assert summary.images == len(decodes) == sum(passes)
    assert len(passes) == -(-summary.images // 16)


@pytest.mark.parametrize(
    ("arguments", "light"),
    [
        (["--help"], ["torch", "pandas", "pyarrow", "timm", "PIL", "matplotlib", "lightning"]),
        (["predict", "--help"], ["torch", "pandas", "pyarrow", "timm", "PIL", "matplotlib", "lightning"]),
        (["predict", "RUN", "IMAGE", "--out", "OUT"],
         ["torch._dynamo", "torch.onnx", "torchvision.models.resnet", "sympy", "lightning", "matplotlib", "sklearn",
          "scipy", "datasets", "faiss", "pandas", "pyarrow"]),
    ],
)  # fmt: skip
def test_heavy_modules_stay_out(world: Path, tmp_path: Path, arguments: list[str], light: list[str]) -> None:
    image = next((world / "p" / "wikiart").glob("*/*.jpg"))
    real = {"RUN": str(world / "r"), "IMAGE": str(image), "OUT": str(tmp_path / "o.csv")}
    program = (
        "import sys\n"
        "from morelli.cli import app\n"
        "try:\n"
        f"    app({[real.get(a, a) for a in arguments]!r}, prog_name='morelli')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"heavy = [name for name in {light!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# the benchmarks themselves


def load(name: str) -> ModuleType:
    """A script of ``benchmarks/`` as a module."""
    specification = importlib.util.spec_from_file_location(name, job.benchmarks_folder() / f"{name}.py")
    assert specification and specification.loader
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def timing() -> Iterator[ModuleType]:
    yield load("timing")
    del sys.modules["timing"]


def test_contenders_take_turns_and_the_first_round_does_not_count(timing: ModuleType) -> None:
    order: list[str] = []

    def contender(name: str, seconds: float) -> Any:
        return timing.Contender(name, lambda: order.append(name) or seconds, units=4)

    seconds = timing.alternate([contender("a", 2.0), contender("b", 6.0)], rounds=3)
    assert order == ["a", "b"] * 4
    assert seconds == {"a": [0.5] * 3, "b": [1.5] * 3}
    assert timing.faster(seconds["a"], seconds["b"]) == [3.0] * 3
    assert timing.slower(seconds["a"], seconds["b"]) == pytest.approx([1 / 3] * 3)
    assert timing.fastest(seconds, ["a", "b"]) == "a"


def test_a_ratio_is_of_a_round_not_of_medians(timing: ModuleType) -> None:
    # the machine is twice as slow in the second round: for both
    assert timing.faster([1.0, 2.0, 1.0], [3.0, 6.0, 3.0]) == [3.0, 3.0, 3.0]


def test_a_peer_that_is_not_installed_has_an_empty_row(timing: ModuleType) -> None:
    row = timing.missing("predict", "a peer", "peer", "json", "no_such_package_at_all")
    assert row.ratios == [] and "no_such_package_at_all is not installed" in row.note
    assert timing.missing("predict", "a peer", "peer", "json") is None
    shown = {"ratios": [], "bar": 3.0, "at_most": False}
    assert job.shown_ratio(shown) == ""


@pytest.mark.parametrize(
    ("ratios", "bar", "at_most", "shown"),
    [
        ([0.9, 1.1, 1.0], 0.95, False, "1 (0.9–1.1) met"),
        ([0.9, 1.1, 0.8], 0.95, False, "0.9 (0.8–1.1) missed"),
        ([1.6], 1.5, True, "1.6 (1.6–1.6) missed"),
        ([1.4], 1.5, True, "1.4 (1.4–1.4) met"),
        ([2.0], None, False, "2 (2–2)"),
    ],
)
def test_how_a_ratio_is_told(ratios: list[float], bar: float | None, at_most: bool, shown: str) -> None:
    assert job.shown_ratio({"ratios": ratios, "bar": bar, "at_most": at_most}) == shown


def test_bench_keeps_the_results_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real benchmarks at a tiny size, one after the other, into one table."""
    runner = CliRunner()
    out = tmp_path / "bench"
    first = runner.invoke(
        app, ["bench", "collect", "--out", str(out), "--works", "4", "--rounds", "1", "--json"]
    )
    assert first.exit_code == 0, first.output
    second = job.bench(["similar"], out, works=600, rounds=1)
    assert list(second) == ["collect", "similar"]
    for result in second.values():
        assert all(len(row["ratios"]) == 1 and row["ratios"][0] > 0 for row in result["rows"])
        assert result["machine"]["cores"] >= 1 and result["machine"]["processor"]
    text = (out / "bench.md").read_text()
    assert text.count("\n| collect |") == 2 and text.count("\n| similar |") == 3
    assert json.loads((out / "bench.json").read_text()) == second


@pytest.mark.parametrize(
    ("name", "works", "paths"),
    [
        ("epoch", 60, {"cached epoch"}),
        ("step", 0, {"fine-tuning step"}),
        ("neck", 2, {"neck lstm", "neck gru", "neck mingru", "neck rowcol", "neck convlstm", "neck mean"}),
        ("predict", 4, {"predict"}),
        ("start", 1, {"start-up"}),
        ("memory", 30, {"memory of collect", "memory of train (cached)", "memory of predict"}),
    ],
)
def test_every_other_benchmark_gives_its_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, works: int, paths: set[str]
) -> None:
    """Each as it is, but for small networks and small pictures in the place of ResNet-50s and of large ones."""
    monkeypatch.syspath_prepend(str(job.benchmarks_folder()))
    material, peers = importlib.import_module("material"), importlib.import_module("peers")
    real, originals = material.recipe, material.originals
    monkeypatch.setattr(
        material, "recipe", lambda backbone, stage="last", size=224, **more: real("resnet18", 1, size, **more)
    )
    monkeypatch.setattr(material, "originals", lambda out, works, side=96: originals(out, works, 96))
    monkeypatch.setattr(peers, "BACKBONE", "resnet18")
    monkeypatch.setattr(peers, "SIZE", 64)
    # compiling takes half a minute, and a compiler that may not be there
    monkeypatch.setattr(torch, "compile", lambda module: module)
    benchmark = importlib.import_module(f"bench_{name}")
    for constant in {"BATCH", "STUDENT_BATCH", "FEW"} & set(vars(benchmark)):
        monkeypatch.setattr(benchmark, constant, 4)
    rows = benchmark.measure(tmp_path, works, 1)
    assert {row.path for row in rows} == paths
    for row in rows:
        assert row.note if not row.ratios else row.ratios[0] > 0, row


def test_wrong_calls_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match="NAME colect: there is no such benchmark; choose among collect, epoch"
    ):
        job.bench(["colect"], tmp_path)
    with pytest.raises(UsageError, match="--rounds 0: must be at least 1"):
        job.bench(["collect"], tmp_path, rounds=0)
    (tmp_path / "bench_start.py").write_text("raise SystemExit('the disk is full')")
    monkeypatch.setattr(job, "benchmarks_folder", lambda: tmp_path)
    with pytest.raises(MorelliError, match=r"bench_start.py failed .the disk is full.; to see more: python"):
        job.bench(["start"], tmp_path / "out")


def test_an_installed_package_without_sources_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morelli.__file__", str(tmp_path / "lib" / "python" / "morelli" / "__init__.py"))
    with pytest.raises(UsageError, match="no benchmarks beside this installation; clone the repository"):
        job.benchmarks_folder()
