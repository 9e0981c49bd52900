"""What each part of ``recipes/morelli.yaml`` is worth: one member of it, and that with one thing changed at a time.

    python benchmarks/ablation.py --data collection --out ablation                       (three seeds)
    python benchmarks/ablation.py --data collection --out ablation --only "one member" "no MixUp" --seeds 0

Same works, epochs and seeds; options, table and intervals are those of ``ladder.py``. One member is the reference, for
it takes a quarter of the time; the recipe's four are a row of their own. In ``--out``: ``ablation.md``.
"""

from __future__ import annotations

import ladder

ONE = ["neck.members=1", "training.refit=false"]
CHANGES: dict[str, list[str]] = {
    "one member": ONE,
    "the recipe": [],
    "the recipe, before its refit": ["training.refit=false"],
    "painters not learned": [*ONE, "painters=null"],
    "not mirrored": [*ONE, "backbone.mirrored=false"],
    "means and deviations alone": [*ONE, "neck.statistics=[moments]"],
    "covariances of 24 mixtures": [*ONE, "neck.projections=24"],
    "covariances of 96 mixtures": [*ONE, "neck.projections=96"],
    "a vector of 512": [*ONE, "neck.fused=512"],
    "dropout 0.3": [*ONE, "neck.dropout=0.3"],
    "no MixUp": [*ONE, "augment.mixup=0"],
    "label smoothing 0.1": [*ONE, "losses.default.smoothing=0.1"],
    "balanced softmax": [*ONE, "losses.default.kind=balanced-softmax"],
    "learned task weights": [*ONE, "task_weights=uncertainty"],
    "averaged weights": [*ONE, "training.ema=0.995"],
    "ResNet-18 alone": [*ONE, "backbone.beside=null"],
    "its third stage alone": [*ONE, "backbone.beside=null", "backbone.stage=3"],
}  # fmt: skip


if __name__ == "__main__":
    ladder.main(CHANGES, "one member", __doc__ or "", "ablation")
