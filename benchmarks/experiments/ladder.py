"""The ladder: from no pixels to `recipes/morelli.yaml`, same works, epochs and seeds, each rung against ours.

    python -m benchmarks.experiments.ladder --data collection --out ladder    (three seeds)
    python -m benchmarks.experiments.ladder --data collection --out ladder --only "LSTM, last state" --seeds 0

The rungs read a frozen ImageNet ResNet-18's third stage, averaged to 7 × 7 tokens but where noted; ours is the recipe.
All learn for ``--epochs`` at the recipe's rate, with MixUp of 0.4, ours of 0.2; ours is compared as it was before its
refit, which learns from more works than the others have. A run that has its scores is not made again. In ``--out``:
``ladder.md``, the table of the test split; ``RUNG/seed-N``, the runs.

Scores are means over the seeds. Intervals are 95 %, by bootstrap over works (1,000 draws), of the mean score and of its
difference to ours on the same works; they say what other works would change, not other seeds, whose range is given
beside.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.experiments.running import scored, train_and_evaluate
from morelli.evaluation.predictions import read
from morelli.evaluation.scores.metrics import count_answers, per_class
from morelli.files import atomic_write

THIRD = "backbone={name: resnet18, stage: 3, grid: %s, weights: [resnet18-to-layer3.safetensors, pretrained]}"
SMALL, WHOLE = THIRD % 7, THIRD % "null"
RUNGS: dict[str, list[str]] = {
    "mean, linear": [SMALL, "neck={kind: mean}"],
    "mean and deviation, one hidden layer": [WHOLE, "neck={kind: statistics, statistics: [moments], dropout: 0.5}"],
    "attention pooling": [SMALL, "neck={kind: attention}"],
    "LSTM, last state": [SMALL, "neck={kind: lstm, width: 256, dropout: 0.3}"],
    "two-way LSTM, mean of states": [
        SMALL, "neck={kind: lstm, width: 256, bidirectional: true, pool: mean, dropout: 0.3}"
    ],
    "two-way minGRU, mean of states": [
        SMALL, "neck={kind: mingru, width: 256, bidirectional: true, pool: mean, dropout: 0.3}"
    ],
    "row and column GRU, attention": [SMALL, "neck={kind: rowcol, width: 128, dropout: 0.5}"],
    "the same, fused with mean and deviation": [
        SMALL, "neck={kind: rowcol, width: 128, statistics: [moments], dropout: 0.5}"
    ],
    "covariances of 64 mixtures, one hidden layer": [
        WHOLE, "neck={kind: statistics, statistics: [moments, gram], dropout: 0.5}"
    ],
    "the same averaged to 7 × 7": [
        SMALL, "neck={kind: statistics, statistics: [moments, gram], dropout: 0.5}"
    ],
    "that, fused with a row and column GRU": [
        SMALL, "neck={kind: rowcol, width: 128, statistics: [moments, gram], dropout: 0.5}"
    ],
}  # fmt: skip
ALIKE = ["augment.mixup=0.4", "training.refit=false"]
RUNGS = {rung: [*changes, "features={}", "artist_prior=null", *ALIKE] for rung, changes in RUNGS.items()}
MIXTURES = "neck={kind: statistics, statistics: [moments, gram], projections: 48, fused: 256, members: 4, dropout: 0.5}"
RUNGS |= {
    "ours with 48 learned mixtures for components": ["features.components=null", MIXTURES, *ALIKE],
    "ours, no artist prior": ["artist_prior=null", "training.refit=false"],
    "ours, before its refit": ["training.refit=false"],
    "ours": [],
}
TASKS = ("style", "genre", "artist")
Answers = tuple[NDArray[np.int64], NDArray[np.int64]]  # labels (N,), answers (seeds, N)


def main(
    rungs: dict[str, list[str]] = RUNGS,
    reference: str = "ours, before its refit",
    about: str = __doc__ or "",
    name: str = "ladder",
) -> None:
    """The command line: ``rungs``, {name: changes to the recipe}, each against ``reference``; writes ``name.md``."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--only", nargs="*", choices=list(rungs), help="some of the rungs")
    options = parser.parse_args()
    for seed in options.seeds:
        for rung in options.only or rungs:
            run = folder_of(options.out, rung) / f"seed-{seed}"
            if not scored(run):
                changes = [*rungs[rung], f"phases.0.epochs={options.epochs}", f"seed={seed}"]
                train_and_evaluate("morelli", options.data, run, changes)
            with atomic_write(options.out / f"{name}.md") as temporary:
                temporary.write_text(table(options.out, rungs, reference))


def folder_of(out: Path, rung: str) -> Path:
    return out / re.sub(r"\W+", "-", rung)


def runs_of(out: Path, rung: str) -> list[Path]:
    return sorted(file.parent for file in folder_of(out, rung).glob("seed-*/scores-test.json"))


def answers_of(runs: list[Path], task: str) -> Answers:
    """Of the works whose label is known."""
    parts = [read(run / "predictions-test.parquet").tasks[task] for run in runs]
    known = parts[0].known
    return parts[0].labels[known], np.stack([part.predicted[known] for part in parts])


def scores(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy and macro-F1, each the mean over seeds, in per cent."""
    classes = int(max(labels.max(), answers.max())) + 1
    f1 = [per_class(count_answers(labels, each, classes)).macro("f1") for each in answers]
    return 100 * float(np.mean(answers == labels)), 100 * float(np.mean(f1))


def drawn(answers: Answers, other: Answers | None, draws: int = 1000) -> NDArray[np.float64]:
    """(2, 2): low and high of accuracy and macro-F1, or of the differences ours − rung."""
    labels, own = answers
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(draws):
        places = rng.integers(len(labels), size=len(labels))
        drawn_scores = np.array(scores(labels[places], own[:, places]))
        if other is not None:
            drawn_scores = np.array(scores(labels[places], other[1][:, places])) - drawn_scores
        resampled.append(drawn_scores)
    return np.percentile(resampled, [2.5, 97.5], axis=0)


def table(out: Path, rungs: Iterable[str], reference: str) -> str:
    ours = runs_of(out, reference)
    lines = [
        "| rung | "
        + " | ".join(f"{task}: accuracy (95 %) / macro-F1" for task in TASKS)
        + " | parameters | s an epoch | seeds |",
        "|---|" + "---|" * (len(TASKS) + 3),
    ]
    lines += floors(ours or next((runs_of(out, r) for r in rungs if runs_of(out, r)), []))
    for rung in rungs:
        runs = runs_of(out, rung)
        if runs:
            cells = [cell(answers_of(runs, task)) for task in TASKS]
            lines.append(f"| {rung} | {' | '.join(cells)} | {cost(runs)} | {len(runs)} |")
    if ours:
        lines += ["", f"| {reference} minus | " + " | ".join(TASKS) + " |", "|---|" + "---|" * len(TASKS)]
        for rung in rungs:
            runs = runs_of(out, rung)
            if rung != reference and runs:
                cells = [difference(answers_of(runs, task), answers_of(ours, task)) for task in TASKS]
                lines.append(f"| {rung} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def floors(runs: list[Path]) -> list[str]:
    """What needs no pixels, as any run's scores have it."""
    if not runs:
        return []
    tasks: dict[str, Any] = json.loads((runs[0] / "scores-test.json").read_text())["tasks"]
    lines = []
    for name, key in (
        ("the most frequent class", "majority"),
        ("the artist's most frequent class", "artist_oracle"),
    ):
        values = [tasks[task]["baselines"][key] for task in TASKS]
        cells = ["–" if value is None else f"{100 * value:.1f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} | 0 | – | – |")
    return lines


def cell(answers: Answers) -> str:
    accuracy, f1 = scores(*answers)
    (low, _), (high, _) = drawn(answers, None)
    each = [100 * float(np.mean(row == answers[0])) for row in answers[1]]
    seeds = f", seeds {min(each):.1f}–{max(each):.1f}" if len(each) > 1 else ""
    return f"{accuracy:.1f} ({low:.1f}–{high:.1f}{seeds}) / {f1:.1f}"


def difference(rung: Answers, ours: Answers) -> str:
    if len(rung[0]) != len(ours[0]) or (rung[0] != ours[0]).any():
        raise SystemExit("the runs are of different collections or labels; begin in another --out")
    own, other = scores(*ours), scores(*rung)
    low, high = drawn(rung, ours)
    return (
        f"{own[0] - other[0]:+.1f} ({low[0]:+.1f}, {high[0]:+.1f}) / "
        f"{own[1] - other[1]:+.1f} ({low[1]:+.1f}, {high[1]:+.1f})"
    )


def cost(runs: list[Path]) -> str:
    """Parameters that learn, in thousands, and seconds an epoch."""
    facts = json.loads((runs[0] / "model.json").read_text())["architecture"]
    learning = facts["neck"]["parameters"] + sum(head["parameters"] for head in facts["heads"].values())
    seconds = np.mean([pd.read_csv(run / "metrics.csv")["seconds"].mean() for run in runs])
    return f"{learning / 1e3:,.0f} k | {seconds:.0f}"


if __name__ == "__main__":
    main()
