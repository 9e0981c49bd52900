"""Repairs names: mojibake, apostrophes, accents lost by mirrors, words that mean "unknown"."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

FOLDER_ALIASES = {"art_nouveau_modern": "Art_Nouveau"}
_UNKNOWN = {
    *("", "-", "?", "n/a", "na", "<na>", "nan", "none", "null", "unknown", "unknown artist", "unknown genre"),
    *("unknown style", "anonymous", "unidentified", "-1"),
}
_ARTIST = re.compile(r"^(?P<artist>[^\W\d_A-Z][^_A-Z]*)_(?=.*[^\W\d_])", re.UNICODE)


def is_unknown(label: object) -> bool:
    """Whether a label cell says nothing: empty, NaN, "Unknown Artist", "n/a" and the like."""
    return label is None or str(label).strip().replace("_", " ").lower() in _UNKNOWN


def repair_mojibake(name: str) -> str:
    """Undoes "UTF-8 read as Latin-1 (or Windows-1252), then lower-cased"; other names come back unchanged.

    >>> repair_mojibake("grã©goire-michonze_birds.jpg")
    'grégoire-michonze_birds.jpg'
    >>> repair_mojibake("são-paulo.jpg")
    'são-paulo.jpg'
    """
    if name.isascii():
        return name
    data = bytearray()
    for letter in name:
        for encoding in ("latin-1", "cp1252"):
            try:
                data += letter.encode(encoding)
                break
            except UnicodeEncodeError:
                continue
        else:
            return name
    # lower-casing turned the two-byte leads C2–DF into E2–FF; a lead with two followers is a true E0–EF
    raised = re.sub(
        rb"[\xe2-\xff][\x80-\xbf](?![\x80-\xbf])", lambda m: bytes([m[0][0] - 0x20, m[0][1]]), bytes(data)
    )
    try:
        fixed = raised.decode("utf-8")
    except UnicodeDecodeError:
        return name
    fixed = unicodedata.normalize("NFC", fixed)
    return fixed.lower() if name == name.lower() else _lower_name(fixed, name)


def _lower_name(fixed: str, original: str) -> str:
    """Keeps the folder's capitals; the file name is lower-case where the original's was."""
    folder, slash, file = fixed.rpartition("/")
    return folder + slash + (file.lower() if original.rpartition("/")[2].islower() else file)


def folder_class(folder: str) -> str:
    """The class a folder stands for: ``Art_Nouveau_Modern`` is ``Art_Nouveau``."""
    return FOLDER_ALIASES.get(folder.lower(), folder)


def match_keys(path: str) -> tuple[str, str]:
    """Two loose keys of a relative path, folder included: accents folded, and accents dropped.

    >>> match_keys("Pop_Art/allan-d'arcangelo_über.JPG")
    ('popart/allandarcangelouber', 'popart/allandarcangelober')
    """
    pure = PurePosixPath(repair_mojibake(unicodedata.normalize("NFC", path)))
    folders = [_plain(folder_class(part)) for part in pure.parts[:-1]]
    dropped = pure.stem.encode("ascii", "ignore").decode()
    return "/".join([*folders, _plain(pure.stem)]), "/".join([*folders, _plain(dropped)])


def class_key(name: str) -> str:
    """The key by which classes are matched whatever their spelling: case, accents and punctuation do not count, the
    letters of every script do.

    >>> class_key("Vincent_van_Gogh") == class_key("vincent-van-gogh"), class_key("王 A") == class_key("李 A")
    (True, False)
    """
    folded = unicodedata.normalize("NFKD", repair_mojibake(folder_class(name)).lower())
    return "".join(c for c in folded if c.isalnum() or _is_vowel_sign(c)) or folded


def artist_names(labels: Sequence[object], names: Sequence[object]) -> list[str | None]:
    """The artist of each work, (N,), with one spelling an artist; None where unknown.

    The class label decides, and where it is unknown the name written beside it (of a file, or of an artist too rare
    to be a class). An artist is spelt as most of ``names`` spell it, which keep the spelling of file names where
    labels have that of a class list.

    >>> artist_names(["Claude_Monet", None, None], ["paul-signac", "claude-monet", None])
    ['claude-monet', 'claude-monet', None]
    """
    spellings = Counter(str(name) for name in names if not is_unknown(name))
    of_key: dict[str, str] = {}
    for name, _ in spellings.most_common():
        of_key.setdefault(class_key(name), name)
    spelt: dict[object, str | None] = {}
    known = [name if is_unknown(label) else label for label, name in zip(labels, names, strict=True)]
    for artist in set(known):
        spelt[artist] = None if is_unknown(artist) else of_key.get(class_key(str(artist)), str(artist))
    return [spelt[artist] for artist in known]


def artist_of(file_name: str) -> str | None:
    """The artist of an ArtGAN file name ``artist-slug_title.jpg``; None where the name is not of that kind.

    >>> artist_of("claude-monet_water-lilies-6.jpg"), artist_of("IMG_1234.jpg"), artist_of("dsc_0001.jpg")
    ('claude-monet', None, None)
    """
    match = _ARTIST.match(repair_mojibake(unicodedata.normalize("NFC", PurePosixPath(file_name).stem)))
    return match["artist"].replace("’", "'") if match else None


def _is_vowel_sign(letter: str) -> bool:
    """Whether a mark is a letter in its script (Devanagari, Thai, Hebrew …) and no accent of Latin, Greek, Cyrillic."""
    return unicodedata.category(letter).startswith("M") and not "\u0300" <= letter <= "\u036f"


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in folded if c.isascii() and c.isalnum()) or folded
