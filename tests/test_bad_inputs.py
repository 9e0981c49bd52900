"""The table of bad inputs: every row ends in one sentence that names the file or option, and alters nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from morelli.cli import app

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
paint p --works 90 --size 32
{gather} --out c
{gather} --out c-train-only --split 100/0/0
{gather} --out c-one-style --only style=Impressionism
collect p/wikiart --size 32 --processes 1 --out c-no-genre
train tiny.yaml --data c --out r
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
TRAIN = "train tiny.yaml --data c --out {out}"
SET = TRAIN + " --set "
TABLE = "collect p/wikiart --out {out} --table "
LISTS = "collect p/wikiart --out {out} --lists "
PREDICT = "predict r p/wikiart --out {out}.csv "

# a row: the call, its exit code, what the sentence must name (parts with | between them)
ROWS = f"""\
demo --out p => 2 => --out p|not empty|another folder
demo --out {{out}} --works 10 => 2 => --works 10|at least 200
demo --out note.txt/demo --works 200 => 1|2 => note.txt/demo|file
paint p => 2 => p:|not empty|new folder
paint note.txt => 2 => note.txt|is a file
paint note.txt/under --works 3 => 1|2 => note.txt/under|file
paint {{out}} --works 0 => 2 => --works 0|at least one
paint {{out}} --works 5 --defects => 2 => --defects|at least
paint {{out}} --size 2 => 2 => --size 2|16
paint {{out}} --seed -1 => 2 => --seed -1|not negative
paint {{out}} --works many => 2 => --works|integer
paint => 2 => OUT
collect --out {{out}} => 2 => IMAGES|--hub
collect nowhere --out {{out}} => 2 => IMAGES nowhere|no such folder|give
collect note.txt --out {{out}} => 2 => note.txt|is a file|give the folder
collect flat --out {{out}} => 1 => flat|class folder|--lists
collect folders --out {{out}} => 1 => folders|class folder
collect broken --out {{out}} --min-works 1 => 1 => no usable work|empty-file: 1|not-an-image: 1|report.md
collect p/wikiart --out note.txt => 2 => --out note.txt|is a file
collect p/wikiart --out note.txt/under => 2 => --out note.txt/under|file
collect p/wikiart --lists p/wikiart_csv --out c --size 64 => 2 => --out c|already holds|--overwrite
{LISTS}nowhere => 1 => --lists nowhere|no such folder
{LISTS}note.txt => 1 => --lists note.txt|folder
{LISTS}flat => 1 => --lists flat|style_train.csv
{LISTS}lists-folder => 1 => --lists lists-folder|style_train.csv
{LISTS}lists-blank => 1 => lists-blank|style_class.txt|missing
{LISTS}lists-header => 1 => lists-header|style_class.txt|missing
{LISTS}lists-binary => 1 => style_class.txt|missing
{LISTS}lists-no-classes => 1 => style_class.txt|missing|beside
{LISTS}lists-odd-classes => 1 => style_class.txt|holds no line such as
{LISTS}lists-elsewhere => 1 => no usable work|missing-file: 1
{LISTS}p/wikiart_csv --table no-path.csv => 2 => --lists|--table|only one
{LISTS}p/wikiart_csv --hub x/y => 2 => --lists|--hub|only one
{LISTS}p/wikiart_csv --size 0 => 2 => --size 0|at least 16
{LISTS}p/wikiart_csv --size 99999 => 2 => --size 99999|at most
{LISTS}p/wikiart_csv --min-works 0 => 2 => --min-works 0|at least 1
{LISTS}p/wikiart_csv --min-works 5000 --size 32 => 1 => --min-works 5000|smaller
{LISTS}p/wikiart_csv --subset 0 => 2 => --subset 0|at least 1
{LISTS}p/wikiart_csv --top-artists 0 => 2 => --top-artists 0|at least 1
{LISTS}p/wikiart_csv --processes 0 => 2 => --processes 0|at least 1
{LISTS}p/wikiart_csv --seed -1 => 2 => --seed -1|at least 0
{LISTS}p/wikiart_csv --max-pixels 1 => 2 => --max-pixels 1|at least 64
{LISTS}p/wikiart_csv --split 70/30 => 2 => --split 70/30|70/15/15
{LISTS}p/wikiart_csv --split nan/1/1 => 2 => --split nan/1/1|70/15/15
{LISTS}p/wikiart_csv --split random => 2 => --split random|official
{LISTS}p/wikiart_csv --artists both => 2 => --artists both|names or official
{LISTS}p/wikiart_csv --only style => 2 => --only style|task=Class
{LISTS}p/wikiart_csv --only style=Impresionism => 2 => --only style=Impresionism|did you mean Impressionism
collect p/wikiart --folders school --out {{out}} => 2 => --folders school|artist, style or genre
collect p/wikiart --split official --out {{out}} --size 32 => 1 => --split official|names no split|70/15/15
{TABLE}nowhere.csv => 2 => --table nowhere.csv|no such file
{TABLE}flat => 2 => --table flat|a folder
{TABLE}empty.csv => 1 => empty.csv|is empty|add a header
{TABLE}no-path.csv => 1 => no-path.csv|no path column|'path'
{TABLE}no-label.csv => 1 => no-label.csv|artist, style, genre|add one
{TABLE}no-row.csv => 1 => no-row.csv|no row|add
{TABLE}binary.csv => 1 => binary.csv|cannot be read|check
{TABLE}damaged.parquet => 1 => damaged.parquet|cannot be read
{TABLE}elsewhere.csv => 1 => no usable work|missing-file: 1
{TABLE}odd-split.csv => 1 => odd-split.csv|'learning'|train, val, test
collect --hub ./nowhere --out {{out}} => 1 => --hub ./nowhere|no such folder
collect --hub hub-empty --out {{out}} => 1 => --hub hub-empty|cannot be loaded
collect --hub note.txt --out {{out}} => 1 => --hub note.txt|folder
collect --hub hub-no-image --out {{out}} => 1 => --hub hub-no-image|'image'
collect --hub hub-no-label --out {{out}} => 1 => --hub hub-no-label|artist, style, genre
collect --hub hub-text-image --out {{out}} => 1 => --hub hub-text-image|image
collect p/wikiart --hub hub-no-label --out {{out}} => 2 => --hub|IMAGES
{GATHER} --out c-bad-facts => 1 => facts-00000.parquet|damaged|delete
{GATHER} --out c-bad-plan => 1 => plan.json|damaged
train nowhere.yaml --data c --out {{out}} => 2 => nowhere.yaml|no such recipe|demo
train demmo --data c --out {{out}} => 2 => demmo|did you mean demo
train flat --data c --out {{out}} => 2 => flat|is a folder
train empty.yaml --data c --out {{out}} => 2 => empty.yaml|mapping
train list.yaml --data c --out {{out}} => 2 => list.yaml|mapping
train syntax.yaml --data c --out {{out}} => 2 => syntax.yaml|not valid YAML|line
train utf16.yaml --data c --out {{out}} => 2 => utf16.yaml|cannot be read
train key.yaml --data c --out {{out}} => 2 => key.yaml|training.batchsize|did you mean batch_size?
train stray.yaml --data c --out {{out}} => 2 => stray.yaml|unknown key zebra
train no-phases.yaml --data c --out {{out}} => 2 => no-phases.yaml|phases is missing
{SET}training.batch_size=many => 2 => training.batch_size|integer|'many'
{SET}image.size=1 => 2 => image.size|16
{SET}neck.kind=transformer => 2 => neck.kind|'lstm'
{SET}training => 2 => --set training|key=value
{SET}training.batchsize=3 => 2 => training.batchsize|did you mean batch_size?
{SET}phases.7.lr=1 => 2 => --set phases.7.lr=1|does not lead
{SET}name.first=x => 2 => --set name.first=x|does not lead
{SET}tasks=[] => 2 => tasks|at least one
{SET}backbone.name=resnet1888 => 2 => backbone.name|resnet1888|did you mean
{SET}backbone.stage=9 => 2 => backbone.stage|9
{SET}backbone.weights=nowhere.safetensors => 1 => backbone.weights|nowhere.safetensors|set
{SET}backbone.weights=damaged.safetensors => 1 => damaged.safetensors|cannot be read
{SET}phases.0.train=99 => 2 => phases|train=99|stages
train tiny.yaml --data nowhere --out {{out}} => 2 => --data nowhere|no such collection|morelli collect
train tiny.yaml --data p --out {{out}} => 2 => --data p|is not a collection|morelli collect
train tiny.yaml --data note.txt --out {{out}} => 2 => --data note.txt|is not a collection
train tiny.yaml --data c-bad-rows --out {{out}} => 1 => c-bad-rows/collection.parquet|collect again
train tiny.yaml --data c-no-rows --out {{out}} => 1 => c-no-rows/collection.parquet|collect again
train tiny.yaml --data c-bad-json --out {{out}} => 1 => c-bad-json/collection.json|damaged
train tiny.yaml --data c-list-json --out {{out}} => 1 => c-list-json|collect again
train tiny.yaml --data c-half-json --out {{out}} => 1 => c-half-json|collect again
train tiny.yaml --data c-other-version --out {{out}} => 1 => c-other-version|another version|collect again
train tiny.yaml --data c-odd-columns --out {{out}} => 1 => c-odd-columns/collection.parquet|collect again
train tiny.yaml --data c-no-images --out {{out}} --set training.cache=false => 1 => images-00000.arrow|missing|collect
train tiny.yaml --data c-bad-images --out {{out}} --set training.cache=false => 1 => images-00000.arrow|damaged|collect
train tiny.yaml --data c-train-only --out {{out}} => 1 => c-train-only|no validation works|--split
train tiny.yaml --data c-one-style --out {{out}} --set tasks=[style] => 1 => c-one-style|style|needs two
train tiny.yaml --data c-no-genre --out {{out}} => 2 => genre|no classes|leave it out
{TRAIN.replace("{out}", "r")} => 2 => --out r|holds a run already|--resume
{TRAIN.replace("{out}", "note.txt")} => 2 => --out note.txt|is a file
{TRAIN} --resume => 2 => --out|no such run
train other.yaml --data c --out r --resume => 2 => --resume|another recipe|backbone
{TRAIN.replace("{out}", "r-bad-last")} --resume => 1 => last.ckpt|damaged
{TRAIN} --from nowhere => 1 => nowhere|no such run
train other.yaml --data c --out {{out}} --from r => 1 => --from r|backbone|same backbone
evaluate nowhere => 1 => nowhere|no such run|morelli train
evaluate note.txt => 1 => note.txt|morelli train
evaluate c => 1 => c:|holds no model.json|morelli train
evaluate r --split testing => 2 => --split testing|train, val, test, all
evaluate r --split test --data c-train-only => 1 => c-train-only|split test has no works|--split
evaluate r --data nowhere => 2 => --data nowhere|no such collection
evaluate r-no-weights => 1 => r-no-weights|holds no model.safetensors
evaluate r-bad-weights => 1 => r-bad-weights/model.safetensors|cannot be loaded
evaluate r-bad-json => 1 => r-bad-json/model.json|damaged
evaluate r-list-json => 1 => r-list-json/model.json|not a morelli model
evaluate r-old-json => 1|2 => r-old-json/model.json
evaluate r-moved => 1 => r-moved|gone/collection|--data
evaluate r-nowhere => 1 => r-nowhere/collection.txt|missing|--data
evaluate r-bad-rows --data c => 1 => r-bad-rows/collection.parquet|cannot be read
evaluate r --data c-no-images => 1 => images-00000.arrow|missing|collect again
predict r => 2 => IMAGES
predict nowhere p/wikiart --out {{out}}.csv => 1 => nowhere|no such run|morelli train
predict r-bad-weights p/wikiart --out {{out}}.csv => 1 => model.safetensors|cannot be loaded
predict r p/wikiart --out {{out}}.xlsx => 2 => --out|.parquet, .csv, .jsonl
predict r p/wikiart --out folder.csv => 2 => --out folder.csv|is a folder
predict r p/wikiart --out note.txt/x.csv => 1|2 => note.txt|file
predict r nowhere.jpg --out {{out}}.csv => 2 => nowhere.jpg|no such file or folder
predict r flat --out {{out}}.csv => 2 => flat|holds no image
predict r broken --out {{out}}.csv => 1 => none of the 2 images|column error
{PREDICT}--batch-size 0 => 2 => --batch-size 0|at least 1
{PREDICT}--max-pixels 0 => 2 => --max-pixels 0|at least 64
{PREDICT}--colour => 2 => --colour
attribute r => 2 => attribute
"""


def morelli(line: str) -> None:
    done = CliRunner().invoke(app, shlex.split(line))
    assert done.exit_code == 0, done.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted works, collections, a run, and every bad file of the table; ``morelli`` is called from inside it."""
    here = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(here)
    Path("tiny.yaml").write_text(RECIPE)
    for line in RUNS.format(gather=GATHER).splitlines():
        morelli(line)
    os.chdir(before)
    for name, text in TEXTS.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    for original, copy, name, content in SPOILT:
        shutil.copytree(here / original, here / copy, ignore=shutil.ignore_patterns("features"))
        (here / copy / name).unlink()
        if content is not None:
            (here / copy / name).write_text(content)
    (here / "utf16.yaml").write_text(RECIPE, encoding="utf-16")
    (here / "folder.csv").mkdir()
    shutil.copytree(here / "c", here / "c-odd-columns", ignore=shutil.ignore_patterns("features"))
    pd.DataFrame({"id": ["a"], "style": ["Cubism"]}).to_parquet(here / "c-odd-columns" / "collection.parquet")
    hubs = {"no-image": {"style": ["Cubism"]}, "no-label": {"image": ["x"]}, "text-image": {"image": [7], "style": ["C"]}}
    for name, columns in hubs.items():
        (here / f"hub-{name}").mkdir()
        pd.DataFrame(columns).to_parquet(here / f"hub-{name}" / "data.parquet")
    return here


def fingerprints(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def the_sentence(stderr: str, code: int) -> str:
    """The one ``morelli: …`` line, or the usage error of the argument parser; fails where there is neither."""
    lines = [line for line in stderr.splitlines() if line.startswith("morelli: ")]
    if code == 2 and not lines:
        assert stderr.startswith("Usage: ")
        return stderr[stderr.index("Error: ") :]
    assert len(lines) == 1, stderr
    assert stderr.rstrip().splitlines()[-1] == lines[0], "the sentence comes last"
    return lines[0]


@pytest.mark.parametrize("row", ROWS.splitlines(), ids=lambda row: row.split(" => ")[0])
def test_a_bad_input_ends_in_one_sentence_and_alters_nothing(
    row: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, codes, words = row.split(" => ")
    monkeypatch.chdir(world)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    before = fingerprints(world)
    done = CliRunner().invoke(app, shlex.split(line.replace("{out}", str(tmp_path / "out"))))
    assert str(done.exit_code) in codes.split("|"), done.output
    sentence = the_sentence(done.stderr, done.exit_code)
    assert "Traceback" not in done.output and "fault of morelli itself" not in sentence, sentence
    for word in words.split("|"):
        assert word in sentence, sentence
    assert len(sentence) < 400, "a sentence, not a page"
    assert fingerprints(world) == before
    assert not list(world.rglob(".*.tmp")) and not list(tmp_path.glob(".out*"))


UNREACHABLE = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("collect --hub someone/paintings --out {out}", ("--hub someone/paintings", "connection", "local copy")),
        ("train tiny.yaml --data c --out {out} --set backbone.weights=pretrained", ("hub", "backbone.weights=none")),
    ],
)
def test_a_hub_that_cannot_be_reached_ends_in_one_sentence(
    line: str, words: tuple[str, ...], world: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from morelli.cli import main; main()", *shlex.split(line.format(out=tmp_path / "o"))]
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
    vocabularies = [json.loads((tmp_path / out / "collection.json").read_text())["vocabularies"] for out in "ab"]
    assert [v["style"] for v in vocabularies] == [names] * 2
