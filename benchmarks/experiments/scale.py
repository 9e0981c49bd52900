"""Judgement at the size of the whole of WikiArt: 81,446 simulated works, 129 + 27 + 11 classes, vectors of 512.

    python -m benchmarks.experiments.scale --out scale        (5 minutes on one core; --works 20000 for a smaller try)

Measures, each in a process of its own, seconds and peak memory of: the index, 1,000 single searches, the scores of
every audit rule (with the simulated predictions in place of cross-fitted ones, which take a network), whole audits
by the rules that need no cross-fitting, the scores and the report page; and, beside them, the graph that stands in for
exact search beyond 200,000 works. ``scale.md`` in --out is the table. Vectors are what a recurrent network makes of
a work: tanh of 64 hidden numbers (those of its artist, style and genre, and its own) and noise; probabilities come
from the same numbers. Each work lies in split test, which is harder than life.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.speed.timing import processor
from morelli.files import write_json, write_text

TASKS = {"artist": 129, "style": 27, "genre": 11}
HIDDEN, WIDTH, QUERIES = 64, 512, 1000
FILES = {
    "simulate": "predictions-test.parquet",
    "scores": "scores-test.json",
}  # by which a step is known to be done
# step: what it is, most seconds and GiB
BARS: dict[str, tuple[str, float | None, float | None]] = {
    "index": ("index build (exact)", 60, None),
    "search": ("1,000 single searches, k = 10", 2, None),
    "audit-scores": ("audit scores of every rule, cross-fitted predictions given", 60, 4),
    "audit": ("morelli audit, tables and page, every rule of the public systems", 60, 4),
    "report": ("report page", 60, None),
    "scores": ("scores with intervals", None, None),
    "graph": ("index build (graph)", 60, None),
    "graph-search": ("1,000 single searches of the graph", 2, None),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--works", type=int, default=81_446)
    parser.add_argument("--only", nargs="*", choices=BARS, help="some of the steps")
    parser.add_argument("--step", help=argparse.SUPPRESS)  # what one of the processes is to do
    options = parser.parse_args()
    run: Path = options.out / "run"
    if options.step:
        print(json.dumps(measure(options.step, run, options.works)))
        return
    results: dict[str, dict[str, Any]] = {}
    file = options.out / "scale.json"
    if options.only and file.exists():
        results = json.loads(file.read_text())
    for step in steps(options.only, run):
        command = [sys.executable, "-m", "benchmarks.experiments.scale", "--step", step]
        command += ["--out", str(options.out), "--works", str(options.works)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[step] = json.loads(done.stdout.splitlines()[-1])
        write_json(file, results)
    text = table(results, options.works)
    write_text(options.out / "scale.md", text)
    print(text)


def steps(only: list[str] | None, run: Path) -> list[str]:
    """The steps in order: all, or ``only`` some and what they read that is not there yet."""
    every = ["simulate", "scores", *(name for name in BARS if name != "scores")]
    if not only:
        return every
    read = {"simulate", *(["scores"] if "report" in only else [])}  # the page shows the scores
    missing = {step for step in read if not (run / FILES[step]).is_file()}
    return [step for step in every if step in missing | set(only)]


def measure(step: str, run: Path, works: int) -> dict[str, Any]:
    """Does one step in this process: wall and processor seconds, peak memory in GiB and what the step adds."""
    clock = Clock()
    extra = STEPS[step](run, works, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    return {"seconds": clock.wall, "processor": clock.processor, "gib": peak} | extra


class Clock:
    """Adds up the time spent inside ``with clock.running():``."""

    wall = processor = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


def simulate(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    """A run's files without its model: predictions-test.parquet and collection.parquet."""
    from morelli.evaluation.predictions import Predictions, TaskPredictions, write

    run.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with clock.running():
        labels, hidden = {}, 0.9 * rng.normal(size=(works, HIDDEN))
        centres = {task: 0.75 * rng.normal(size=(classes, HIDDEN)) for task, classes in TASKS.items()}
        for task, classes in TASKS.items():
            shares = 1 / np.arange(1, classes + 1)  # few classes hold most works
            labels[task] = rng.choice(classes, works, p=shares / shares.sum())
            hidden += centres[task][labels[task]]
        vectors = np.tanh(
            hidden @ rng.normal(size=(HIDDEN, WIDTH)) / 8 + 0.2 * rng.normal(size=(works, WIDTH))
        )
        tasks, columns = {}, {}
        for task, classes in TASKS.items():
            scores = hidden @ centres[task].T - (centres[task] ** 2).sum(axis=1) / 2
            raised = np.exp((scores - scores.max(axis=1, keepdims=True)) / 8)
            given = labels[task].astype(np.int32)
            wrong = rng.random(works) < 0.05
            given[wrong] = rng.integers(classes, size=int(wrong.sum()))
            given[rng.random(works) < 0.2] = -1
            columns[task] = given
            probabilities = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
            tasks[task] = TaskPredictions([f"{task}-{n}" for n in range(classes)], given, probabilities)
        ids = [f"style-{style}/artist-{artist}_work-{row}.jpg"
               for row, (style, artist) in enumerate(zip(labels["style"], labels["artist"], strict=True))]  # fmt: skip
        write(Predictions(ids, ids, tasks, vectors.astype(np.float32)), run / "predictions-test.parquet")
        split = rng.choice(["train", "val", "test"], works, p=[0.7, 0.15, 0.15])
        pd.DataFrame(
            {
                "id": ids,
                "file": ids,
                **columns,
                "artist_name": [f"artist-{number}" for number in labels["artist"]],
                "split": split,
                "group": np.arange(works, dtype=np.int32),
                "phash": rng.integers(2**63, size=works, dtype=np.uint64),
            }
        ).to_parquet(run / "collection.parquet")
    return {}


def scores(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    from morelli.evaluation.predictions import read
    from morelli.evaluation.scores.scores import score

    with clock.running():
        run_scores = score(
            read(run / "predictions-test.parquet"), pd.read_parquet(run / "collection.parquet")
        )
    write_json(run / "scores-test.json", run_scores | {"split": "test"})
    return {}


def index(run: Path, works: int, clock: Clock, folder: str = "index") -> dict[str, Any]:
    from morelli.evaluation.predictions import read
    from morelli.evaluation.search.search import Index

    embedding = read(run / "predictions-test.parquet").embedding
    assert embedding is not None
    works_table = pd.read_parquet(run / "collection.parquet", columns=["id", "file", "split"])
    with clock.running():
        built = Index.build(run / folder, embedding, works_table)
    size = sum(file.stat().st_size for file in (run / folder).iterdir()) / 2**20
    return {"note": f"{built.backend}, {size:,.0f} MiB on disk"}


def graph(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    from morelli.evaluation.search import search

    search.EXACT = 0
    return index(run, works, clock, "graph")


def search(run: Path, works: int, clock: Clock, folder: str = "index") -> dict[str, Any]:
    """Half of the queries are works of the index, half lie beside one; all are checked against every distance."""
    from morelli.evaluation.search.search import Index

    opened = Index.open(run / folder)
    rng = np.random.default_rng(1)
    near = opened.vectors[rng.integers(works, size=QUERIES)]
    near[::2] += 0.02 * rng.normal(size=near[::2].shape).astype(np.float32)
    opened.search(near[:1], 10)  # the file's pages come into memory
    with clock.running():
        rows = np.concatenate([opened.search(near[place : place + 1], 10)[1] for place in range(QUERIES)])
    recalls = []
    for place in range(0, QUERIES, 50):
        truth = np.argsort(-(near[place : place + 50] @ opened.vectors.T), axis=1)[:, :10]
        recalls += [len(set(a) & set(b)) / 10 for a, b in zip(rows[place : place + 50], truth, strict=True)]
    return {"note": f"recall@10 against every distance {np.mean(recalls):.4f}"}


def graph_search(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    return search(run, works, clock, "graph")


def audit_scores(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    """Every rule for every task; what rules share, such as the neighbours, is paid for by the first."""
    from morelli.evaluation.audit.evidence import gather_evidence
    from morelli.evaluation.audit.rules import RULES
    from morelli.evaluation.predictions import read

    parts = []
    rng = np.random.default_rng(2)
    predictions = read(run / "predictions-test.parquet")
    second = {
        name: rng.dirichlet(np.ones(len(task.names)), works).astype(np.float32) / 2 + task.probabilities / 2
        for name, task in predictions.tasks.items()
    }
    vocabularies = {name: task.names for name, task in predictions.tasks.items()}
    with clock.running():
        evidence = gather_evidence(
            predictions, pd.read_parquet(run / "collection.parquet"), vocabularies, second
        )
    for name, rule in RULES.items():
        before = clock.processor
        with clock.running():
            for of_task in evidence.values():
                rule.judge(of_task)
        parts.append(f"{name} {clock.processor - before:.1f}")
    return {"note": f"processor s: {', '.join(parts)}"}


def audit(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    from morelli.evaluation.audit.rules import RULES
    from morelli.jobs.audit import audit as run_audit

    parts = []
    for name, rule in RULES.items():
        if not rule.cross_fit:
            before = clock.processor
            with clock.running():
                run_audit(run, name, "test")
            parts.append(f"{name} {clock.processor - before:.1f}")
    return {"note": f"processor s: {', '.join(parts)}"}


def report(run: Path, works: int, clock: Clock) -> dict[str, Any]:
    from morelli.jobs.report import write_report

    with clock.running():
        made = write_report(run, "test")
    shown = ", ".join(made.sections) or "none"
    return {"note": f"page of {made.bytes / 1e6:.1f} MB; sections beyond scores: {shown}"}


STEPS: dict[str, Callable[[Path, int, Clock], dict[str, Any]]] = {
    "simulate": simulate,
    "scores": scores,
    "index": index,
    "search": search,
    "audit-scores": audit_scores,
    "audit": audit,
    "report": report,
    "graph": graph,
    "graph-search": graph_search,
}


def table(results: dict[str, dict[str, Any]], works: int) -> str:
    """One row a step, with the ratio of its time to the most it may take, by the clock and by the processor (which
    other work on the machine hardly slows), and of its memory: below 1 is within."""
    lines = [
        "| step | s | processor s | peak GiB | most | ratios: clock, processor, memory | |",
        "|---" * 7 + "|",
    ]
    for step, (what, seconds, gib) in BARS.items():
        if step not in results:
            continue
        measured = results[step]
        most = " and ".join(text for text in (seconds and f"{seconds:g} s", gib and f"{gib:g} GiB") if text)
        ratios = [measured["seconds"] / seconds, measured["processor"] / seconds] if seconds else []
        ratios += [measured["gib"] / gib] if gib else []
        figures = [f"{measured[name]:.2f}" for name in ("seconds", "processor", "gib")]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"| {' | '.join([what, *figures, most or '–', shown or '–', measured.get('note', '')])} |"
        )
    threads = os.environ.get("OMP_NUM_THREADS", "as many as there are cores")
    load = f"load {os.getloadavg()[1]:.1f} over 5 minutes" if hasattr(os, "getloadavg") else ""
    machine = f"{processor()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}, {load}"
    return "\n".join(lines) + f"\n\n{works:,d} works; {machine}.\n"


if __name__ == "__main__":
    main()
