"""README.md, docs/ and notebooks/README.md: what they name exists, and their commands are those of morelli."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from documents import GUIDES, PAGES, ROOT, Command, commands_of, prose_of

from morelli import recipe as recipes

sys.path.insert(0, str(ROOT / "docs" / "extensions"))
from command_reference import as_markdown, commands

SHOWN = [command for page in PAGES for command in commands_of(page)]
MORELLI = [command for command in SHOWN if command.words[0].endswith("morelli")]
COMMANDS = commands()
OPTIONS = sorted(
    (name, option)
    for name, command in COMMANDS.items()
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("-") and option not in ("--help", "--json")
)


def spans(page: Path) -> list[str]:
    """Inline code of a page, blocks left out."""
    return re.findall(r"`([^`\n]+)`", prose_of(page))


def test_the_readme_has_at_most_130_lines_of_at_most_100_columns() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130
    assert [line for line in lines if len(line) > 100] == []


def test_the_readme_has_the_blocks_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (names,) = re.findall(r"^for block in ([\w -]+); do$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert [name for name in names.split() if f"\n```sh {name}\n" not in readme] == []


@pytest.mark.parametrize("command", MORELLI, ids=str)
def test_every_morelli_command_shown_is_accepted(command: Command) -> None:
    """By the parser of the command line; nothing is run."""
    _, name, *arguments = command.words
    if name == "--version":
        return
    given = COMMANDS[name].make_context(name, list(arguments)).params
    if name == "train":
        assert recipes.find(given["recipe"]).is_file() or (ROOT / given["recipe"]).is_file()
        recipes.load(ROOT / recipes.find(given["recipe"]), given["change"])
    if name == "demo":
        recipes.load("demo", given["change"])


@pytest.mark.parametrize("command", [c for c in SHOWN if c not in MORELLI], ids=str)
def test_every_other_command_shown_names_a_file_or_module_of_the_project(command: Command) -> None:
    first, *rest = command.words
    if first == "python" and rest[0] == "-m":
        file = ROOT / f"{rest[1].replace('.', '/')}.py"
        file = file if file.is_file() else ROOT / rest[1].replace(".", "/") / "__main__.py"
    elif first == "python":
        file = ROOT / rest[0]
    else:
        assert ("/" in first and ".venv" not in first) or Path(first).name in _OF_OTHERS, command
        return
    text = file.read_text(encoding="utf-8")
    shared = "".join(each.read_text(encoding="utf-8") for each in file.parent.glob("*.py"))
    assert [word for word in rest if word.startswith("--") and word not in text and word not in shared] == []


_OF_OTHERS = {"python3", "pip", "source", "jupyter", "sphinx-build", "morelli"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_options_in_running_text_exist(page: Path) -> None:
    known = {option for command in COMMANDS.values() for p in command.params for option in p.opts}
    wrong = []
    for span in spans(page):
        words = span.split()
        if words[0] == "morelli" and len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
            there = (
                [option for p in COMMANDS[words[1]].params for option in p.opts]
                if words[1] in COMMANDS
                else []
            )
            wrong += [span] if words[1] not in COMMANDS else []
            wrong += [
                f"{span}: {w}" for w in words[2:] if w.startswith("--") and w.split("=")[0] not in there
            ]
        elif words[0].startswith("--") and words[0] not in _OPTIONS_OF_OTHERS:
            wrong += [] if words[0] in known else [span]
    assert wrong == []


_OPTIONS_OF_OTHERS = {"--fast", "--help"}


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_every_option_is_explained_or_used_in_a_guide(command: str, option: str) -> None:
    """In running text, where a row of a table may name it alone, or in a command that is shown."""
    shown = any(option in each.words for each in MORELLI if each.words[1] == command)
    assert shown or any(
        option in span.split() or f"{option}=" in span for page in GUIDES for span in spans(page)
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_shown_in_the_readme_or_a_guide(name: str) -> None:
    assert any(
        command.words[1] == name for command in MORELLI if command.page in [ROOT / "README.md", *GUIDES]
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_command_reference_has_every_argument_and_option_with_its_help(name: str) -> None:
    text = as_markdown(name, COMMANDS[name])
    assert text.startswith(f"## morelli {name}\n") and f"morelli {name}" in text.partition("```sh")[2]
    for parameter in COMMANDS[name].params:
        if "--help" not in parameter.opts:
            row = next(line for line in text.splitlines() if line.startswith(f"| `{_written(parameter)}`"))
            assert parameter.help.replace("|", "\\|") in row


def _written(parameter: Any) -> str:
    return parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name.upper()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_inside_the_project_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", prose_of(page))
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_module_and_room_named_exists(page: Path) -> None:
    """A path to a module, or the name of a folder of the package, is from the package or from the project."""
    named = {span for span in spans(page) if re.fullmatch(r"[\w./-]*\w+\.py|[a-z_]+(?:/\w+)*/", span)}
    there = {
        name
        for name in named
        for root in (ROOT, ROOT / "src", ROOT / "src" / "morelli")
        if (root / name).exists()
    }
    inside = {name for name in named - there if list((ROOT / "src" / "morelli").glob(f"*/{name}"))}
    assert named - there - inside == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_recipe_named_exists(page: Path) -> None:
    named = set(re.findall(r"recipes/([\w-]+)\.yaml", page.read_text(encoding="utf-8")))
    assert named <= set(recipes.shipped())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_nothing_hears_knows_or_believes_that_is_no_person(page: Path) -> None:
    """The tone of the documents: a network predicts and scores; it does not say, think or know."""
    text = " ".join(prose_of(page).split())
    assert (
        re.findall(
            r"(?i)\b(?:hears?|believes?|is told|are told|is said|networks? (?:says?|knows?|thinks?))\b", text
        )
        == []
    )


def test_the_architecture_lists_the_rooms_in_the_order_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    rooms = [name.strip() for layer in layers for name in layer.split(":") if name.strip() != "__main__"]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if re.match(r"\| `[\w.]+(/`|\.py`)", line)]
    named = [name for row in rows for name in re.findall(r"`(\w+)(?:/|\.py)`", row)]
    assert sorted(named[-5:]) == sorted(rooms[-5:])  # the ground, in any order
    assert named[:-5] == rooms[:-5]
