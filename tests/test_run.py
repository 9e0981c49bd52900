"""The files of a run, and the commands that go from a run to its collection."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import morelli, painted_collection, recipe_file
from typer.testing import CliRunner

from morelli.cli import app
from morelli.errors import RunError
from morelli.run import Run

NOTES = {
    "missing": None,
    "gone": b"/gone/collection\n",
    "empty": b"\n",
    "two lines": b"/one\n/two\n",
    "not text": b"\xff\xfe\x00garbage",
    "a zero byte": b"/some\x00where",
    "very long": b"/" + b"x" * 5000,
}
WORD = {"missing": "missing", "gone": "/gone/collection", "not text": "not a text file", "very long": "xxx…"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("trained")
    recipe = recipe_file(here, phases=[{"epochs": 1, "lr": 3e-3}])
    morelli(f"train {recipe} --data {painted_collection(here, 60)} --out {here / 'r'}")
    return here / "r"


def spoilt(trained: Path, tmp_path: Path, note: bytes | None) -> Path:
    run = tmp_path / "r"
    shutil.copytree(trained, run)
    (run / "collection.txt").unlink()
    if note is not None:
        (run / "collection.txt").write_bytes(note)
    return run


@pytest.mark.parametrize("kind", NOTES)
@pytest.mark.parametrize(
    "command", ["evaluate {run}", "audit {run}", "similar {run} x.jpg", "explain {run} x.jpg"]
)
def test_a_command_without_the_collection_says_how_to_give_it(
    command: str, kind: str, trained: Path, tmp_path: Path
) -> None:
    run = spoilt(trained, tmp_path, NOTES[kind])
    done = CliRunner().invoke(app, command.format(run=run).split())
    assert done.exit_code == 1
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("morelli: ")]
    assert sentence.startswith(f"morelli: {run / 'collection.txt'}: ")
    assert WORD.get(kind, "does not name a folder") in sentence and len(sentence) < 600
    assert "write the folder of the run's collection into it" in sentence
    assert ("--data" in sentence) == command.startswith("evaluate")  # no other of these has the option


@pytest.mark.parametrize("kind", NOTES)
def test_predict_and_report_do_without_the_collection(kind: str, trained: Path, tmp_path: Path) -> None:
    morelli(f"evaluate {trained}")
    run = spoilt(trained, tmp_path, NOTES[kind])
    image = next((trained.parent / "p" / "wikiart").rglob("*.jpg"))
    morelli(f"predict {run} '{image}' --out {tmp_path / 'out.csv'}")
    morelli(f"report {run}")
    assert (tmp_path / "out.csv").is_file() and (run / "report" / "index.html").is_file()


def test_the_folder_noted_is_found_again_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Gemälde und mehr").mkdir()
    (tmp_path / "Gemälde und mehr" / "collection.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path / "r")
    run.note_collection(Path("Gemälde und mehr"))
    monkeypatch.chdir("/")
    assert run.collection_folder() == tmp_path / "Gemälde und mehr"


def test_the_option_is_named_only_where_the_command_has_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="collection with --data"):
        Run(tmp_path).open_collection("--data")
    with pytest.raises(RunError) as caught:
        Run(tmp_path).open_collection()
    assert "--" not in str(caught.value)


def test_the_second_training_of_a_run_is_told_from_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    assert run.refit.is_refit and not run.is_refit
    assert run.refit.last_checkpoint == tmp_path / "r" / "refit" / "checkpoints" / "last.ckpt"
