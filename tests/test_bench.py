"""Speed as counts that do not depend on the machine's mood, and benchmarks that give their ratios at a tiny size."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from tiny import painted_collection, recipe_file

from benchmarks.__main__ import main, parser
from benchmarks.speed import material, peers, run_all, timing
from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.errors import MorelliError, UsageError
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def contender(name: str, seconds: float) -> Any:
        return timing.Contender(name, lambda: order.append(name) or seconds, units=4)

    seconds = timing.alternate([contender("a", 2.0), contender("b", 6.0)], rounds=3)
    assert order == ["a", "b"] * 4
    assert seconds == {"a": [0.5] * 3, "b": [1.5] * 3}
    assert timing.faster(seconds["a"], seconds["b"]) == [3.0] * 3
    assert timing.slower(seconds["a"], seconds["b"]) == pytest.approx([1 / 3] * 3)
    assert timing.fastest(seconds, ["a", "b"]) == "a"


def test_a_ratio_is_of_a_round_not_of_medians() -> None:
    # the machine is twice as slow in the second round: for both
    assert timing.faster([1.0, 2.0, 1.0], [3.0, 6.0, 3.0]) == [3.0, 3.0, 3.0]


def test_a_peer_that_is_not_installed_has_an_empty_row() -> None:
    row = timing.missing("predict", "a peer", "peer", "json", "no_such_package_at_all")
    assert row.ratios == [] and "no_such_package_at_all is not installed" in row.note
    assert timing.missing("predict", "a peer", "peer", "json") is None
    shown = {"ratios": [], "bar": 3.0, "at_most": False}
    assert run_all.shown_ratio(shown) == ""


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
    assert run_all.shown_ratio({"ratios": ratios, "bar": bar, "at_most": at_most}) == shown


@pytest.mark.slow
def test_a_benchmark_keeps_the_results_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two real benchmarks at a tiny size, one after the other, into one table."""
    out = tmp_path / "bench"
    assert main(["collect", "--out", str(out), "--works", "4", "--rounds", "1", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["collect"]
    second = run_all.run_all(["similar"], out, works=600, rounds=1)
    assert list(second) == ["collect", "similar"]
    for result in second.values():
        assert all(len(row["ratios"]) == 1 and row["ratios"][0] > 0 for row in result["rows"])
        assert result["machine"]["cores"] >= 1 and result["machine"]["processor"]
    text = (out / "bench.md").read_text()
    assert text.count("\n| collect |") == 2 and text.count("\n| similar |") == 3
    assert json.loads((out / "bench.json").read_text()) == second


@pytest.mark.slow
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
    real, originals = material.recipe, material.originals
    monkeypatch.setattr(
        material, "recipe", lambda backbone, stage="last", size=224, **more: real("resnet18", 1, size, **more)
    )
    monkeypatch.setattr(material, "originals", lambda out, works, side=96: originals(out, works, 96))
    monkeypatch.setattr(peers, "BACKBONE", "resnet18")
    monkeypatch.setattr(peers, "SIZE", 64)
    # compiling takes half a minute, and a compiler that may not be there
    monkeypatch.setattr(torch, "compile", lambda module: module)
    benchmark = importlib.import_module(f"benchmarks.speed.{name}")
    for constant in {"BATCH", "STUDENT_BATCH", "FEW"} & set(vars(benchmark)):
        monkeypatch.setattr(benchmark, constant, 4)
    rows = benchmark.measure(tmp_path, works, 1)
    assert {row.path for row in rows} == paths
    for row in rows:
        assert row.note if not row.ratios else row.ratios[0] > 0, row


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("nothing", "NAME nothing: there is no such benchmark; choose among collect, epoch"),
        ("collect --rounds 0", "--rounds 0: must be at least 1"),
        ("collect --works 0", "--works 0: must be at least 1"),
        ("collect --out note.txt", "--out note.txt: is a file"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_the_exit_code_two(
    call: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("note.txt").write_text("a file where a folder is wanted")
    assert main(call.split()) == 2
    printed = capsys.readouterr()
    assert f"benchmarks: {words}" in " ".join(printed.err.split()) and printed.out == ""
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


def test_wrong_calls_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match="NAME colect: there is no such benchmark; choose among collect, epoch"
    ):
        run_all.run_all(["colect"], tmp_path)
    with pytest.raises(UsageError, match="--rounds 0: must be at least 1"):
        run_all.run_all(["collect"], tmp_path, rounds=0)
    (tmp_path / "benchmarks" / "speed").mkdir(parents=True)
    (tmp_path / "benchmarks" / "speed" / "start.py").write_text("raise SystemExit('the disk is full')")
    monkeypatch.setattr(run_all, "ROOT", tmp_path)
    with pytest.raises(MorelliError, match=r"speed.start failed .the disk is full.; to see more: python -m"):
        run_all.run_all(["start"], tmp_path / "out")


def test_a_benchmark_that_failed_gives_the_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_all, "ROOT", tmp_path)
    assert main(["start", "--out", str(tmp_path / "out")]) == 1


def test_help_shows_an_example_whose_options_exist_and_says_what_each_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out.partition("Example: python -m benchmarks ")[2].partition("\n")[0].split()
    known = [option for action in parser()._actions for option in action.option_strings]
    assert words and {word for word in words if word.startswith("--")} <= set(known)
    assert not [action.dest for action in parser()._actions if not action.help]


def test_every_name_is_a_module_and_the_performance_page_says_how_to_run_them() -> None:
    folder = run_all.ROOT / "benchmarks" / "speed"
    assert [name for name in run_all.NAMES if not (folder / f"{name}.py").is_file()] == []
    page = (run_all.ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert "\npython -m benchmarks --out bench" in page


def test_an_installed_package_times_nothing() -> None:
    """The benchmarks need the sources: they are a package of the checkout, and no command of ``morelli``."""
    done = subprocess.run(
        [sys.executable, "-m", "morelli", "bench"], capture_output=True, text=True, cwd=run_all.ROOT
    )
    assert done.returncode == 2 and "No such command 'bench'" in done.stderr
