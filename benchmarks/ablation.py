"""What each part of ``recipes/morelli.yaml`` is worth: one member of it, and that with one thing changed at a time.

    python benchmarks/ablation.py --data collection --out ablation                       (three seeds)
    python benchmarks/ablation.py --data collection --out ablation --only "one member" "no MixUp" --seeds 0

Same works, epochs and seeds; options, table and intervals are those of ``ladder.py``. One member is the reference, for
it takes a quarter of the time; the recipe's four are a row of their own. In ``--out``: ``ablation.md``.
"""

from __future__ import annotations

import ladder

ONE = ["neck.members=1", "training.refit=false"]
CHANGED = {
    "painters not learned": ["painters=null"],
    "not mirrored": ["backbone.mirrored=false"],
    "means and deviations alone": ["neck.statistics=[moments]"],
    "covariances of 24 mixtures": ["neck.projections=24"],
    "covariances of 96 mixtures": ["neck.projections=96"],
    "a vector of 512": ["neck.fused=512"],
    "dropout 0.3": ["neck.dropout=0.3"],
    "no MixUp": ["augment.mixup=0"],
    "label smoothing 0.1": ["losses.default.smoothing=0.1"],
    "balanced softmax": ["losses.default.kind=balanced-softmax"],
    "learned task weights": ["task_weights=uncertainty"],
    "averaged weights": ["training.ema=0.995"],
    "ResNet-18 alone": ["backbone.beside=null"],
    "its third stage alone": ["backbone.beside=null", "backbone.stage=3"],
}  # fmt: skip
CHANGES: dict[str, list[str]] = {
    "one member": ONE,
    "the recipe": [],
    "the recipe, before its refit": ["training.refit=false"],
}
CHANGES |= {row: [*ONE, *changes] for row, changes in CHANGED.items()}


if __name__ == "__main__":
    ladder.main(CHANGES, "one member", __doc__ or "", "ablation")
