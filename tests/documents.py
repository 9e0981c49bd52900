"""Reads README.md and the pages of docs/: their commands and blocks of Python, and their running text."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GUIDES = [
    DOCS / f"{name}.md"
    for name in (
        "get-started",
        "collection",
        "train",
        "judge",
        "clean-labels",
        "similar",
        "explain",
        "python",
        "recipes",
        "commands",
    )
]
# the log stays as it was written, with the names of its day
PAGES = [
    ROOT / "README.md",
    ROOT / "notebooks" / "README.md",
    *GUIDES,
    *(
        DOCS / f"{name}.md"
        for name in ("index", "glossary", "results", "performance", "systems", "architecture")
    ),
]
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``language`` and ``note`` are the words after its first fence (```` ```sh parsed ````)."""

    page: Path
    language: str
    note: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a block, without the environment variables set before it."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.stem}: {shlex.join(self.words)}"


def blocks_of(page: Path, language: str) -> list[Block]:
    """The blocks of a page in one language, in order."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(page, name, note.strip(), text) for name, note, text in found if name == language]


def commands_of(page: Path, notes: tuple[str, ...] | None = None) -> list[Command]:
    """The commands in the ``sh`` blocks of a page, in order; ``notes`` keeps only blocks with one of these notes."""
    chosen = [block for block in blocks_of(page, "sh") if notes is None or block.note in notes]
    return [command for block in chosen for command in _commands(block)]


def prose_of(page: Path) -> str:
    """A page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def _commands(block: Block) -> list[Command]:
    lines = block.text.replace("\\\n", " ").splitlines()
    split = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    without = [[word for word in words if not re.match(r"[A-Z_]+=", word)] for words in split]
    return [Command(block.page, tuple(words)) for words in without if words]
