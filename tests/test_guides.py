"""The guides are followed: every command that they show for the reader to run, in order, on painted works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from documents import DOCS, Command, blocks_of, commands_of
from shared import figures_left_blank, shared_paintings
from tiny import recipe_file
from typer.testing import CliRunner

from morelli.cli import app

WALK = [
    DOCS / f"{name}.md"
    for name in ("collection", "train", "judge", "clean-labels", "similar", "explain", "python")
]


@pytest.mark.slow
def test_every_command_and_every_block_of_python_of_the_guides_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block marked ``parsed`` needs what a test has not, such as the Hub; test_documents.py checks that one."""
    _prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with figures_left_blank():
        for page in WALK:
            for command in commands_of(page, notes=("",)):
                _run(command)
            for block in blocks_of(page, "python"):
                exec(compile(block.text, str(page), "exec"), names)


def _run(command: Command) -> None:
    assert command.words[0] == "morelli", command
    done = CliRunner().invoke(app, list(command.words[1:]))
    assert done.exit_code == 0, f"{command}\n{done.stderr}"
    if "--out" in command.words:
        out = Path(command.words[command.words.index("--out") + 1])
        assert out.exists(), f"{command}: wrote nothing to {out}"


def _prepare(folder: Path) -> None:
    """What the guides suppose: WikiArt with its lists, images with a table, new pictures; and recipes of the names that
    they use, for networks that a test can train."""
    shared_paintings(folder / "painted", 160)
    shared_paintings(folder / "new", 6, seed=3)
    (folder / "painted" / "wikiart").rename(folder / "wikiart")
    (folder / "painted" / "wikiart_csv").rename(folder / "wikiart_csv")
    (folder / "new" / "wikiart").rename(folder / "photos")
    shutil.copy(next((folder / "photos").rglob("*.jpg")), folder / "painting.jpg")
    shutil.copytree(folder / "wikiart", folder / "images")
    _write_table(folder / "images", folder / "works.csv")
    small = {"neck": {"kind": "gru", "width": 12}, "phases": [{"epochs": 1, "lr": 3e-3}]}
    for name, tasks in (
        ("morelli", None),
        ("multitask-resnet18-lstm", None),
        ("style-from-artist", ["style"]),
    ):
        file = recipe_file(folder / "recipes", **small, **({"tasks": tasks} if tasks else {}))
        file.rename(folder / "recipes" / f"{name}.yaml")


def _write_table(images: Path, file: Path) -> None:
    """As a museum might have it: a path, two labels, a year."""
    paths = sorted(str(path.relative_to(images)) for path in images.rglob("*.jpg"))
    table = pd.DataFrame({"path": paths, "style": [path.partition("/")[0] for path in paths]})
    artists = [Path(path).stem.partition("_")[0] for path in paths]
    table.assign(artist=artists, year=[1880 + number % 40 for number in range(len(paths))]).to_csv(
        file, index=False
    )
