"""What a model answers for one image."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHOWN = 5  # classes of a task in a repr
_BAR = '<div style="display:inline-block;height:0.8em;width:{width:.1f}em;background:#009E73"></div>'


@dataclass(frozen=True, repr=False, eq=False)
class TaskAnswer:
    """The answer of one task for one image.

    ``classes`` are the K classes of the task and ``values`` (K,) float32 their calibrated probabilities, which add up
    to 1. ``set`` is the prediction set: a list of classes, the most probable first, that on average contains the true
    class for as many works as the reader's ``coverage`` says; ``None`` where validation held too few works to fit it.

    >>> import morelli
    >>> style = morelli.load("run")("painting.jpg")["style"]
    >>> style.confidence == max(style.probabilities.values()) == style.probabilities[style.label]
    True
    """

    task: str
    classes: Sequence[str]
    values: NDArray[np.float32]
    set: list[str] | None = None

    @property
    def label(self) -> str:
        """The most probable class; of equals the first."""
        return self.classes[int(self.values.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of ``label``, 0–1."""
        return float(self.values.max())

    @property
    def probabilities(self) -> dict[str, float]:
        """The probability of every class, the most probable first."""
        order = np.argsort(-self.values, kind="stable")
        return {self.classes[k]: float(self.values[k]) for k in order}

    def top(self, count: int = _SHOWN) -> list[tuple[str, float]]:
        """The ``count`` most probable classes with their probabilities.

        >>> import morelli
        >>> style = morelli.load("run")("painting.jpg")["style"]
        >>> style.top(1) == [(style.label, style.confidence)]
        True
        """
        return list(self.probabilities.items())[:count]

    def to_dict(self) -> dict[str, Any]:
        """``{"label", "confidence", "set", "probabilities"}`` for JSON.

        >>> import morelli
        >>> sorted(morelli.load("run")("painting.jpg")["style"].to_dict())
        ['confidence', 'label', 'probabilities', 'set']
        """
        return {
            "label": self.label,
            "confidence": self.confidence,
            "set": self.set,
            "probabilities": self.probabilities,
        }

    def __repr__(self) -> str:
        others = ", ".join(f"{name} {value:.2f}" for name, value in self.top()[1:])
        return f"{self.label} ({self.confidence:.2f})" + (f"; then {others}" if others else "")

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{html.escape(name)}</td><td style="text-align:left">'
            f"{_BAR.format(width=12 * value)} {value:.2f}</td></tr>"
            for name, value in self.top()
        )
        return f"<table><caption>{html.escape(self.task)}</caption>{rows}</table>"


@dataclass(frozen=True, repr=False, eq=False)
class Answer(Mapping[str, TaskAnswer]):
    """The answers of a model for one image: ``answer["style"]`` is a :class:`TaskAnswer`.

    ``embedding`` (D,) float32 is the network's vector of the image; ``labelling_value`` (0–1) says how much a person's
    label of the image would teach the network. ``source`` is the path, where the image was given as one. Where an
    image of several could not be read, ``error`` says why, the answer has no task, and the rest is ``None``.

    >>> import morelli
    >>> answer = morelli.load("run")("painting.jpg")
    >>> list(answer)
    ['artist', 'style', 'genre']
    """

    tasks: Mapping[str, TaskAnswer]
    embedding: NDArray[np.float32] | None
    labelling_value: float | None
    source: str | None = None
    error: str | None = None

    def __getitem__(self, task: str) -> TaskAnswer:
        if task not in self.tasks and self.error:
            raise KeyError(f"{task}: the image could not be read ({self.error})")
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """``{"source", "tasks", "labelling_value", "error"}`` for JSON; the embedding is left out.

        >>> import morelli
        >>> answer = morelli.load("run")("painting.jpg")
        >>> answer.to_dict()["tasks"]["style"]["label"] == answer["style"].label
        True
        """
        return {
            "source": self.source,
            "tasks": {name: task.to_dict() for name, task in self.tasks.items()},
            "labelling_value": self.labelling_value,
            "error": self.error,
        }

    def __repr__(self) -> str:
        if self.error:
            return f"{self.source or 'image'}: {self.error}"
        width = max(map(len, self.tasks), default=0)
        lines = [f"{name:{width}}  {task!r}" for name, task in self.tasks.items()]
        return "\n".join([f"Answer for {self.source or 'an image'}", *lines])

    def _repr_html_(self) -> str:
        if self.error:
            return f"<p>{html.escape(repr(self))}</p>"
        cells = "".join(
            f'<td style="vertical-align:top">{task._repr_html_()}</td>' for task in self.tasks.values()
        )
        return f"<table><tr>{cells}</tr></table>"
