"""The base of what a job returns: the same facts as text, as a dictionary for JSON, and as pictures in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from morelli import console
from morelli.console import Table
from morelli.files import data_url


class Result:
    """A frozen dataclass that a job returns.

    ``repr`` is what the command line prints, ``to_dict`` what it prints with ``--json``. In a notebook a result shows
    its pictures, where it has any.
    """

    def to_dict(self) -> dict[str, Any]:
        """Everything as a dictionary of JSON's own types; a figure that is not defined is ``None``."""
        raise NotImplementedError

    def show(self) -> None:
        """Prints the result on standard error, as the command line does."""
        console.show(self._parts())

    def _parts(self) -> Sequence[str | Table]:
        """The lines and tables that a person sees."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return console.as_text(self._parts())

    def _pictures(self) -> Sequence[bytes]:
        """JPEG or PNG files that say more than the text; none where there are none."""
        return ()

    def _repr_html_(self) -> str:
        text = f"<pre>{html.escape(repr(self))}</pre>"
        return text + "".join(_image(picture) for picture in self._pictures())


def _image(picture: bytes) -> str:
    url = data_url(picture, "png" if picture.startswith(b"\x89PNG") else "jpeg")
    return f'<img src="{url}" style="max-width:100%">'
