"""Writes the page *Commands* from the command line itself: every command, argument and option with its help."""

from __future__ import annotations

import inspect
from typing import Any

from sphinx.application import Sphinx
from typer.main import get_command

from morelli.cli import app

PAGE = "commands"


def setup(sphinx: Sphinx) -> dict[str, Any]:
    sphinx.connect("source-read", append_commands)
    return {"parallel_read_safe": True}


def append_commands(_: Sphinx, page: str, source: list[str]) -> None:
    """Appends the commands to the page that introduces them."""
    if page == PAGE:
        source[0] += "\n" + "\n".join(as_markdown(name, each) for name, each in commands().items())


def commands() -> dict[str, Any]:
    """The command line's commands by name, in the order in which ``morelli --help`` lists them."""
    return dict(get_command(app).commands)  # type: ignore[attr-defined]


def as_markdown(name: str, command: Any) -> str:
    """One command as a section: what it does, its example, a table of its arguments and options."""
    text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    lines = [f"## morelli {name}", "", text.strip(), "", "```sh", example.strip(), "```", ""]
    lines += ["| argument or option | | default |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(_row(parameter) for parameter in command.params if not _is_help(parameter)), ""]
    )


def _is_help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _row(parameter: Any) -> str:
    named = [option for option in parameter.opts if option.startswith("-")]
    shown = ", ".join(f"`{option}`" for option in named) or f"`{parameter.name.upper()}`"
    default = "required" if parameter.required else _default(parameter.default)
    return (
        "| " + " | ".join(cell.replace("|", "\\|") for cell in (shown, parameter.help or "", default)) + " |"
    )


def _default(value: Any) -> str:
    """Nothing for a switch, an empty list and an option that is not given by default."""
    nothing = value is None or value is False or value == [] or callable(value)
    return "" if nothing else f"`{value}`"
