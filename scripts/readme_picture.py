"""Draws docs/images/demo.png out of a finished demo: unseen paintings with the labels they were given.

Use, after ``morelli demo``:  python scripts/readme_picture.py morelli-demo docs/images/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from PIL import Image

from morelli.collection.names import artist_of, folder_class
from morelli.report.style import figure, png, pretty

COLUMNS, SHOWN = 6, 12


def main(demo: Path, out: Path) -> None:
    table = pd.read_csv(demo / "predictions.csv")
    table["style_given"] = [folder_class(Path(p).parent.name) for p in table["path"]]
    table = table.groupby("style_given", sort=True).head(2).head(SHOWN)
    drawn = figure(12, 6.6)
    axes = drawn.subplots(-(-len(table) // COLUMNS), COLUMNS).ravel()
    for panel in axes:
        panel.axis("off")
    for panel, (_, row) in zip(axes, table.iterrows(), strict=False):
        panel.imshow(Image.open(row["path"]))
        right = row["style"] == row["style_given"], row["artist"] == artist_of(row["path"])
        lines = [
            f"{pretty(row['style'])} {row['style_confidence']:.0%}" + ("" if right[0] else " (no)"),
            f"{pretty(row['artist'])} {row['artist_confidence']:.0%}" + ("" if right[1] else " (no)"),
            f"{pretty(row['genre'])} {row['genre_confidence']:.0%}",
        ]
        panel.set_title("\n".join(lines), fontsize=9, loc="left")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(png(drawn))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
