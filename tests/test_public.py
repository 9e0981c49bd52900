"""The public surface: its names, signatures and documentation, and what importing it costs."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared import figures_left_blank

import morelli
from morelli.collection.options import CollectOptions
from morelli.jobs import results
from morelli.jobs.results import self_test
from morelli.jobs.results.base import Result
from morelli.prediction import answer

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "pandas",
    "numpy",
    "matplotlib",
    "pyarrow",
    "PIL",
    "rich",
}
SIGNATURES = {
    "audit": "(run: 'AnyPath', rule: 'str' = 'combined', split: 'str | None' = None, top: 'int' = 25, "
    "tasks: 'Sequence[str] | None' = None, folds: 'int | None' = None, epochs: 'int | None' = None) -> 'Audit'",
    "compare": "(runs: 'Sequence[AnyPath]', split: 'str' = 'test', out: 'AnyPath | None' = None) -> 'Comparison'",
    "evaluate": "(run: 'AnyPath', split: 'str' = 'test', data: 'AnyPath | None' = None, page: 'bool' = True) "
    "-> 'Scores'",
    "explain": "(run: 'AnyPath', query: 'AnyPath', out: 'AnyPath | None' = None, "
    "task: 'Sequence[str] | None' = None, method: 'str' = 'grad-cam') -> 'Explanation'",
    "load": "(run: 'str | os.PathLike[str]', max_pixels: 'int' = 250000000) -> 'Reader'",
    "paint": "(out: 'AnyPath', works: 'int' = 500, seed: 'int' = 0, size: 'int' = 128, defects: 'bool' = False) "
    "-> 'Painted'",
    "predict": "(run: 'AnyPath', images: 'AnyPath | Iterable[AnyPath]', out: 'AnyPath' = 'predictions.parquet', "
    "batch_size: 'int' = 64, resume: 'bool' = False, max_pixels: 'int' = 250000000) -> 'PredictionSummary'",
    "similar": "(run: 'AnyPath', query: 'AnyPath | None' = None, k: 'int' = 10, out: 'AnyPath | None' = None, "
    "same_artist: 'bool' = True, *, artist: 'str | None' = None, where: 'Mapping[str, str] | None' = None, "
    "diversity: 'float' = 0.0, near_duplicates: 'bool' = True) -> 'Similar'",
    "train": "(recipe: 'AnyPath', data: 'AnyPath', out: 'AnyPath', changes: 'Sequence[str] | None' = None, "
    "resume: 'bool' = False, start_from: 'AnyPath | None' = None) -> 'TrainedRun'",
    "write_report": "(run: 'AnyPath', split: 'str' = 'test', out: 'AnyPath | None' = None) -> 'ReportPage'",
}
CLASSES = {"Collection", "MorelliError", "Predictions", "Reader"}


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)


def public_classes() -> list[type]:
    """The classes that a user meets: the public ones, and those of what they and the functions return."""
    modules = [
        importlib.import_module(f"{results.__name__}.{m.name}")
        for m in pkgutil.iter_modules(results.__path__)
    ]
    met = {getattr(morelli, name) for name in CLASSES}
    for module in [*modules, answer]:
        met |= {
            value
            for value in vars(module).values()
            if inspect.isclass(value) and value.__module__ == module.__name__
        }
    met.discard(self_test.SelfTest)  # no public function returns it
    return sorted(met, key=lambda cls: cls.__name__)


def public_methods() -> Iterator[Any]:
    for cls in public_classes():
        for name, value in vars(cls).items():
            method = getattr(value, "__func__", value)
            if not name.startswith("_") and inspect.isfunction(method):
                yield pytest.param(cls, method, id=f"{cls.__name__}.{name}")


def test_the_public_names_are_these_and_all_can_be_imported() -> None:
    assert set(morelli.__all__) == {*SIGNATURES, *CLASSES, "collect", "__version__"}
    assert set(morelli.__all__) <= set(dir(morelli))
    for name in morelli.__all__:
        assert getattr(morelli, name) is not None
    with pytest.raises(AttributeError, match="module 'morelli' has no attribute 'paints'"):
        morelli.paints  # noqa: B018


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signature_of_a_function_is_this(name: str) -> None:
    assert str(inspect.signature(getattr(morelli, name))) == SIGNATURES[name]


def test_collect_takes_what_its_command_takes_and_with_the_same_defaults() -> None:
    taken = inspect.signature(morelli.collect)
    options = {field.name: field for field in dataclasses.fields(CollectOptions)}
    assert set(taken.parameters) == set(options) and taken.return_annotation == "CollectSummary"
    for name, parameter in taken.parameters.items():
        default = options[name].default
        if name != "only" and default is not dataclasses.MISSING:
            assert parameter.default == default, name


def test_type_checkers_see_the_names_where_they_come_from() -> None:
    tree = ast.parse(Path(morelli.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        name.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert seen == {name: f"morelli.{room}" for name, room in morelli._ROOMS.items()}
    assert set(seen) == set(morelli.__all__) - {"__version__"}


def test_no_room_comes_in_by_the_front_door() -> None:
    """The contract on imports lets ``morelli`` import every room, so no room may import these names from it."""
    public = set(morelli.__all__) - {"__version__"}
    for file in (ROOT / "src/morelli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "morelli":
                assert not public & {name.name for name in node.names}, file
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "morelli"
            ):
                assert node.attr not in public, file


def test_importing_morelli_imports_nothing_heavy_and_is_done_at_once() -> None:
    loaded = run("import morelli, sys; print(*sys.modules)").stdout.split()
    assert HEAVY & set(loaded) == set()
    table = run("import morelli", "-X", "importtime").stderr.splitlines()
    (line,) = (line for line in table if line.split("|")[-1].strip() == "morelli")
    assert int(line.split("|")[1]) < 100_000, "microseconds, with all that it imports"


@pytest.mark.slow
def test_the_first_use_of_a_name_imports_its_room_alone() -> None:
    loaded = run("import morelli, sys; morelli.Collection; print(*sys.modules)").stdout.split()
    assert "pandas" in loaded and not {"torch", "timm", "matplotlib"} & set(loaded)


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src/morelli/py.typed").is_file()
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "morelli"
    ]
    assert "py.typed" in shipped


@pytest.mark.parametrize("name", sorted({*SIGNATURES, *CLASSES} - {"MorelliError"}))
def test_every_public_function_and_class_has_an_example(name: str) -> None:
    assert ">>> import morelli\n" in (inspect.getdoc(getattr(morelli, name)) or "")


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_class_that_a_user_meets_is_documented_with_its_properties(cls: type) -> None:
    assert cls.__doc__
    if cls not in (Result, morelli.MorelliError):
        assert ">>> import morelli\n" in cls.__doc__
    for name, value in vars(cls).items():
        if isinstance(value, property) and not name.startswith("_"):
            assert value.__doc__, name


@pytest.mark.parametrize(("cls", "method"), list(public_methods()))
def test_every_method_is_documented_and_annotated_and_has_an_example(cls: type, method: Any) -> None:
    assert method.__doc__
    assert method.__annotations__.get("return"), "its return type"
    inherited = method.__name__ in vars(Result)  # shown in the examples of the classes
    assert inherited or ">>> " in method.__doc__


@pytest.fixture(scope="module")
def world(example_world: Path) -> dict[str, Any]:
    """One result of each job, by the job's name."""
    with figures_left_blank():
        return results_of_jobs(example_world)


def results_of_jobs(example_world: Path) -> dict[str, Any]:
    run, out = example_world / "run", example_world / "public"
    return {
        "paint": morelli.paint(str(out / "paintings"), works=3, size=32),
        "collect": morelli.collect(
            str(example_world / "wikiart"),
            out / "c",
            lists=str(example_world / "wikiart_csv"),
            size=32,
            min_works=2,
            processes=1,
        ),
        "train": morelli.train(str(example_world / "tiny.yaml"), str(out / "c"), out / "r"),
        "evaluate": morelli.evaluate(str(run)),
        "predict": morelli.predict(str(run), str(example_world / "painting.jpg"), str(out / "x.csv")),
        "audit": morelli.audit(str(run), "entropy", top=2),
        "similar": morelli.similar(str(run), example_world / "painting.jpg", k=2),
        "explain": morelli.explain(str(run), example_world / "painting.jpg", str(out / "e"), ["style"]),
        "compare": morelli.compare([str(run), example_world / "other-run"]),
        "write_report": morelli.write_report(str(run)),
    }


JOBS = [
    "paint",
    "collect",
    "train",
    "evaluate",
    "predict",
    "audit",
    "similar",
    "explain",
    "compare",
    "write_report",
]


@pytest.mark.parametrize("job", JOBS)
def test_what_a_job_returns_cannot_be_changed_and_is_json_text_and_html(
    job: str, world: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = world[job]
    assert isinstance(found, Result) and type(found).__name__ in str(inspect.signature(getattr(morelli, job)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.nothing = 1
    assert isinstance(json.loads(json.dumps(found.to_dict(), allow_nan=False)), dict)
    text = repr(found)
    assert text and "object at 0x" not in text and max(map(len, text.splitlines())) < 400
    found.show()
    shown = capsys.readouterr()
    assert shown.out == "" and " ".join(shown.err.split())[:20] == " ".join(text.split())[:20]
    page = found._repr_html_()
    assert ("<img " in page) == (job in ("collect", "audit", "similar", "explain", "compare"))


def test_results_say_what_the_files_say(world: dict[str, Any], example_world: Path) -> None:
    run = example_world / "run"
    assert world["evaluate"].to_dict() == json.loads((run / "scores-test.json").read_text())
    explained = world["explain"]
    assert explained.to_dict() == json.loads((explained.folder / "explanation.json").read_text())
    predictions = morelli.Predictions.open(run / "predictions-test.parquet")
    works = predictions.works
    right = (works["style"] == works["style_label"])[works["style_label"].notna()].mean()
    assert world["evaluate"]["style"].accuracy == pytest.approx(float(right))
    candidates = world["audit"].candidates("style")
    assert set(candidates["id"]) <= set(predictions.ids) and list(candidates["rank"]) == [1, 2]
    with pytest.raises(
        morelli.MorelliError, match="colour: not a task of this audit; it has artist, style, genre"
    ):
        world["audit"].candidates("colour")


def test_the_works_of_a_collection_are_its_table_with_names(example_world: Path) -> None:
    collection = morelli.Collection.open(str(example_world / "collection"))
    works = collection.works
    for task, names in collection.vocabularies.items():
        for number, name in zip(collection.table[task], works[task], strict=True):
            assert name == names[number] if number >= 0 else name is not name or str(name) == "<NA>"
    assert list(works["id"]) == list(collection.table["id"]) and "phash" not in works
    assert (
        collection.image(works["id"].iloc[3]).size
        == collection.image(works["id"].iloc[3]).convert("RGB").size
    )
    with pytest.raises(morelli.MorelliError, match=r"no work of .* has this id"):
        collection.image("nothing")
    assert "60 works (train 40" in repr(collection)
    page = collection._repr_html_()
    assert page.count("<img ") == 10 and "data:image/jpeg;base64," in page


@pytest.mark.slow
def test_morelli_quiet_in_the_environment_keeps_progress_and_notes_back(tmp_path: Path) -> None:
    code = f"import morelli; print(morelli.paint({str(tmp_path / 'p')!r}, works=2, size=32).works)"
    for quiet in ("", "1"):
        environment = os.environ | {"MORELLI_QUIET": quiet}
        code = code.replace("/p'", "/q'") if quiet else code
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.stdout == "2\n" and bool(done.stderr) != bool(quiet)
