"""The command line as a whole: help with an example, JSON on standard output only, exit codes."""

from __future__ import annotations

import ast
import gc
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from shared import figures_left_blank
from typer.main import get_command
from typer.testing import CliRunner

from morelli import __version__, cli
from morelli.cli import app

COMMANDS = (
    "demo",
    "paint",
    "collect",
    "train",
    "evaluate",
    "predict",
    "audit",
    "similar",
    "explain",
    "compare",
)
COMMANDS += ("report",)
README = Path(__file__).parent.parent / "README.md"
SMALL = "--set image.size=32 --set training.workers=0 --set phases.0.epochs=1 --set neck.fused=8"


def test_garbage_is_looked_for_as_usual_once_the_start_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, seen = gc.get_threshold(), []

    def work(prog_name: str) -> None:
        seen.append(gc.get_threshold()[0])
        kept = [[] for _ in range(2 * seen[0])]
        seen.append(len(kept) and gc.get_threshold())

    monkeypatch.setattr("morelli.cli.app", work)
    before = len(gc.callbacks)
    try:
        with pytest.raises(SystemExit):
            cli.main()
    finally:
        gc.unfreeze()
    assert seen[0] > 100 * usual[0]
    assert seen[1] == usual
    assert len(gc.callbacks) == before


def strings_of(file: Path) -> Iterator[ast.Constant]:
    """The texts of a module but for its docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


@pytest.mark.slow
def test_every_option_that_a_message_names_is_an_option_of_a_command() -> None:
    commands = get_command(app).commands.values()  # type: ignore[attr-defined]
    options = {name for command in commands for parameter in command.params for name in parameter.opts}
    assert {"--self-test", "--out"} <= options
    source = Path(cli.__file__).parent.parent
    named = [
        (f"{file.relative_to(source)}:{text.lineno}", option)
        for file in source.rglob("*.py")
        for text in strings_of(file)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text.value)
    ]
    assert len(named) > 100
    assert [place for place in named if place[1] not in options | {"--version"}] == []


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) <= set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example_whose_options_exist(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    example = done.stdout.partition(f"Example: morelli {command} ")[2].partition("\n\n")[0]
    words = example.split()
    assert words, done.stdout
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout.partition("Options:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_says_what_it_is_for(command: str) -> None:
    parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]
    silent = [p.name for p in parameters if not getattr(p, "help", None)]
    assert not silent, f"{command}: {silent} have no help"


@pytest.mark.skipif(not README.exists(), reason="there is no README.md yet")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_mentions_every_command(command: str) -> None:
    assert f"morelli {command}" in README.read_text(encoding="utf-8")


def test_version_is_the_packages() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"morelli {__version__}\n")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, Path]]:
    """Standard output, standard error and folder of each command called with ``--json``, in one small job."""
    here = tmp_path_factory.mktemp("job")
    before = Path.cwd()
    os.chdir(here)
    calls = {
        "paint": "paint p --works 80 --size 32 --json",
        "collect": "collect p/wikiart --lists p/wikiart_csv --out c --size 32 --min-works 2 --processes 1 --json",
        "train": f"train demo --data c --out r {SMALL}",
        "evaluate": "evaluate r --json",
        "predict": "predict r p/wikiart --out labels.parquet --json",
    }
    told = {}
    for command, line in calls.items():
        with figures_left_blank():
            done = CliRunner().invoke(app, shlex.split(line))
        assert done.exit_code == 0, done.stderr
        told[command] = (done.stdout, done.stderr, here)
    os.chdir(before)
    return told


@pytest.mark.parametrize("command", ["paint", "collect", "evaluate", "predict"])
def test_json_is_one_document_alone_on_standard_output(
    command: str, answers: dict[str, tuple[str, str, Path]]
) -> None:
    stdout, _, _ = answers[command]
    assert isinstance(json.loads(stdout), dict) and stdout.count("\n") == 1


def test_json_says_what_the_files_say(answers: dict[str, tuple[str, str, Path]]) -> None:
    made = {command: json.loads(stdout) for command, (stdout, _, _) in answers.items() if stdout}
    here = answers["paint"][2]
    files = [p for p in (here / "p" / "wikiart").rglob("*") if p.is_file()]
    assert made["paint"]["works"] == 80 and made["paint"]["files"] == len(files)
    assert made["collect"]["collection"] == json.loads((here / "c" / "collection.json").read_text())
    assert made["evaluate"] == json.loads((here / "r" / "scores-test.json").read_text())
    rows = pq.read_table(here / "labels.parquet").num_rows
    assert made["predict"] == {"out": "labels.parquet", "images": rows, "failed": 0} and rows == len(files)


def test_without_json_standard_output_is_empty(answers: dict[str, tuple[str, str, Path]]) -> None:
    stdout, stderr, here = answers["train"]
    assert stdout == "" and "trained: r" in stderr
    done = CliRunner().invoke(
        app, ["predict", str(here / "r"), str(here / "p"), "--out", str(here / "x.csv")]
    )
    assert done.stdout == "" and str(here / "x.csv") in done.stderr.replace("\n", "")


def test_failure_is_one_wrong_call_is_two_and_json_prints_nothing_then(tmp_path: Path) -> None:
    codes = {
        "evaluate nowhere --json": 1,
        "evaluate . --split odd --json": 2,
        "evaluate --colour": 2,
        "paint --json": 2,
    }
    for line, code in codes.items():
        done = CliRunner().invoke(app, shlex.split(line))
        assert (done.exit_code, done.stdout) == (code, ""), line


def test_predict_where_every_image_fails_still_prints_its_result_and_ends_with_one(
    answers: dict[str, tuple[str, str, Path]], tmp_path: Path
) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    line = [
        "predict",
        str(answers["train"][2] / "r"),
        str(tmp_path),
        "--out",
        str(tmp_path / "x.csv"),
        "--json",
    ]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1 and json.loads(done.stdout)["failed"] == 1


def test_a_fault_of_morelli_is_one_sentence_and_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("a defect\nof two lines")

    monkeypatch.setattr("morelli.synthetic.paint", broken)
    done = CliRunner().invoke(app, ["paint", "anywhere"])
    assert done.exit_code == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("morelli: a fault of morelli itself (LookupError: a defect); run again")
    monkeypatch.setenv("MORELLI_DEBUG", "1")
    assert isinstance(CliRunner().invoke(app, ["paint", "anywhere"]).exception, LookupError)


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from morelli.cli import main; main()",
        "paint",
        "p",
        "--works",
        "3",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout and process.stderr
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1) and "Traceback" not in told, told
