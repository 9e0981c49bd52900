"""The notebooks as they are committed, and executed again on a few works."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import typer
from nbformat import NotebookNode

import morelli
from morelli import recipe
from morelli.cli import app

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts/notebooks"
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_500_000
WORKS, EPOCHS = 80, 1
# a folder of the root that only this or that machine has, where a path begins
MACHINE_PATH = re.compile(r"(?<![\w.…>])/(tmp|work|home|root|usr|opt|var|Users|mnt|private)/|[A-Z]:\\\\")

every = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def pictures(notebook: NotebookNode) -> int:
    return sum(kind.startswith("image/") for output in outputs(notebook) for kind in output.get("data", {}))


def texts(notebook: NotebookNode) -> Iterator[str]:
    """Everything a reader sees but the pictures."""
    for cell in notebook.cells:
        yield cell.source
    for output in outputs(notebook):
        yield output.get("text", "")
        yield from (text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))


def commands(notebook: NotebookNode) -> Iterator[list[str]]:
    """The words of each ``morelli …`` line in the prose; what stands for more values is left out."""
    for cell in notebook.cells:
        for block in re.findall(r"```sh\n(.*?)```", cell.source, re.DOTALL):
            for line in block.splitlines():
                yield shlex.split(line.replace("--set …", "").removesuffix("…"))


def test_the_five_notebooks_are_there_and_the_readme_names_each() -> None:
    assert [file.stem for file in FILES] == ["artist", "backbones", "curating", "genre", "style"]
    readme = (ROOT / "notebooks/README.md").read_text(encoding="utf-8")
    assert all(f"]({file.name})" in readme for file in FILES)


@pytest.mark.slow
@every
def test_a_notebook_runs_from_nothing_on_a_few_works(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORELLI_NOTEBOOK_WORKS", str(WORKS))
    monkeypatch.setenv("MORELLI_NOTEBOOK_EPOCHS", str(EPOCHS))
    monkeypatch.delenv("MORELLI_NOTEBOOK_WIKIART", raising=False)
    notebook = nbformat.read(file, as_version=4)
    before = pictures(notebook)
    runpy.run_path(str(SCRIPT))["execute"](notebook, tmp_path)
    assert pictures(notebook) == before
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["work"]


@every
def test_a_committed_notebook_is_executed_in_order_without_an_error_or_a_warning(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {(output.output_type, output.get("name")) for output in outputs(notebook)}
    assert kinds <= {("display_data", None), ("execute_result", None), ("stream", "stdout")}


@every
def test_a_committed_notebook_holds_its_pictures_and_stays_small(file: Path) -> None:
    assert pictures(nbformat.read(file, as_version=4)) >= 3
    assert file.stat().st_size < MOST_BYTES


@every
def test_a_committed_notebook_names_no_path_of_the_machine_it_ran_on(file: Path) -> None:
    found = [text for text in texts(nbformat.read(file, as_version=4)) if MACHINE_PATH.search(text)]
    assert found == []


def test_the_search_for_machine_paths_finds_one_and_passes_over_relative_ones() -> None:
    assert MACHINE_PATH.search("/tmp/ipykernel_1/2.py:25: Warning")
    assert MACHINE_PATH.search("written to /home/someone/labels.csv")
    beside = Path("notebooks", "work", "style").as_posix()
    assert not MACHINE_PATH.search(f"morelli audit work/style/run; see {beside}")


@every
def test_a_committed_notebook_keeps_no_times_or_versions_of_its_execution(file: Path) -> None:
    tidied, notebook = (nbformat.read(file, as_version=4) for _ in range(2))
    runpy.run_path(str(SCRIPT))["tidy"](tidied)
    assert notebook == tidied


def test_tidying_drops_what_an_execution_leaves_and_nothing_else() -> None:
    cell: Any = nbformat.v4.new_code_cell("1 + 1", id="one", execution_count=1)
    cell.metadata = nbformat.from_dict({"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}})
    language = {"name": "python", "version": "3.11.7"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": language})
    runpy.run_path(str(SCRIPT))["tidy"](notebook)
    assert "2026" not in nbformat.writes(notebook) and "3.11.7" not in nbformat.writes(notebook)
    assert (cell.id, cell.source, cell.execution_count) == ("one", "1 + 1", 1)


@every
def test_the_first_sentence_says_how_to_run_a_notebook_on_wikiart(file: Path) -> None:
    first = nbformat.read(file, as_version=4).cells[0].source.split("\n\n")[1]
    assert first.startswith("This notebook ") and "to run it on WikiArt" in first and "`WIKIART`" in first


@every
def test_the_commands_a_notebook_shows_are_ones_that_morelli_takes(file: Path) -> None:
    known: Any = typer.main.get_command(app)
    shown = list(commands(nbformat.read(file, as_version=4)))
    assert len(shown) >= 3
    for program, name, *words in shown:
        assert program == "morelli"
        parsed = known.commands[name].make_context(name, words).params
        if name == "train":
            recipe.load(recipe.find(parsed["recipe"]), parsed["change"])


@every
def test_a_notebook_uses_nothing_but_the_public_surface(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    tree = ast.parse("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [name for name in imported if name.partition(".")[0] == "morelli"] == ["morelli"]
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "morelli"
    }
    assert used <= set(morelli.__all__) and "train" in used


@every
def test_links_of_a_notebook_lead_to_files(file: Path) -> None:
    prose = "\n".join(
        cell.source for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "markdown"
    )
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert (file.parent / target).is_file()
