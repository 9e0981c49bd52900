"""An explanation in words, and its HTML page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morelli.evaluation.turning_points import TurningPoint, settled, turning_points
from morelli.files import write_text
from morelli.report.figures.reading_trace import Reading
from morelli.report.html import render
from morelli.report.titles import work_names

METHODS = {
    "grad-cam": (
        "Grad-CAM: the channels of the feature map, each weighed by the mean gradient of the class's score.",
        "Selvaraju et al., ICCV 2017",
    ),
    "grad-cam++": (
        "Grad-CAM++: as Grad-CAM, with more weight for cells that speak for the class.",
        "Chattopadhay et al., WACV 2018",
    ),
    "layer-cam": (
        "LayerCAM: each cell of the feature map times its own gradient where that is positive.",
        "Jiang et al., IEEE TIP 2021",
    ),
    "occlusion": (
        "Occlusion: how far the log-probability of the class falls where a square of the painting is covered.",
        "Zeiler and Fergus, ECCV 2014",
    ),
    "attention": (
        "Attention: the weights with which the neck pools its states, the same for every task and class. "
        "A state has also read other cells than its own.",
        "Ilse, Tomczak and Welling, ICML 2018",
    ),
}
MEASURES = {
    "occlusion": "fall of the log-probability, share of the largest",
    "attention": "share of the largest",
}


@dataclass(frozen=True)
class Section:
    """One task: the most probable classes and their probabilities, first the answer; the label given, if any; the
    story in words and its numbered turning points; the trace and the map as JPEG bytes. ``empty`` says that nothing
    spoke for the answer."""

    task: str
    top: Sequence[tuple[str, float]]
    given: str | None
    story: str
    points: Sequence[str]
    trace: bytes
    map: bytes
    empty: bool


def write_explain_page(
    file: Path,
    *,
    run: str,
    query: str,
    painting: bytes,
    method: str,
    meaning: str,
    unit: str,
    sections: Sequence[Section],
    attention: bytes | None,
) -> None:
    """Writes the page, which needs no other file. ``painting`` and ``attention`` (a map, where the neck pools by
    attention and the method is another) are JPEG bytes; ``meaning`` says what the probabilities after a step are."""
    artist, title = work_names(query)
    page = render(
        "explain.html",
        heading=title if artist else query,
        artist=artist,
        run=run,
        query=query,
        painting=_text(painting),
        method=METHODS[method],
        occlusion=method == "occlusion",
        meaning=meaning,
        unit=unit,
        sections=sections,
        jpeg=_text,
        attention=attention,
        about_attention=METHODS["attention"],
    )
    write_text(file, page)


def story(reading: Reading) -> str:
    """Which class led on the way, and after which passage the answer did, in one to three sentences."""
    probabilities, names = reading.probabilities, reading.names
    steps, leaders = len(probabilities), probabilities.argmax(axis=1)
    answer, turned = int(leaders[-1]), settled(probabilities)
    name, end = names[answer], f"{probabilities[-1, answer]:.2f}"
    if steps == 1:
        return f"The painting is read in one step: {name} ({end})."
    third = max(1, round(steps / 3)) - 1
    lead = int(leaders[third])
    part = _part(reading, third + 1)
    first = f"{names[lead]} ({probabilities[third, lead]:.2f})"
    sentences = [f"After {part} {first} leads" if reading.ordered else f"From {part} alone {first} leads"]
    rise = next((point for point in turning_points(probabilities) if point.kind == "rise"), None)
    if turned <= third:
        sentences[0] += f" and stays in the lead: {end} at the end."
    else:
        again = " back" if lead == answer else ""
        sentences[0] += ", but not for good." if again else "."
        now = f"{probabilities[turned, answer]:.2f}"
        kept = ", the answer" if turned == steps - 1 else f", where it stays: {end} at the end"
        sentences.append(f"{_passage(reading, turned)} puts {name}{again} in the lead ({now}){kept}.")
    if rise and rise.step != turned:
        where = _passage(reading, rise.step)
        where = where[0].lower() + where[1:]
        sentences.append(
            f"The probability of {name} rises most, from {rise.was:.2f} to {rise.belief:.2f}, with {where}."
        )
    return " ".join(sentences)


def place(x: float, y: float) -> str:
    """Where on the painting a point is, from its coordinates in 0–1.

    >>> place(0.1, 0.9), place(0.5, 0.5), place(0.9, 0.5), place(0.5, 0.1)
    ('at the lower left', 'in the middle', 'at the right', 'at the top')
    """
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else ""
    if down and across:
        return f"at the {down} {across}"
    if not down and not across:
        return "in the middle"
    return f"at the {across or {'upper': 'top', 'lower': 'bottom'}[down]}"


def _passage(reading: Reading, step: int) -> str:
    """The token or row of a step, as the beginning of a sentence."""
    if reading.unit == "row":
        return f"Row {step + 1} of {len(reading.cells)} from the top"
    x, y = _middle(reading, reading.cells[step])
    return f"The passage {place(x, y)} (token {step + 1} of {len(reading.cells)})"


def _part(reading: Reading, steps: int) -> str:
    """What the first steps cover, in words."""
    x, y = _middle(reading, reading.cells[:steps].ravel())
    if abs(y - 0.5) > 0.25:
        return "the upper third" if y < 0.5 else "the lower third"
    if abs(x - 0.5) > 0.25:
        return "the left third" if x < 0.5 else "the right third"
    return "a third of the painting"


def _middle(reading: Reading, cells: NDArray[np.integer]) -> tuple[float, float]:
    """The mean place of cells as shares (x, y) of what the network sees."""
    rows, columns = np.divmod(cells, reading.grid[1])
    return float((columns.mean() + 0.5) / reading.grid[1]), float((rows.mean() + 0.5) / reading.grid[0])


def describe_point(reading: Reading, point: TurningPoint) -> str:
    """One turning point in words, for the list under a trace."""
    where = _passage(reading, point.step)
    if point.kind == "rise":
        answer = reading.names[int(reading.probabilities[-1].argmax())]
        return f"{where}: the largest rise of {answer}, from {point.was:.2f} to {point.belief:.2f}"
    names = reading.names
    return f"{where}: from {names[point.before]} to {names[point.after]} ({point.belief:.2f})"


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
