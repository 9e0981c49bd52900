"""Records every repair, rejection and note of a collection, by kind, with counts and examples."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from morelli.files import atomic_write, write_json, write_text

REPAIRS = {
    "mojibake": "name was UTF-8 read as Latin-1; decoded",
    "apostrophe": "apostrophe differs between list and disk; matched",
    "name-drift": "accents, spelling of letters or extension differ between list and disk; matched",
    "folder-alias": "folder goes by another name than its class; matched",
    "folder-moved": "found by its file name in another folder; matched",
    "header-line": "list begins with a header line; skipped",
    "odd-separator": "row is parted by a semicolon or a tab; read all the same",
    "blank-line": "blank line in a list; skipped",
    "duplicate-row": "same path and label twice in a list; counted once",
    "contradiction": "one path, two labels of one task; label made unknown",
    "split-disagreement": "train in one task's list, validation in another's; one split chosen",
    "duplicate-leak": "copy of a work of another split; left out of every split",
    "unknown-label": "label says unknown; made unknown",
    "line-break": "class name holds a line break; made a space",
    "rare-class": "class has too few works; label made unknown",
    "cmyk": "CMYK picture; converted to RGB",
    "greyscale": "greyscale picture; converted to RGB",
    "sixteen-bit": "16-bit picture; scaled to 8 bits",
    "palette": "palette picture; converted to RGB",
    "transparency": "transparent picture; laid on white",
    "exif-rotated": "turned upright as its EXIF orientation says",
    "colour-profile": "converted from its own colour profile to sRGB",
    "wrong-extension": "content is of another format than the extension says",
    "other-mode": "unusual pixel format; converted to RGB",
}
REJECTIONS = {
    "missing-file": "listed, but no such file",
    "unlisted-file": "on disk, but in no list",
    "malformed-row": "row is not a path and a class number",
    "unknown-class": "class number is not in the class list",
    "no-label": "no known label in any task",
    "not-chosen": "left out by --only, --subset or --top-artists",
    "empty-file": "file has no content",
    "not-an-image": "content is not an image",
    "damaged": "image breaks off or cannot be decoded",
    "too-large": "more pixels than --max-pixels (a decompression bomb, or a very large scan)",
    "too-small": "smaller than 8 pixels on a side",
    "unreadable": "file cannot be opened",
    "bad-name": "file name is not UTF-8; rename the file",
}
NOTES = {
    "corrected": "label corrected by a person (--corrections)",
    "verified": "label confirmed by a person (--corrections: keep)",
    "split-moved": "artist changed; moved to the split of that artist's works (artist-disjoint)",
    "renamed-column": "column of the source bears the name of one of ours; renamed",
    "odd-class-name": "class name holds '; ', which also joins the classes of a prediction set in CSV",
    "near-duplicate": "looks the same as another work; kept in the same split",
    "two-styles": "same work filed under two styles; both kept, in the same split",
}
_SHEETS = (("repairs", REPAIRS), ("rejections", REJECTIONS), ("notes", NOTES))


@dataclass
class Ledger:
    """``entries`` holds (subject, detail) pairs by kind; kinds are the keys of the three dictionaries above."""

    entries: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    _once: set[tuple[str, str]] = field(default_factory=set)

    def add(self, kind: str, subject: str, detail: str = "") -> None:
        if kind not in REPAIRS and kind not in REJECTIONS and kind not in NOTES:
            raise KeyError(kind)
        self.entries[kind].append((subject, detail))

    def add_once(self, kind: str, subject: str, detail: str = "") -> None:
        """As :meth:`add`, but a subject that several lists name counts once."""
        if (kind, subject) not in self._once:
            self._once.add((kind, subject))
            self.add(kind, subject, detail)

    def count(self, kind: str) -> int:
        return len(self.entries.get(kind, ()))

    def summary(self, examples: int = 3) -> dict[str, dict[str, dict[str, object]]]:
        """``{"repairs": {kind: {"count", "meaning", "examples"}}, "rejections": …, "notes": …}``."""
        return {
            sheet: {
                kind: {
                    "count": self.count(kind),
                    "meaning": meaning,
                    "examples": [f"{s} ({d})" if d else s for s, d in self.entries[kind][:examples]],
                }
                for kind, meaning in kinds.items()
                if self.count(kind)
            }
            for sheet, kinds in _SHEETS
        }

    def lines(self) -> list[str]:
        """The counts with an example of each, as a person reads them."""
        found = []
        for sheet, kinds in self.summary(examples=1).items():
            found += [sheet.capitalize()] if kinds else []
            for kind, row in kinds.items():
                found += [
                    f"{row['count']:>9,}  {kind}: {row['meaning']}",
                    f"{'':>11}for example {row['examples'][0]}",  # type: ignore[index]
                ]
        return found

    def write(self, folder: Path) -> None:
        """``report.json`` and ``report.md`` (counts and examples) and ``ledger.csv`` (every single entry)."""
        import pandas as pd  # here: predict wants the kinds alone

        summary = self.summary()
        write_json(folder / "report.json", summary)
        write_text(folder / "report.md", _markdown(summary))
        rows = [(kind, s, d) for kind, entries in self.entries.items() for s, d in entries]
        with atomic_write(folder / "ledger.csv") as temporary:
            pd.DataFrame(rows, columns=["kind", "subject", "detail"]).to_csv(temporary, index=False)


def _markdown(summary: dict[str, dict[str, dict[str, object]]]) -> str:
    lines = ["# What was repaired, left out and noticed", ""]
    for sheet, kinds in summary.items():
        lines += [f"## {sheet.capitalize()}", ""]
        lines += (
            ["Nothing.", ""] if not kinds else ["| kind | count | meaning | examples |", "|---|---:|---|---|"]
        )
        for kind, row in kinds.items():
            samples = "<br>".join(f"`{e}`" for e in row["examples"])  # type: ignore[attr-defined]
            lines.append(f"| {kind} | {row['count']} | {row['meaning']} | {samples} |")
        lines.append("")
    return "\n".join(lines)
