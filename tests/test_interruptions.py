"""Work that breaks off: a full disk, a kill, Ctrl-C, each in a process of its own; what was done is kept."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from shared import shared_paintings
from tiny import morelli
from typer.testing import CliRunner

from morelli.cli import app

pytestmark = pytest.mark.slow
MORELLI = [sys.executable, "-c", "from morelli.cli import main; main()"]
RECIPE = """\
name: tiny
image: {size: 32}
backbone: {name: resnet18, stage: 1, weights: none, grid: 4}
neck: {kind: mean}
phases: [{epochs: 30, lr: 3.0e-3}]
training: {batch_size: 16, workers: 0, precision: fp32}
"""
COLLECT = "collect p/wikiart --lists p/wikiart_csv --size 32 --min-works 2 --processes 1 --out"
TRAIN = "train tiny.yaml --data c --out"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(here)
    Path("tiny.yaml").write_text(RECIPE)
    shared_paintings(Path("p"), 600, seed=0)
    for line in (
        f"{COLLECT} c --subset 100",
        f"{TRAIN} r --set phases.0.epochs=1",
    ):
        morelli(line)
    os.chdir(before)
    return here


@pytest.fixture(autouse=True)
def _inside(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)


def begin(line: str, kilobytes: int | None = None) -> subprocess.Popen[str]:
    """Starts a command; with ``kilobytes`` no file may grow beyond that, which looks like a full disk."""

    def limit() -> None:
        if kilobytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    return subprocess.Popen(
        [*MORELLI, *shlex.split(line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.stderr.read() if process.stderr else "it ended"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def sentence_of(process: subprocess.Popen[str]) -> str:
    """The last line on standard error of a command that failed with code 1."""
    _, told = process.communicate(timeout=90)
    assert process.returncode == 1, told
    assert "Traceback" not in told and "fault of morelli itself" not in told, told
    lines = [line for line in told.splitlines() if line.startswith("morelli: ")]
    assert len(lines) == 1 and told.rstrip().endswith(lines[0]), told
    return lines[0]


def is_whole(out: Path) -> bool:
    return not [p for p in out.rglob(".*") if p.is_file()] and not list(out.rglob("*.part*"))


def test_collect_on_a_full_disk_goes_on_with_the_same_command(tmp_path: Path) -> None:
    out = tmp_path / "c"
    sentence = sentence_of(begin(f"{COLLECT} {out}", kilobytes=100))
    assert "disk is full" in sentence and "images-0000" in sentence and "again" in sentence
    assert not (out / "collection.json").exists() and is_whole(out)
    morelli(f"{COLLECT} {out}")
    assert len(pd.read_parquet(out / "collection.parquet")) == 600


@pytest.mark.parametrize("kilobytes", [100, 400])  # too little for the features; for a checkpoint
def test_train_on_a_full_disk_goes_on_with_resume(kilobytes: int, tmp_path: Path) -> None:
    morelli(f"{COLLECT} {tmp_path / 'c'} --subset 100")
    train = f"train tiny.yaml --data {tmp_path / 'c'} --out {tmp_path / 'r'} --set phases.0.epochs=1"
    sentence = sentence_of(begin(train, kilobytes))
    assert "disk is full" in sentence and "again" in sentence
    assert not (tmp_path / "r" / "model.json").exists()
    assert not list((tmp_path / "r").rglob("*.ckpt")), "half a checkpoint"
    morelli(f"{train} --resume")
    assert (tmp_path / "r" / "model.json").exists()


def test_predict_on_a_full_disk_goes_on_with_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # no disk, no file for another engine, whose rounding differs
    monkeypatch.setenv("MORELLI_ENGINE", "torch")
    whole, out = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    morelli(f"predict r p/wikiart --out {whole} --batch-size 32")
    sentence = sentence_of(begin(f"predict r p/wikiart --out {out} --batch-size 32", kilobytes=24))
    assert "disk is full" in sentence and out.name in sentence and "--resume" in sentence
    assert not out.exists(), "half a table under the asked-for name"
    done = CliRunner().invoke(app, shlex.split(f"predict r p/wikiart --out {out} --batch-size 32 --resume"))
    assert done.exit_code == 0 and "were read before" in done.stderr
    assert pq.read_table(out).equals(pq.read_table(whole))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([whole.name, out.name])


def test_collect_killed_in_the_middle_completes_and_leaves_no_process_behind(tmp_path: Path) -> None:
    out = tmp_path / "c"
    process = begin(f"{COLLECT} {out}")
    wait_until(lambda: bool(list(out.glob("images/facts-*.parquet"))), process)
    process.kill()
    process.communicate(timeout=30)
    assert not (out / "collection.json").exists()
    end = time.monotonic() + 10
    while group_lives(process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not group_lives(process.pid), "the workers wait for a parent that is dead"
    first = (out / "images" / "images-00000.arrow").stat().st_mtime_ns
    morelli(f"{COLLECT} {out}")
    assert (out / "images" / "images-00000.arrow").stat().st_mtime_ns == first, (
        "a finished shard was made again"
    )
    assert len(pd.read_parquet(out / "collection.parquet")) == 600


def group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_train_stopped_with_ctrl_c_says_how_to_go_on_and_that_command_completes(tmp_path: Path) -> None:
    morelli(f"{TRAIN} {tmp_path / 'whole'}")
    out = tmp_path / "r"
    process = begin(f"{TRAIN} {out}")
    wait_until((out / "checkpoints" / "last.ckpt").exists, process)
    process.send_signal(signal.SIGINT)
    sentence = sentence_of(process)
    assert not (out / "model.json").exists()
    command = sentence.partition("go on with: morelli ")[2]
    assert "--resume" in command, sentence
    morelli(command)
    mine, theirs = (load_file(run / "model.safetensors") for run in (out, tmp_path / "whole"))
    assert all(bool((mine[name] == theirs[name]).all()) for name in theirs)


def test_predict_stopped_with_ctrl_c_goes_on_with_resume(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "cut.csv"
    journal = tmp_path / ".cut.csv.journal"
    process = begin(f"predict r p/wikiart --out {out} --batch-size 1")
    wait_until(lambda: journal.exists() and journal.stat().st_size > 20_000, process)
    process.send_signal(signal.SIGINT)
    sentence = sentence_of(process)
    assert "--resume" in sentence and journal.exists() and not out.exists()
    morelli(f"predict r p/wikiart --out {out} --batch-size 1 --resume")
    morelli(f"predict r p/wikiart --out {whole} --batch-size 1")
    assert out.read_bytes() == whole.read_bytes() and not journal.exists()


def test_help_is_there_in_half_a_second_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom morelli.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pyarrow', 'matplotlib', 'timm', 'PIL', 'lightning', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    times = []
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        subprocess.run([*MORELLI, "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5, times


@pytest.mark.parametrize("pause", [0.001, 0.3])
def test_a_second_ctrl_c_does_not_leave_the_worker_processes_waiting(pause: float, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "morelli",
        "paint",
        str(tmp_path / "p"),
        "--works",
        "20000",
        "--size",
        "48",
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "p").rglob("*.jpg"))) < 50 and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(pause)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1 and said.count("morelli: stopped") == 1 and "Traceback" not in said
