"""Learning curves: scores against the share of the training split that was learned from.

    python -m benchmarks.experiments.learning --data collection --out learning    (10, 30 and 100 %, three seeds)

For each share near-duplicate groups of the training split are drawn at random, by the seed; what is not drawn is in no
split. Validation, test and cached features are those of the collection. In ``--out``: ``learning.md`` and
``learning.png``, test scores as means over the seeds, with their range; ``share-S/seed-N`` are the runs, of which one
that has its scores is not made again. Nothing is refitted, for that would learn from validation works beyond the share.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.experiments.running import save, scored, train_and_evaluate
from morelli.collection.collection import Collection
from morelli.files import atomic_write, write_json

TASKS = ("style", "genre", "artist")
Curves = dict[
    float, list[dict[str, tuple[float, float]]]
]  # share: of each seed, task: accuracy, macro-F1 in per cent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="morelli")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", help="changes to the recipe")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    for seed in options.seeds:
        for share in options.shares:
            folder = options.out / f"share-{share:g}"
            run = folder / f"seed-{seed}"
            if not scored(run):
                part = thinned(options.data, folder / f"collection-{seed}", share, seed)
                train_and_evaluate(
                    options.recipe, part, run, ["training.refit=false", *options.changes, f"seed={seed}"]
                )
            curves = scores(options.out)
            with atomic_write(options.out / "learning.md") as temporary:
                temporary.write_text(table(curves))
            figure(curves, options.out / "learning.png")


def thinned(data: Path, folder: Path, share: float, seed: int) -> Path:
    """The collection with a share of its training groups; images and features are those of ``data``, by a link."""
    collection = Collection.open(data)
    table = collection.table.copy()
    training = table["split"] == "train"
    groups = table.loc[training, "group"].unique()
    drawn = np.random.default_rng(seed).permutation(groups)[: round(share * len(groups))]
    table.loc[training & ~table["group"].isin(drawn), "split"] = "none"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("images", "features"):
        if (data / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to((data / name).resolve(), target_is_directory=True)
    with atomic_write(folder / "collection.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    counts = {str(name): int(count) for name, count in table["split"].value_counts().items()}
    write_json(folder / "collection.json", collection.info | {"splits": counts})
    return folder


def scores(out: Path) -> Curves:
    curves: Curves = {}
    for file in sorted(out.glob("share-*/seed-*/scores-test.json")):
        share = float(file.parent.parent.name.removeprefix("share-"))
        tasks = json.loads(file.read_text())["tasks"]
        one = {
            task: (100 * tasks[task]["accuracy"], 100 * tasks[task]["macro_f1"])
            for task in TASKS
            if task in tasks
        }
        curves.setdefault(share, []).append(one)
    return dict(sorted(curves.items()))


def table(curves: Curves) -> str:
    lines = [
        "| share | " + " | ".join(f"{task}: accuracy (range) / macro-F1" for task in TASKS) + " | seeds |"
    ]
    lines.append("|---|" + "---|" * (len(TASKS) + 1))
    for share, seeds in curves.items():
        cells = []
        for task in TASKS:
            values = np.array([each[task] for each in seeds if task in each])
            spread = f" ({values[:, 0].min():.1f}–{values[:, 0].max():.1f})" if len(values) > 1 else ""
            cells.append(
                f"{values[:, 0].mean():.1f}{spread} / {values[:, 1].mean():.1f}" if len(values) else "–"
            )
        lines.append(f"| {100 * share:g} % | {' | '.join(cells)} | {len(seeds)} |")
    return "\n".join(lines) + "\n"


def figure(curves: Curves, file: Path) -> None:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = drawing.subplots()
    rows = [
        (share, task, each[task][0])
        for share, seeds in curves.items()
        for each in seeds
        for task in TASKS
        if task in each
    ]
    means = pd.DataFrame(rows, columns=["share", "task", "accuracy"]).groupby(["task", "share"])["accuracy"]
    for task, mark in zip(TASKS, "osD", strict=True):
        if task in means.mean().index:
            mean, low, high = (getattr(means, how)()[task] for how in ("mean", "min", "max"))
            shares = 100 * mean.index.to_numpy()
            axes.errorbar(shares, mean, [mean - low, high - mean], marker=mark, capsize=3, label=task)
    axes.set_xscale("log")
    ticks = [100 * share for share in curves]
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    save(drawing, axes, file, "share of the training split", "accuracy on the test split, %")


if __name__ == "__main__":
    main()
