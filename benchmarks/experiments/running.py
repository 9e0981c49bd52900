"""What the benchmarks that train recipes share: a run that is made once, and a figure that is written whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from morelli.files import atomic_write
from morelli.jobs.evaluate import evaluate
from morelli.jobs.train import train

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scored(run: Path) -> bool:
    """Whether ``run`` has its scores of the test split; one that has is not made again."""
    return (run / "scores-test.json").exists()


def train_and_evaluate(
    recipe: str, data: Path, run: Path, changes: Sequence[str], start: Path | None = None
) -> None:
    """Goes on from a checkpoint where an interrupted call left one."""
    train(Path(recipe), data, run, list(changes), (run / "checkpoints" / "last.ckpt").exists(), start)
    evaluate(run)


def save(drawing: Figure, axes: Axes, file: Path, x: str, y: str) -> None:
    """Names the axes, draws grid and legend, and writes a PNG."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic_write(file) as temporary:
        drawing.savefig(temporary, format="png", dpi=150)
