"""The table of bad inputs: every row ends in one sentence that names the file or option, and alters nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from shared import figures_left_blank, shared_paintings
from tiny import morelli
from typer.testing import CliRunner

from morelli.cli import app

pytestmark = pytest.mark.slow  # of the fixture that all share

RECIPE = """\
name: tiny
image: {size: 32}
backbone: {name: resnet18, stage: 1, weights: none, grid: 4}
neck: {kind: mean}
phases: [{epochs: 1, lr: 3.0e-3}]
training: {batch_size: 16, workers: 0, precision: fp32}
"""
GATHER = "collect p/wikiart --lists p/wikiart_csv --size 32 --min-works 2 --processes 1"
RUNS = """\
{gather} --out c
{gather} --out c-train-only --split 100/0/0
{gather} --out c-one-style --only style=Impressionism
collect p/wikiart --size 32 --processes 1 --out c-no-genre
train tiny.yaml --data c --out r
evaluate r
"""
TEXTS = {
    "note.txt": "a file where a folder is wanted",
    "flat/readme.txt": "no image here",
    "folders/Cubism/readme.txt": "no image here either",
    "broken/Cubism/page.jpg": "<html>404</html>",
    "broken/Cubism/nothing.jpg": "",
    "lists-blank/style_train.csv": "",
    "lists-header/style_train.csv": "path,class\n",
    "lists-binary/style_train.csv": "a\0b\0\0\0",
    "lists-no-classes/style_train.csv": "Cubism/a.jpg,0\n",
    "lists-odd-classes/style_train.csv": "Cubism/a.jpg,0\n",
    "lists-odd-classes/style_class.txt": "Cubism\n",
    "lists-elsewhere/style_train.csv": "Cubism/nowhere.jpg,0\n",
    "lists-elsewhere/style_class.txt": "0 Cubism\n",
    "lists-folder/style_train.csv/readme.txt": "a folder with a list's name",
    "empty.csv": "",
    "no-path.csv": "picture,style\na.jpg,Cubism\n",
    "no-label.csv": "path,year\na.jpg,1907\n",
    "no-row.csv": "path,style\n",
    "binary.csv": "path\0style\0",
    "elsewhere.csv": "path,style\nnowhere.jpg,Cubism\n",
    "odd-split.csv": "path,style,split\na.jpg,Cubism,learning\n",
    "damaged.parquet": "PAR1 and then nothing",
    "damaged.safetensors": "not weights",
    "hub-empty/readme.txt": "no data",
    "key.yaml": RECIPE.replace("batch_size", "batchsize"),
    "stray.yaml": RECIPE + "zebra: 1\n",
    "syntax.yaml": RECIPE + "neck: {kind: [\n",
    "empty.yaml": "",
    "list.yaml": "- name: tiny\n",
    "no-phases.yaml": "name: tiny\n",
    "other.yaml": RECIPE.replace("stage: 1", "stage: 2"),
}
# folder, file, new text (None: deleted) of copies of the run and the collection
SPOILT = [
    ("r", "r-no-weights", "model.safetensors", None),
    ("r", "r-bad-weights", "model.safetensors", "not weights"),
    ("r", "r-bad-json", "model.json", "{"),
    ("r", "r-list-json", "model.json", "[]"),
    ("r", "r-old-json", "model.json", '{"recipe": {"name": "x"}}'),
    ("r", "r-moved", "collection.txt", "gone/collection"),
    ("r", "r-nowhere", "collection.txt", None),
    ("r", "r-bad-rows", "collection.parquet", "not a table"),
    ("r", "r-unscored", "predictions-test.parquet", None),
    ("r", "r-bad-scored", "predictions-test.parquet", "not predictions"),
    ("r", "r-bad-last", "checkpoints/last.ckpt", "not a checkpoint"),
    ("c", "c-bad-rows", "collection.parquet", "not a table"),
    ("c", "c-no-rows", "collection.parquet", None),
    ("c", "c-bad-json", "collection.json", "{"),
    ("c", "c-list-json", "collection.json", "[]"),
    ("c", "c-half-json", "collection.json", '{"version": 1}'),
    ("c", "c-other-version", "collection.json", '{"version": 99}'),
    ("c", "c-no-images", "images/images-00000.arrow", None),
    ("c", "c-bad-images", "images/images-00000.arrow", "not images"),
    ("c", "c-bad-facts", "images/facts-00000.parquet", "not a table"),
    ("c", "c-bad-plan", "images/plan.json", "not a plan"),
]
ROWS = [
    line
    for line in (Path(__file__).parent / "bad_inputs.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted works, collections, a run, and every bad file of the table; ``morelli`` is called from inside it."""
    here = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(here)
    Path("tiny.yaml").write_text(RECIPE)
    shared_paintings(Path("p"), 90, seed=0)
    with figures_left_blank():
        for line in RUNS.format(gather=GATHER).splitlines():
            morelli(line)
    os.chdir(before)
    for name, text in TEXTS.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    for original, copy, name, content in SPOILT:
        unread = shutil.ignore_patterns("features", "report", "tensorboard")
        shutil.copytree(here / original, here / copy, ignore=unread)
        (here / copy / name).unlink()
        if content is not None:
            (here / copy / name).write_text(content)
    (here / "utf16.yaml").write_text(RECIPE, encoding="utf-16")
    (here / "folder.csv").mkdir()
    shutil.copytree(here / "c", here / "c-odd-columns", ignore=shutil.ignore_patterns("features"))
    pd.DataFrame({"id": ["a"], "style": ["Cubism"]}).to_parquet(here / "c-odd-columns" / "collection.parquet")
    hubs = {
        "no-image": {"style": ["Cubism"]},
        "no-label": {"image": ["x"]},
        "text-image": {"image": [7], "style": ["C"]},
    }
    for name, columns in hubs.items():
        (here / f"hub-{name}").mkdir()
        pd.DataFrame(columns).to_parquet(here / f"hub-{name}" / "data.parquet")
    return here


def fingerprints(folder: Path) -> dict[str, str]:
    digests: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(place, name)
            facts = os.stat(file)
            digests[os.path.relpath(file, folder)] = digest(file, facts.st_ctime_ns, facts.st_ino)
    return digests


@cache
def digest(file: str, changed: int, number: int) -> str:
    """Read once, and again when the system says that the file's content, name or rights changed."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def the_sentence(stderr: str, code: int) -> str:
    """The one ``morelli: …`` line, or the usage error of the argument parser; fails where there is neither."""
    lines = [line for line in stderr.splitlines() if line.startswith("morelli: ")]
    if code == 2 and not lines:
        assert stderr.startswith("Usage: ")
        return stderr[stderr.index("Error: ") :]
    assert len(lines) == 1, stderr
    assert stderr.rstrip().splitlines()[-1] == lines[0], "the sentence comes last"
    return lines[0]


last: dict[Path, dict[str, str]] = {}  # what the world held after the last row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" => ")[0])
def test_a_bad_input_ends_in_one_sentence_and_alters_nothing(
    row: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, codes, words = row.split(" => ")
    monkeypatch.chdir(world)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    before = last.get(world) or fingerprints(world)
    done = CliRunner().invoke(app, shlex.split(line.replace("OUT", str(tmp_path / "out"))))
    assert str(done.exit_code) in codes.split("|"), done.output
    sentence = the_sentence(done.stderr, done.exit_code)
    assert "Traceback" not in done.output and "fault of morelli itself" not in sentence, sentence
    for word in words.split("|"):
        assert word in sentence, sentence
    assert len(sentence) < 400, "a sentence, not a page"
    after = last[world] = fingerprints(world)
    assert after == before
    assert not [name for name in after if re.search(r"(^|/)\.[^/]*\.tmp$", name)]
    assert not list(tmp_path.glob(".out*"))


UNREACHABLE = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "collect --hub someone/paintings --out {out}",
            ("--hub someone/paintings", "connection", "local copy"),
        ),
        (
            "train tiny.yaml --data c --out {out} --set backbone.weights=pretrained",
            ("hub", "backbone.weights=none"),
        ),
    ],
)
def test_a_hub_that_cannot_be_reached_ends_in_one_sentence(
    line: str, words: tuple[str, ...], world: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-c",
        "from morelli.cli import main; main()",
        *shlex.split(line.format(out=tmp_path / "o")),
    ]
    around = os.environ | UNREACHABLE | {"HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(command, cwd=world, env=around, capture_output=True, text=True, timeout=60)
    sentence = the_sentence(done.stderr, done.returncode)
    assert done.returncode == 1 and all(word in sentence for word in words), sentence
    assert "Traceback" not in done.stderr and "fault of morelli itself" not in sentence


def test_lists_and_tables_in_utf_16_are_read_like_any_other(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "p" / "wikiart_csv", tmp_path / "lists")
    for file in (tmp_path / "lists").iterdir():
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-16")
    table = pd.read_parquet(world / "c" / "collection.parquet").rename(columns={"id": "path"})
    names = json.loads((world / "c" / "collection.json").read_text())["vocabularies"]["style"]
    styles = table.assign(style=[names[n] if n >= 0 else "" for n in table["style"]])[["path", "style"]]
    styles.to_csv(tmp_path / "table.csv", index=False, encoding="utf-16")
    for source, out in (("lists", "a"), ("table", "b")):
        name = tmp_path / ("lists" if source == "lists" else "table.csv")
        more = f"--{source} {name} --out {tmp_path / out}"
        morelli(f"collect {world / 'p' / 'wikiart'} {more} --size 32 --min-works 2 --processes 1")
    again = [pd.read_parquet(tmp_path / out / "collection.parquet") for out in "ab"]
    assert [sorted(t["id"]) for t in again] == [sorted(table["path"])] * 2
    vocabularies = [
        json.loads((tmp_path / out / "collection.json").read_text())["vocabularies"] for out in "ab"
    ]
    assert [v["style"] for v in vocabularies] == [names] * 2
