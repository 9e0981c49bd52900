"""Runs the recipes of the five public systems on the real paintings, with the weights that are at hand.

    python -m benchmarks.experiments.systems --data collection --out systems    (about 90 minutes on one core)

System D took subsets of the data, for it lets its backbone learn: so does our run of it.

    morelli collect WIKIART --lists LISTS --out subset --subset 4000 --min-works 20
    python -m benchmarks.experiments.systems --data subset --out d --only {style,genre,artist}-efficientnet_b2-gru

ResNet-18 to its third stage stands in for ResNet-50, the whole ResNet-18 and ViT, and MobileNetV2 for the
EfficientNets and VGG-16: their own ImageNet weights need the hub. The stand-in is frozen, so that its features are
computed once and pixels are not augmented, and the neck learns at 1e-3 (system D's at its own rates; its style network
is trained in full, backbone and all). Every other setting is the recipe's. A run that has its scores is not made
again; ``systems.md`` in --out is the table.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.experiments.running import scored, train_and_evaluate
from morelli.jobs.audit import audit

RESNET = "backbone={name: resnet18, stage: 3, grid: %s, weights: [resnet18-to-layer3.safetensors]}"
MOBILENET = (
    "backbone={name: mobilenetv2_100, options: {pad_type: same}, "
    "weights: [mobilenetv2_100-same-padding.safetensors]}"
)
COLOURS = ["image.mean=null", "image.std=null"]  # those of the weights
FROZEN = ["phases.0.train=none", "phases.0.backbone_lr=null", "phases.0.lr=1e-3", "augment={}"]
FROZEN_D = ["phases.0.train=none", "phases.1.train=none", "phases.1.backbone_lr=null", "augment={}"]
FROZEN_ROWCOL = ["phases.1.train=none", "phases.1.backbone_lr=null", "phases.1.decay=1"]
SMALL, WIDE = RESNET % 7, RESNET % "null"

# recipe: (changes, run it starts from, the system's rule for outliers)
RUNS: dict[str, tuple[list[str], str | None, str]] = {
    "artist-resnet50-lstm": ([SMALL, *COLOURS, *FROZEN], None, "entropy"),
    "genre-from-artist": ([SMALL, *COLOURS, *FROZEN], "artist-resnet50-lstm", "entropy"),
    "style-from-artist": ([SMALL, *COLOURS, *FROZEN], "artist-resnet50-lstm", "entropy"),
    "multitask-resnet50-lstm": ([SMALL, *FROZEN], None, "given-label<0.3"),
    "multitask-efficientnet_b0-lstm": ([MOBILENET, *FROZEN], None, "given-label<0.3"),
    "style-resnet50-lstm": ([SMALL, *FROZEN], None, "max-softmax<0.6"),
    "multitask-resnet18-lstm-patch": ([SMALL, *FROZEN], None, "entropy"),
    "multitask-resnet18-lstm-flatten": ([SMALL, *FROZEN], None, "entropy"),
    "multitask-vgg16-lstm": ([MOBILENET, *FROZEN], None, "entropy"),
    "multitask-vit-convlstm": ([WIDE, *FROZEN], None, "entropy"),
    "multitask-rowcol-bigru": (
        [SMALL, "image.size=224", "augment={mixup: 0.2, cutmix: 1.0}", *FROZEN_ROWCOL],
        None,
        "entropy",
    ),
    "style-efficientnet_b2-gru": ([MOBILENET], None, "wrong-and-unsure<0.5"),
    "genre-efficientnet_b2-gru": ([MOBILENET, *FROZEN_D], None, "wrong-and-unsure<0.5"),
    "artist-efficientnet_b2-gru": ([MOBILENET, *FROZEN_D], None, "wrong-and-unsure<0.5"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="some of the recipes")
    options = parser.parse_args()
    for name, (changes, start, rule) in RUNS.items():
        if options.only and name not in options.only:
            continue
        run = options.out / name
        if not scored(run):
            begun = time.perf_counter()
            train_and_evaluate(name, options.data, run, changes, options.out / start if start else None)
            (run / "minutes.txt").write_text(f"{(time.perf_counter() - begun) / 60:.1f}\n")
        audit(run, rule)
        (options.out / "systems.md").write_text(table(options.out))


def table(out: Path) -> str:
    """One row a run: each task's accuracy with its interval and macro-F1, epochs run, minutes."""
    lines = ["| recipe | style | genre | artist | epochs | min |", "|---|---|---|---|---|---|"]
    for name in RUNS:
        if (out / name / "minutes.txt").exists():
            tasks = json.loads((out / name / "scores-test.json").read_text())["tasks"]
            cells = [cell(tasks.get(task)) for task in ("style", "genre", "artist")]
            with (out / name / "metrics.csv").open() as file:
                epochs = sum(1 for _ in csv.DictReader(file))
            minutes = (out / name / "minutes.txt").read_text().strip()
            lines.append(f"| `{name}` | {' | '.join(cells)} | {epochs} | {minutes} |")
    return "\n".join(lines) + "\n"


def cell(score: dict[str, Any] | None) -> str:
    if score is None:
        return "–"
    low, high = (100 * bound for bound in score["accuracy_ci95"])
    return f"{100 * score['accuracy']:.1f} ({low:.1f}–{high:.1f}) / {score['macro_f1']:.3f}"


if __name__ == "__main__":
    main()
