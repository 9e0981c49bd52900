"""Whose a work is and what it is called, from its file's name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from morelli.collection.names import artist_of

_YEAR = re.compile(r"^(.*\S)[ ,(]+((?:1[0-9]|20)\d\d)\)?(?: \(?(\d{1,2})\)?)?$")


def work_names(name: str) -> tuple[str, str]:
    """The artist, as the file spells the name, and the title, as people write it, of an ArtGAN file
    ``artist-slug_title-year.jpg``; of another file no artist, and the file's name.

    >>> work_names("Impressionism/claude-monet_water-lilies-1908-2.jpg")
    ('claude-monet', 'Water lilies, 1908 (2)')
    >>> work_names("Cubism/juan-gris_guitar(2).jpg"), work_names("IMG_1234.jpg")
    (('juan-gris', 'Guitar (2)'), ('', 'IMG_1234'))
    """
    stem = PurePosixPath(name).stem
    artist = artist_of(name)
    if artist is None:
        return "", stem
    title = re.sub(r"[-_ ]+", " ", stem.partition("_")[2]).strip()
    title = re.sub(r"(?<=\S)\((\d+)\)$", r" (\1)", title)
    dated = _YEAR.match(title)
    if dated:
        title = f"{dated[1]}, {dated[2]}" + (f" ({dated[3]})" if dated[3] else "")
    return artist, title[:1].upper() + title[1:]
