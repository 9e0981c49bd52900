"""Repairing names: mojibake, apostrophes, accents lost by mirrors, words that mean "unknown"."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

FOLDER_ALIASES = {"art_nouveau_modern": "Art_Nouveau"}
_UNKNOWN = {
    *("", "-", "?", "n/a", "na", "nan", "none", "null", "unknown", "unknown artist", "unknown genre"),
    *("unknown style", "anonymous", "unidentified", "-1"),
}
_ARTIST = re.compile(r"^(?P<artist>[^\W\d_A-Z][^_A-Z]*)_(?=.*[^\W\d_])", re.UNICODE)


def is_unknown(label: object) -> bool:
    """Whether a label cell says nothing: empty, NaN, "Unknown Artist", "n/a" and the like."""
    if label is None or label != label:
        return True
    return str(label).strip().replace("_", " ").lower() in _UNKNOWN


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
    """The key by which classes of two collections are matched: "Vincent_van_Gogh" = "vincent-van-gogh"."""
    return _plain(repair_mojibake(folder_class(name)))


def artist_of(file_name: str) -> str | None:
    """The artist of an ArtGAN file name ``artist-slug_title.jpg``; None where the name is not of that kind.

    >>> artist_of("claude-monet_water-lilies-6.jpg"), artist_of("IMG_1234.jpg"), artist_of("dsc_0001.jpg")
    ('claude-monet', None, None)
    """
    found = _ARTIST.match(repair_mojibake(unicodedata.normalize("NFC", PurePosixPath(file_name).stem)))
    return found["artist"].replace("’", "'") if found else None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in folded if c.isascii() and c.isalnum()) or folded
