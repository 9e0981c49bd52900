"""What each part of ``recipes/morelli.yaml`` is worth: one member of it, and that with one thing changed at a time.

    python -m benchmarks.experiments.ablation --data collection --out ablation    (three seeds)
    python -m benchmarks.experiments.ablation --data collection --out ablation --only "one member" "no MixUp" --seeds 0

Same works, epochs and seeds; options, table and intervals are those of ``ladder.py``. One member is the reference, for
it takes a quarter of the time; the recipe's four are a row of their own. In ``--out``: ``ablation.md``.
"""

from __future__ import annotations

from benchmarks.experiments import ladder

FIRST = "backbone={name: resnet18, stage: %s, weights: [resnet18-to-layer3.safetensors, pretrained]}"
ONE = ["neck.members=1", "training.refit=false"]
MIXTURES = ["features.components=null", ladder.MIXTURES, "neck.members=1", "augment.mixup=0.4"]
CHANGED = {
    "no artist prior": ["artist_prior=null"],
    "not mirrored": ["features.flip_average=false"],
    "512 components": ["features.components=512"],
    "1,024 components": ["features.components=1024"],
    "48 learned mixtures for components": MIXTURES,
    "means and deviations alone, as they are": [
        *MIXTURES, "neck={kind: statistics, statistics: [moments], fused: 256, dropout: 0.5}"
    ],
    "a vector of 256": ["neck.fused=256"],
    "a vector of 1,024": ["neck.fused=1024"],
    "dropout 0.3": ["neck.dropout=0.3"],
    "no dropout of components": ["neck.input_dropout=0"],
    "no MixUp": ["augment.mixup=0"],
    "MixUp 0.4": ["augment.mixup=0.4"],
    "label smoothing 0.1": ["losses.default.smoothing=0.1"],
    "balanced softmax": ["losses.default.kind=balanced-softmax"],
    "learned task weights": ["task_weights=uncertainty"],
    "averaged weights": ["training.ema=0.995"],
    "ResNet-18 alone": [FIRST % "[1, 2, 3]"],
    "its third stage alone": [FIRST % 3],
}  # fmt: skip
CHANGES: dict[str, list[str]] = {
    "one member": ONE,
    "the recipe": [],
    "the recipe, before its refit": ["training.refit=false"],
}
CHANGES |= {row: [*ONE, *changes] for row, changes in CHANGED.items()}


if __name__ == "__main__":
    ladder.main(CHANGES, "one member", __doc__ or "", "ablation")
