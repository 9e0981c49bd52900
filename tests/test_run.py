"""The files of a run, and the commands that go from a run to its collection."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import morelli, painted_collection, recipe_file
from typer.testing import CliRunner

from morelli.cli import app
from morelli.errors import RunError
from morelli.jobs.evaluate import evaluate
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
    evaluate(here / "r", page=False)
    return here / "r"


def write_note(run: Path, note: bytes | None) -> None:
    if note is not None:
        (run / "collection.txt").write_bytes(note)


@pytest.mark.parametrize("kind", NOTES)
def test_whatever_the_note_says_a_sentence_names_it_and_what_to_do(kind: str, tmp_path: Path) -> None:
    write_note(tmp_path, NOTES[kind])
    with pytest.raises(RunError) as caught:
        Run(tmp_path).open_collection()
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'collection.txt'}: ")
    assert WORD.get(kind, "does not name a folder") in sentence and len(sentence) < 600
    assert sentence.endswith("write the folder of the run's collection into it")


@pytest.mark.parametrize("kind", ["missing", "gone", "not text"])
@pytest.mark.parametrize("command", ["evaluate", "audit", "similar", "explain"])
def test_a_command_without_the_collection_says_how_to_give_it(
    command: str, kind: str, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "r"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("collection.txt"))
    write_note(run, NOTES[kind])
    query = ["x.jpg"] if command in ("similar", "explain") else []
    done = CliRunner().invoke(app, [command, str(run), *query])
    assert done.exit_code == 1
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("morelli: ")]
    assert f"{run / 'collection.txt'}: " in sentence and WORD[kind] in sentence
    assert "write the folder of the run's collection into it" in sentence
    assert ("--data" in sentence) == (command == "evaluate")  # no other of these has the option


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("kind", ["missing", "not text"])
def test_predict_and_report_do_without_the_collection(kind: str, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "r"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("collection.txt", "report"))
    write_note(run, NOTES[kind])
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
