"""Which embedding finds what: mAP and recall of search by artist, style and genre, for each embedding of a run.

    python -m benchmarks.experiments.retrieval run --out retrieval        (half a minute where the features are cached)

Queries are the test works, the database those of training and validation; near-duplicates of a query are left out.
Embeddings: of the neck; of the pooled backbone (means over the map; means and standard deviations; the same
standardised by the training works); of the supervised-contrastive projection, where the run learned one
(``--set contrastive={tasks: [artist, style], weight: 0.2}``); and of noise, which is chance. ``retrieval.md`` in
--out is the table, ``retrieval.json`` has every figure, ``retrieval_TASK.png`` shows which classes are found.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from morelli.collection.collection import Collection
from morelli.console import progress
from morelli.evaluation.search.retrieval import Works, retrieve, split_works
from morelli.files import atomic_write, write_json, write_text
from morelli.jobs.runner import batches_of, features_of
from morelli.prediction.model import Model, load_model
from morelli.report.figures import style
from morelli.report.figures.retrieval import retrieval_figure
from morelli.run import Run

CSLS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--rest-of-test", action="store_true", help="search among the other test works instead"
    )
    options = parser.parse_args()
    model, collection = load_model(options.run), Run(options.run).open_collection()
    table = collection.table
    rows = np.flatnonzero(table["split"].isin(["train", "val", "test"]))
    splits = table["split"].to_numpy()[rows]
    labels = {task: collection.labels(task)[rows] for task in model.vocabularies}
    groups = table["group"].to_numpy()[rows]
    scores: dict[str, dict[str, Any]] = {}
    for name, vectors in embeddings(model, collection, rows, splits == "train").items():
        parts = split_works(Works(vectors, labels, groups), splits, options.rest_of_test)
        scores[name] = retrieve(*parts)
        if name in ("neck", "projection"):
            scores[f"{name}, CSLS"] = retrieve(*parts, csls=CSLS)
    write_json(options.out / "retrieval.json", scores)
    text = table_of(scores)
    write_text(options.out / "retrieval.md", text)
    print(text)
    for task, names in model.vocabularies.items():
        best = max(scores, key=lambda name: scores[name]["tasks"][task]["map"])
        drawn = retrieval_figure(scores[best]["tasks"][task], names, task, f"by the {best}")
        with atomic_write(options.out / f"retrieval_{task}.png") as temporary:
            temporary.write_bytes(style.png(drawn))


@torch.inference_mode()
def embeddings(
    model: Model, collection: Collection, rows: np.ndarray, training: np.ndarray
) -> dict[str, np.ndarray]:
    """Each embedding (N, D) of ``rows``; ``training`` (N,) are those by which one is standardised."""
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in ("neck", "projection", "mean", "std")}
    with progress("reading", len(rows)) as advance:
        for inputs, _ in batches_of(model, collection, rows):
            maps = features_of(model, inputs)
            vectors = model.read(maps)[1]
            parts["neck"].append(vectors)
            if model.network.projection is not None:
                parts["projection"].append(model.network.projection(vectors.to(model.device)).float().cpu())
            deviation, mean = torch.std_mean(maps.float().flatten(2), dim=2)
            parts["mean"].append(mean.cpu())
            parts["std"].append(deviation.cpu())
            advance(len(inputs))
    vectors = {name: torch.cat(blocks).numpy() for name, blocks in parts.items() if blocks}
    both = np.concatenate([vectors["mean"], vectors.pop("std")], axis=1)
    middle, spread = both[training].mean(axis=0), both[training].std(axis=0)
    return {
        **{name: vectors[name] for name in ("neck", "projection") if name in vectors},
        "pooled mean": vectors["mean"],
        "pooled mean + std": both,
        "pooled mean + std, standardised": (both - middle) / np.maximum(spread, 1e-6),
        "chance (noise)": np.random.default_rng(0).normal(size=(len(rows), 64)),
    }


def table_of(scores: dict[str, dict[str, Any]]) -> str:
    """One row an embedding: of each task mAP with its interval, recall@1 and recall@10; and the hubness."""
    tasks = list(next(iter(scores.values()))["tasks"])
    head = [f"{task}: mAP (95 %) · R@1 · R@10" for task in tasks]
    lines = [f"| embedding | {' | '.join(head)} | hubness |", "|---" * (len(tasks) + 2) + "|"]
    for name, score in scores.items():
        cells = []
        for task in tasks:
            one = score["tasks"][task]
            low, high = one["map_ci95"]
            first, ten = one["recall@1"], one["recall@10"]
            cells.append(
                f".{1000 * one['map']:03.0f} ({low:.3f}–{high:.3f}) · {first:.3f} · {ten:.3f}".replace(
                    "0.", "."
                )
            )
        lines.append(f"| {name} | {' | '.join(cells)} | {score['hubness']['skewness']:.2f} |")
    works = ", ".join(f"{task} {one['n']:,d}" for task, one in next(iter(scores.values()))["tasks"].items())
    return "\n".join(lines) + f"\n\nQueries: {works}.\n"


if __name__ == "__main__":
    main()
