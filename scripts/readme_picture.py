"""Draws docs/images/demo.jpg out of a finished demo: unseen paintings with the labels they were given.

Use, after ``morelli demo --out morelli-demo``:  python scripts/readme_picture.py morelli-demo docs/images/demo.jpg
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
from PIL import Image

from morelli.collection.ledger import Ledger
from morelli.collection.sources.artgan import read_artgan
from morelli.report.figures.style import display_name, figure, png

COLUMNS, SHOWN = 6, 12
TASKS = ("style", "artist", "genre")


def main(demo: Path, out: Path) -> None:
    painted = demo / "unseen"
    truth = read_artgan(painted / "wikiart", painted / "wikiart_csv", "names", Ledger())
    table = pd.read_csv(demo / "predictions.csv").assign(
        file=lambda t: [Path(p).resolve() for p in t["path"]]
    )
    truth = truth.assign(file=[Path(p).resolve() for p in truth["file"]])
    table = table.merge(truth[["file", *TASKS]], on="file", suffixes=("", "_given"))
    table = table.groupby("style_given", sort=True).head(2).head(SHOWN)
    drawn = figure(12, 6.4)
    axes = drawn.subplots(-(-len(table) // COLUMNS), COLUMNS).ravel()
    for panel in axes:
        panel.axis("off")
        panel.set_anchor("N")
    for panel, (_, row) in zip(axes, table.iterrows(), strict=False):
        panel.imshow(Image.open(row["path"]))
        panel.set_title("\n".join(_answer(row, task) for task in TASKS), fontsize=9, loc="left")
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(png(drawn))).convert("RGB").save(out, quality=85)


def _answer(row: pd.Series, task: str) -> str:
    wrong = isinstance(row[f"{task}_given"], str) and row[task] != row[f"{task}_given"]
    return f"{display_name(row[task])} {row[f'{task}_confidence']:.0%}" + (" (no)" if wrong else "")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
