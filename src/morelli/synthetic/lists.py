"""The official lists in the ArtGAN dialects: style and genre with CRLF and ``path,label``; artist with LF, a
header, an empty line and ``path,,label``; class files with ``0 Name`` a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morelli.synthetic.planning import Work
from morelli.synthetic.world import GENRES, STYLES, official_artists

FOLDER = "wikiart_csv"
CLASSES = {
    "style": sorted(STYLES),
    "genre": sorted(GENRES),
    "artist": [artist.name for artist in official_artists()],
}
SPLITS = ("train", "val")
# the space before the end of the line stands in the train list only
_HEADERS = {
    "train": "(Path to image),, (Groundtruth class) \n\n",
    "val": "(Path to image),, (Groundtruth class)\n\n",
}


@dataclass(eq=False)
class Row:
    """One line of one list; ``text``, where given, is written instead of path and label."""

    path: str
    task: str
    split: str
    label: int
    text: str | None = None

    @property
    def file(self) -> str:
        return f"{self.task}_{self.split}.csv"

    @property
    def line(self) -> str:
        if self.text is not None:
            return self.text
        return f"{self.path},,{self.label}" if self.task == "artist" else f"{self.path},{self.label}"


def rows_of(works: list[Work]) -> list[Row]:
    """The correct rows of all lists, in the order of the works."""
    rows = []
    for work in works:
        rows.append(Row(work.path, "style", work.split, CLASSES["style"].index(work.style)))
        if work.labelled:
            rows.append(Row(work.path, "genre", work.split, CLASSES["genre"].index(work.genre)))
        if work.official:
            rows.append(Row(work.path, "artist", work.split, work.artist))
    return rows


def write(rows: list[Row], out: Path) -> dict[Row, int]:
    """Writes the six lists and three class files; gives the line (from 1) on which each row stands."""
    folder = out / FOLDER
    folder.mkdir()
    lines: dict[Row, int] = {}
    for task, names in CLASSES.items():
        text = "".join(f"{k} {name}\n" for k, name in enumerate(names))
        (folder / f"{task}_class.txt").write_bytes(text.encode())
        for split in SPLITS:
            mine = [row for row in rows if row.task == task and row.split == split]
            header, end = (_HEADERS[split], "\n") if task == "artist" else ("", "\r\n")
            first = 1 + header.count("\n")
            lines.update({row: first + k for k, row in enumerate(mine)})
            body = header + "".join(row.line + end for row in mine)
            (folder / f"{task}_{split}.csv").write_bytes(body.encode())
    return lines
