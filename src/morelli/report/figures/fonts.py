"""Fonts for scripts that matplotlib's own font lacks: those of the system are used where they have the letters.

Matplotlib takes each letter from the first font of a list that has it, joins Arabic letters and sets Arabic and Hebrew
from right to left (since 3.11, by libraqm).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.ft2font import FT2Font, StyleFlags
from matplotlib.text import Text
from numpy.typing import NDArray

from morelli.console import say

DEFAULT = "DejaVu Sans"  # comes with matplotlib
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")
_PACKAGES = {  # on Debian and Ubuntu, on Fedora
    True: ("fonts-noto-cjk", "google-noto-sans-cjk-fonts"),
    False: ("fonts-noto-core", "google-noto-fonts-all"),
}
_BOXES = ("last resort", "lastresort", "adobe blank", "unicode bmp fallback")  # have every letter, as a box
_named: set[bool] = set()  # the kinds of script for which a package was named


@dataclass(frozen=True)
class SystemFont:
    """A font file, its family, and the code points of its letters in order."""

    file: str
    family: str
    letters: NDArray[np.int64]


def use_fonts(drawn: Figure) -> None:
    """Gives each text of a figure the fonts that it needs."""
    for text in drawn.findobj(Text):
        assert isinstance(text, Text)
        families = families_for(text.get_text())
        if len(families) > 1:
            text.set_fontfamily(list(families))


@lru_cache(4096)
def families_for(text: str) -> tuple[str, ...]:
    """Font families that together have the letters of ``text``: the default, then those of the system that have what
    it lacks. Where none has a letter, one sentence names the package to install, once a process."""
    missing, families = lacking(text), [DEFAULT]
    while len(missing):
        best = max(_system_fonts(), key=lambda font: np.isin(missing, font.letters).sum(), default=None)
        if best is None or not np.isin(missing, best.letters).any():
            _name_package(text, missing)
            break
        _register(best.family)
        families.append(best.family)
        missing = missing[~np.isin(missing, best.letters)]
    return tuple(families)


def lacking(text: str) -> NDArray[np.int64]:
    """The code points of ``text`` that are to be seen and that the default font lacks."""
    seen = [
        letter for letter in set(text) - _default_letters() if unicodedata.category(letter)[0] not in "CZ"
    ]
    return np.array(sorted(map(ord, seen)), dtype=np.int64)


@cache
def _default_letters() -> frozenset[str]:
    """Of the default font, plain and bold."""
    faces = (FontProperties(family=DEFAULT, weight=weight) for weight in ("normal", "bold"))
    plain, bold = (set(FT2Font(font_manager.findfont(face)).get_charmap()) for face in faces)
    return frozenset(map(chr, plain & bold))


@cache
def _system_fonts() -> list[SystemFont]:
    """Plain fonts first, sans-serif before serif and monospaced: of two that have the same letters the first is taken.

    The files are sought anew, for matplotlib remembers those of its first start.
    """
    fonts = []
    for file in font_manager.findSystemFonts():
        try:
            face = FT2Font(file)
        except (OSError, RuntimeError, ValueError):
            continue  # a damaged font
        family = face.family_name
        if not face.scalable or any(name in family.lower() for name in _BOXES):
            continue
        letters = np.array(sorted(face.get_charmap()), dtype=np.int64)
        slanted = bool(face.style_flags & (StyleFlags.ITALIC | StyleFlags.BOLD))
        other = any(word in family for word in ("Serif", "Mono", "Nastaliq", "Looped", "Display"))
        plain = face.style_name in ("Regular", "Book", "Roman", "Normal")
        order = (slanted, not plain, other, "Sans" not in family, len(family), family, file)
        fonts.append((order, SystemFont(file, family, letters)))
    return [font for _, font in sorted(fonts, key=lambda pair: pair[0])]


@cache
def _register(family: str) -> None:
    """Makes all files of a family known to matplotlib, the bold one among them."""
    there = {entry.fname for entry in fontManager.ttflist}
    for font in _system_fonts():
        if font.family == family and font.file not in there:
            fontManager.addfont(font.file)


def _name_package(text: str, missing: Iterable[int]) -> None:
    """Says which package has the letters, once for each kind of script."""
    letters = [chr(code) for code in missing if unicodedata.category(chr(code))[0] in "LMN"]
    for east_asian in (True, False):
        some = {each for each in letters if unicodedata.name(each, "").startswith(_EAST_ASIAN) == east_asian}
        if some and east_asian not in _named:
            _named.add(east_asian)
            debian, fedora = _PACKAGES[east_asian]
            word = next(word for word in text.split() if some & set(word))
            say(
                f"figures show boxes, for no font of this system has the letters of {word:.40}; install {debian} "
                f"(Debian, Ubuntu) or {fedora} (Fedora) and run the command again"
            )
