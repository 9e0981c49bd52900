"""Figures find fonts for scripts that their own font lacks, or say once which package has one."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import matplotlib.text
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image

from morelli.evaluation.predictions import TaskPredictions
from morelli.report.figures import fonts, style
from morelli.report.figures.gallery import Tile, gallery_figure
from morelli.report.figures.scores import confusion_figure
from morelli.report.figures.style import styled

NAMES = {
    "Chinese": "印象派",
    "Japanese": "キュビスム",
    "Korean": "인상주의",
    "Arabic": "المدرسة الانطباعية",
    "Hebrew": "אימפרסיוניזם",
    "Thai": "ลัทธิประทับใจ",
    "Devanagari": "प्रभाववाद",
    "Tamil": "உணர்வுப்பதிவுவாதம்",
    "Cyrillic": "Импрессионизм",
}


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is said, in a process that has drawn nothing yet; matplotlib's list of fonts is as before afterwards."""
    lines: list[str] = []
    monkeypatch.setattr(fonts, "say", lines.append)
    monkeypatch.setattr(fonts, "_named", set())
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    forget()
    yield lines
    forget()


def forget() -> None:
    for cached in (fonts.families_for, fonts._system_fonts, fonts._register, style.text_width):
        cached.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


def task_of(names: list[str]) -> TaskPredictions:
    labels = np.arange(30, dtype=np.int32) % len(names)
    return TaskPredictions(names, labels, np.eye(len(names), dtype=np.float32)[labels])


def texts_of(figure: Figure, name: str) -> list[matplotlib.text.Text]:
    found = [text for text in figure.findobj(matplotlib.text.Text) if name in text.get_text()]  # type: ignore[attr-defined]
    assert found, f"{name} is not in the figure"
    return found  # type: ignore[return-value]


def has(text: matplotlib.text.Text, letter: str) -> bool:
    """Whether one of the fonts that matplotlib takes for a text has a letter."""
    files = font_manager.fontManager._find_fonts_by_props(text.get_fontproperties())
    return any(FT2Font(file).get_char_index(ord(letter)) for file in files)


def square_font(folder: Path, letters: str, family: str = "Squares") -> str:
    """A font whose letters are black squares of one em."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    glyphs = [".notdef", *(f"g{ord(letter)}" for letter in letters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(letter): f"g{ord(letter)}" for letter in letters})
    builder.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000, usWinDescent=0)
    builder.setupPost()
    file = folder / f"{family}.ttf"
    builder.save(str(file))
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize("script", NAMES)
def test_every_letter_of_a_class_has_a_font_or_a_package_is_named_once(script: str, said: list[str]) -> None:
    name = NAMES[script]
    for _ in range(2):
        figure = confusion_figure(task_of([name, "Cubism"]), "t")
        png = style.png(figure)  # pytest turns a warning into an error
    assert png.startswith(b"\x89PNG")
    texts = texts_of(figure, name)
    letters = [letter for letter in name if unicodedata.category(letter)[0] != "Z"]
    complete = all(has(text, letter) for text in texts for letter in letters)
    assert complete == (not said) and len(said) <= 1
    if said:
        package = "fonts-noto-cjk" if script in ("Chinese", "Japanese", "Korean") else "fonts-noto-core"
        assert package in said[0] and "Fedora" in said[0] and name.split()[0] in said[0]


@pytest.mark.slow
def test_without_a_font_each_package_is_named_once_and_no_letter_warns(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    tiles = [Tile(None, (name, f"style: {name}, 87\u00a0%")) for name in NAMES.values()]
    style.jpeg(gallery_figure(tiles, "印象派"))
    style.png(confusion_figure(task_of([*NAMES.values()]), "ลัทธิประทับใจ"))
    assert len(said) == 2
    assert sorted("fonts-noto-cjk" in line for line in said) == [False, True]
    assert any("fonts-noto-core" in line for line in said)


def test_a_font_installed_since_matplotlib_first_started_is_used(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [square_font(tmp_path, "印象派")])

    @styled
    def drawn() -> Figure:
        figure = style.figure(3, 1)
        figure.text(0.1, 0.4, "印象派", fontsize=36)
        return figure

    with Image.open(io.BytesIO(style.png(drawn()))) as image:
        dark = np.asarray(image.convert("L")) < 100
    side = 36 / 72 * style.DPI
    assert dark.sum() == pytest.approx(3 * side**2, rel=0.05)  # three squares, and not three boxes
    assert not said


def test_the_fonts_that_a_text_needs_together_are_all_used(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [square_font(tmp_path, "印象"), square_font(tmp_path, "派", "Other squares")]
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [*files, str(tmp_path / "broken.ttf")])
    assert fonts.families_for("Art 印象派") == ("DejaVu Sans", "Squares", "Other squares")
    assert fonts.families_for("Art Nouveau") == ("DejaVu Sans",)
    assert not said


def test_a_font_of_boxes_for_every_letter_is_no_font_for_them(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        font_manager, "findSystemFonts", lambda: [square_font(tmp_path, "印象派", "LastResort")]
    )
    assert fonts.families_for("印象派") == ("DejaVu Sans",)
    assert len(said) == 1


def test_long_chinese_names_break_into_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [square_font(tmp_path, "印象派")])
    lines = style.wrap("印象派" * 4, 7 / 72 * 8, 8)  # seven letters of 8 points
    assert "".join(lines) == "印象派" * 4 and [len(line) for line in lines] == [7, 5]


def test_a_number_after_a_hebrew_name_stays_after_it() -> None:
    """In the order of the Unicode bidirectional algorithm a digit after a Hebrew word would go to its left."""
    line = f"style: {style.display_name('אימפרסיוניזם')}, 87 %"
    before = line[: line.index("8")].rstrip(" ,")
    assert unicodedata.bidirectional(before[-1]) == "L"
    assert style.display_name("Art_Nouveau") == "Art Nouveau"


@pytest.mark.slow
def test_combining_marks_are_drawn_without_a_font_of_their_own(said: list[str]) -> None:
    style.png(confusion_figure(task_of(["a\u0301\u200d\ufe0f", "b\x07"]), "t"))
    assert not said
