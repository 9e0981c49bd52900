"""Plants the real data set's defects in a painted one, and keeps the truth about each.

A work suffers at most one defect (but the folder alias, which is a whole folder's). Nothing is written here:
the gallery is changed, and the workshop paints and writes it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from morelli.synthetic.damage import DAMAGES
from morelli.synthetic.lists import CLASSES, Row, rows_of
from morelli.synthetic.planning import Work
from morelli.synthetic.world import ARTISTS, FOLDERS, STYLES

LEAST_WORKS = 60
UNKNOWN_LABEL = 99
_ACCENTS = ("au-café", "grüne-wiese", "björkö", "señorita", "garçon", "fête-d-été")


@dataclass
class Gallery:
    """What will stand on the disk (path → work), in the lists, damaged (path → kind), and the truth."""

    works: list[Work]
    rng: np.random.Generator
    files: dict[str, Work] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    truth: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lines: list[tuple[Row, dict[str, Any]]] = field(default_factory=list)
    waiting: list[Work] = field(default_factory=list)

    def take(self, fits: Callable[[Work], bool] = lambda work: True) -> Work:
        """A work that nothing was done to yet."""
        work = next(w for w in self.waiting if fits(w))
        self.waiting.remove(work)
        return work

    def record(self, kind: str, path: str, **details: Any) -> dict[str, Any]:
        entry = {"path": path, **details}
        self.truth.setdefault(kind, []).append(entry)
        return entry

    def of(self, work: Work, task: str | None = None) -> list[Row]:
        return [row for row in self.rows if row.path == work.path and task in (None, row.task)]

    def insert(self, row: Row) -> None:
        """Puts a row somewhere in the lists."""
        self.rows.insert(int(self.rng.integers(len(self.rows) + 1)), row)

    def rename(self, work: Work, listed: str, disk: str) -> None:
        """Changes the name of a work in the lists and on the disk."""
        for row in self.of(work):
            row.path = listed
        del self.files[work.path]
        self.files[disk] = work

    def free(self, path: str) -> str:
        """The path, with a number where it is taken."""
        stem, number = path.removesuffix(".jpg"), 1
        known = {row.path for row in self.rows}
        while path in self.files or path in known:
            number += 1
            path = f"{stem}-version-{number}.jpg"
        return path


def hang(works: list[Work], seed: int) -> Gallery:
    """A gallery without defects."""
    gallery = Gallery(works, np.random.default_rng([seed, 0, 2]))
    gallery.files = {work.path: work for work in works}
    gallery.rows = rows_of(works)
    return gallery


def plant(gallery: Gallery) -> None:
    """Plants every kind of defect, 1 + works // 200 of each (3 bombs at most), and mislabels 4 % of works."""
    gallery.waiting = [gallery.works[k] for k in gallery.rng.permutation(len(gallery.works))]
    count = 1 + len(gallery.works) // 200
    for k in range(max(3, round(0.04 * len(gallery.works)))):
        _mislabel(gallery, ("style", "genre", "artist")[k % 3])
    for k in range(max(3, count)):
        _name_drift(gallery, k)
    for k in range(max(2, count)):
        _apostrophe(gallery, k)
    for k in range(count):
        _mojibake(gallery, k)
        _presence(gallery)
        _labels(gallery)
        _lines(gallery, k)
        _two_styles(gallery)
        _near_duplicate(gallery)
        for kind in DAMAGES:
            if kind != "near_duplicate" and (kind != "bomb" or k < 3):
                work = gallery.take()
                gallery.damaged[work.path] = kind
                gallery.record(kind, work.path)
    aliased = sum(path.startswith(FOLDERS["Art_Nouveau"] + "/") for path in gallery.files)
    gallery.record("folder_alias", FOLDERS["Art_Nouveau"], **{"class": "Art_Nouveau", "files": aliased})


def mojibake(name: str) -> str:
    """UTF-8 read as Latin-1 and lower-cased, as the official lists hold it.

    >>> mojibake("grégoire")
    'grã©goire'
    """
    return name.encode().decode("latin-1").lower()


def _with(work: Work, word: str) -> str:
    """The work's path with a word added to its title."""
    return work.path.removesuffix(".jpg") + f"-{word}.jpg"


def _mojibake(g: Gallery, k: int) -> None:
    for kind in ("mojibake", "mojibake_on_disk"):
        work = g.take()
        folder, _, name = _with(work, _ACCENTS[k % len(_ACCENTS)]).partition("/")
        proper, broken = f"{folder}/{name}", f"{folder}/{mojibake(name)}"
        listed, disk = (broken, proper) if kind == "mojibake" else (proper, broken)
        g.rename(work, listed, disk)
        g.record(kind, listed, disk=disk)


def _apostrophe(g: Gallery, k: int) -> None:
    work = g.take()
    listed = _with(work, "soir-d'automne")
    disk = listed.replace("'", ("", "\u2019")[k % 2])
    g.rename(work, listed, disk)
    g.record("apostrophe", listed, disk=disk)


def _name_drift(g: Gallery, k: int) -> None:
    work = g.take()
    how = ("letters lost", "jpeg", "NFD")[k % 3]
    listed = _with(work, "plain" if how == "jpeg" else _ACCENTS[k % len(_ACCENTS)])
    disk = {
        "letters lost": listed.encode("ascii", "ignore").decode(),
        "jpeg": listed.removesuffix("jpg") + "jpeg",
        "NFD": unicodedata.normalize("NFD", listed),
    }[how]
    g.rename(work, listed, disk)
    g.record("name_drift", listed, disk=disk, how=how)


def _presence(g: Gallery) -> None:
    missing, unlisted = g.take(), g.take()
    del g.files[missing.path]
    g.record("missing_file", missing.path)
    g.rows = [row for row in g.rows if row.path != unlisted.path]
    g.record("unlisted_file", unlisted.path)


def _labelled(work: Work) -> bool:
    return work.labelled


def _other(g: Gallery, task: str, label: int) -> int:
    """Another label of the task, at random."""
    count = len(CLASSES[task])
    return int((label + g.rng.integers(1, count)) % count)


def _labels(g: Gallery) -> None:
    """A contradiction, a split that differs between tasks, a row twice, and a label without a class."""
    work = g.take(_labelled)
    row = g.of(work, "genre")[0]
    g.insert(replace(row, label=_other(g, "genre", row.label)))
    labels = sorted(r.label for r in g.of(work, "genre"))
    g.record("contradiction", work.path, task="genre", labels=labels)

    work = g.take(_labelled)
    g.of(work, "genre")[0].split = "train" if work.split == "val" else "val"
    splits = {row.task: row.split for row in g.of(work)}
    g.record("split_disagreement", work.path, splits=splits)

    work = g.take()
    g.insert(replace(g.of(work, "style")[0]))
    g.record("duplicate_row", work.path, task="style")

    work = g.take(_labelled)
    g.of(work, "genre")[0].label = UNKNOWN_LABEL
    g.record("unknown_class", work.path, task="genre", label=UNKNOWN_LABEL)


def _lines(g: Gallery, k: int) -> None:
    """A genre row that lost its form, and an empty line; their line numbers are filled in when written."""
    work = g.take(_labelled)
    row = g.of(work, "genre")[0]
    row.text = (work.path, f"{work.path};{row.label}", f"{work.path},{work.genre}")[k % 3]
    g.lines.append((row, g.record("malformed_row", work.path, file=row.file, text=row.text)))
    blank = Row("", "style", ("train", "val")[k % 2], -1, text="")
    g.insert(blank)
    g.lines.append((blank, g.record("blank_line", blank.file, file=blank.file)))


def _two_styles(g: Gallery) -> None:
    """The same file under the same name in a second style's folder, listed there with that style."""
    work = g.take(lambda w: all(f"{FOLDERS[s]}/{w.name}" not in g.files for s in STYLES if s != w.style))
    row = g.of(work, "style")[0]
    label = _other(g, "style", row.label)
    path = f"{FOLDERS[CLASSES['style'][label]]}/{work.name}"
    g.files[path] = work
    g.insert(Row(path, "style", work.split, label))
    g.record("two_styles", work.path, other=path, labels=[row.label, label])


def _near_duplicate(g: Gallery) -> None:
    """A worse copy of another work, under another title, on the other side of the split."""
    work = g.take()
    split = "train" if work.split == "val" else "val"
    path = g.free(_with(work, "replica"))
    for row in g.of(work):
        g.insert(replace(row, path=path, split=split))
    g.files[path] = work
    g.damaged[path] = "near_duplicate"
    g.record("near_duplicate", path, of=work.path, split=split)


def _mislabel(g: Gallery, task: str) -> None:
    """Gives a work a wrong style (its folder too), genre, or artist (its file name too)."""
    work = g.take(_labelled)
    if task == "genre":
        row = g.of(work, "genre")[0]
        row.label = _other(g, "genre", row.label)
        g.record("mislabelled", work.path, task=task, given=CLASSES["genre"][row.label], true=work.genre)
        return
    if task == "style":
        given = CLASSES["style"][_other(g, "style", CLASSES["style"].index(work.style))]
        wrong, names = replace(work, style=given), (given, work.style)
    else:
        artist = int((work.artist + g.rng.integers(1, len(ARTISTS))) % len(ARTISTS))
        wrong, names = replace(work, artist=artist), (ARTISTS[artist].slug, ARTISTS[work.artist].slug)
    path = g.free(wrong.path)
    g.rows = [row for row in g.rows if row.path != work.path]
    for row in rows_of([wrong]):
        g.insert(replace(row, path=path))
    del g.files[work.path]
    g.files[path] = work
    g.record("mislabelled", path, task=task, given=names[0], true=names[1])
