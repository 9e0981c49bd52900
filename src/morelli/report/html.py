"""What the HTML pages share: their templates, the paintings inside them, and the parts of a report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from morelli.collection.images import open_rgb
from morelli.collection.names import class_key
from morelli.errors import ImageError
from morelli.files import data_url
from morelli.report.titles import work_names

# pixels of the longer side of a painting on a page: twice what a phone shows in one of two columns
LONGER = 256
_QUALITY = 82


@dataclass(frozen=True)
class Thumbnail:
    """A painting inside a page: a JPEG as a data URL, with its width and height in pixels."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Work:
    """A painting as a page shows it: None where it cannot be read; whose it is, its title, lines of text, and a
    quieter one."""

    picture: Thumbnail | None
    artist: str
    title: str
    lines: Sequence[str] = ()
    note: str = ""

    @classmethod
    def of(
        cls, name: str, picture: bytes | None, lines: Sequence[str] = (), note: str = "", artist: str = ""
    ) -> Work:
        """The work whose id, a file name, is ``name``; by ``artist``, or else by whom the file's name says."""
        named, title = work_names(name)
        if artist and class_key(artist) != class_key(named):
            title = PurePosixPath(name).stem  # what seems an artist's name in it is none
        return cls(thumbnail(picture), artist or named, title, lines, note)

    @property
    def alt(self) -> str:
        return ", ".join(filter(None, (self.artist, self.title)))


@dataclass(frozen=True)
class Section:
    """A part of a report: the name of its anchor, its title, and what stands under it; ``works`` counts paintings."""

    name: str
    title: str
    html: Markup
    works: int


@dataclass(frozen=True)
class Missing:
    """A part that cannot be shown: why, and the command that makes what it needs, if one does."""

    name: str
    why: str
    command: str = ""


def thumbnail(picture: bytes | None, longer: int = LONGER) -> Thumbnail | None:
    """The painting with its longer side at most ``longer`` pixels; None where it cannot be decoded."""
    try:
        if picture is None:
            return None
        image = open_rgb(picture)[0]
    except ImageError:
        return None
    image.thumbnail((longer, longer), Image.Resampling.LANCZOS)
    return embedded(image)


def embedded(image: Image.Image, quality: int = _QUALITY) -> Thumbnail:
    """An RGB image as it is, as a JPEG inside the page."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return Thumbnail(data_url(buffer.getvalue(), "jpeg"), *image.size)


def render(template: str, **values: Any) -> Markup:
    """A template of ``report/templates``, filled in; texts are escaped."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("morelli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
