"""The network of a run as a block diagram, from left to right: image, backbone, tokens, neck, heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from morelli.report.figures import style
from morelli.report.figures.style import styled

# in inches but the sizes of the fonts, which are in points
_GAP, _PAD, _LINE, _BETWEEN, _MARGIN = 0.38, 0.1, 0.17, 0.14, 0.05
_FONT, _TITLE = 9, 10
_NECKS = {
    "lstm": "LSTM",
    "gru": "GRU",
    "mingru": "minGRU",
    "convlstm": "ConvLSTM",
    "rowcol": "row + column GRU",
    "mean": "mean of the tokens",
    "attention": "attention",
    "statistics": "pooled statistics",
    "mlp": "one hidden layer",
}
_HEADS = {"linear": "one linear layer", "mlp": "MLP", "residual-se": "residual, squeeze-excitation"}
_POOLS = {"last": "last state", "mean": "mean of the states", "attention": "attention over the states"}
_SCANS = {"row": "row by row", "column": "column by column", "snake": "as a snake, row by row"}
# what reads in an order of its own, whatever the scan
_ORDERS = {"convlstm": "row after row", "rowcol": "rows, and columns", "mean": "in no order"}
_ORDERS["attention"] = _ORDERS["statistics"] = _ORDERS["mlp"] = _ORDERS["mean"]


@dataclass(frozen=True)
class _Block:
    """A titled box; ``foot`` is the small print about its parameters."""

    title: str
    lines: tuple[str | None, ...]
    foot: str | None
    colour: str
    width: float


@styled
def architecture_figure(facts: dict[str, Any]) -> Figure:
    """The blocks of a network with their shapes and numbers of parameters.

    ``facts`` is the key ``architecture`` of a run's ``model.json``: ``image``, ``backbone``, ``neck`` and ``heads``,
    any of which, and any fact in which, may be missing. ``backbone.train`` says for each phase which part of the
    backbone learned (``none``, ``all``, or the number of its last stages).
    """
    columns = [[block] for block in _trunk(facts) if any(block.lines) or block.foot]
    heads = [_head(task, head or {}) for task, head in (facts.get("heads") or {}).items()]
    columns += [heads] if heads else []
    if not columns:
        drawn = style.figure(5, 1.6)
        style.note(drawn.subplots(), "the run holds no description of its network")
        return drawn
    heights = [sum(map(_height, blocks)) + _BETWEEN * (len(blocks) - 1) for blocks in columns]
    width = sum(blocks[0].width + _GAP for blocks in columns) - _GAP + 2 * _MARGIN
    total = _total(facts)
    height = max(heights) + 2 * _MARGIN + (0.3 if total else 0)
    drawn = Figure(figsize=(width, height))
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    left, middle = _MARGIN, height - _MARGIN - max(heights) / 2
    for number, (blocks, high) in enumerate(zip(columns, heights, strict=True)):
        top = middle + high / 2
        for block in blocks:
            centre = top - _height(block) / 2
            _draw(axes, block, left, top)
            if number:
                _arrow(axes, (left - _GAP, middle), (left, centre))
            top -= _height(block) + _BETWEEN
        left += blocks[0].width + _GAP
    if total:
        _write(axes, width / 2, _MARGIN, total, va="bottom", color=style.GREY)
    return drawn


def human(count: int) -> str:
    """A number of parameters for people.

    >>> human(870), human(5130), human(2782784), human(86_600_000), human(999_999)
    ('870', '5.1 k', '2.8 M', '86.6 M', '1.0 M')
    """
    if count < 1000:
        return str(count)
    value, unit = count / 1e3, "k"
    for larger in ("M", "G"):
        if round(value, 1) >= 1000:
            value, unit = value / 1e3, larger
    return f"{value:.{0 if value >= 100 else 1}f} {unit}"


def _trunk(facts: dict[str, Any]) -> list[_Block]:
    image, features, neck = (facts.get(name) or {} for name in ("image", "features", "neck"))
    backbones = facts.get("backbones") or [{}]
    size, patches = image.get("size"), backbones[0].get("patches")
    shape = _product(features.get("channels"), *(features.get("grid") or [None]))
    statistics = features.get("readout") == "statistics"
    weights = [str(each.get("weights") or "").partition(" sha256:")[0] for each in backbones]
    tokens, token_width, dim = neck.get("tokens"), neck.get("token_width"), neck.get("dim")
    held = _join(tokens and f"{tokens:,d}", token_width and f"of width {token_width:,d}", by=" ")
    if statistics:
        kind = "components of all statistics" if features.get("components") else "statistics"
        held = token_width and f"{token_width:,d} {kind}"
    return [
        _Block("Image", (size and f"{size} × {size}", size and "RGB pixels"), None, style.GREY, 1.1),
        _Block(
            "Backbone" if len(backbones) == 1 else "Backbones",
            (
                *(_join(each.get("name"), _cut(each.get("stage"))) for each in backbones),
                "mean of image and mirror image" if features.get("flip_average") else None,
                patches and f"sees {patches} × {patches} patches, one by one",
                *(_weights(name) for name in dict.fromkeys(weights)),
                f"map {shape}" if shape and not statistics else None,
            ),
            _parameters({"parameters": _sum(backbones)}, _trained(facts.get("train"))),
            style.SKY,
            2.2,
        ),
        _Block("Statistics" if statistics else "Tokens", (held, _order(neck)), None, style.GREY, 1.45),
        _Block("Neck", (*_neck(neck), dim and f"vector of {dim:,d}"), _parameters(neck), style.PURPLE, 1.9),
    ]


def _weights(name: str) -> str | None:
    return (name and ("random weights" if name == "none" else f"weights: {name}")) or None


def _sum(parts: Sequence[dict[str, Any]]) -> int | None:
    """The parameters of several parts; None where one does not state its own."""
    counts = [part.get("parameters") for part in parts]
    return None if None in counts else sum(map(int, counts))  # type: ignore[arg-type]


def _cut(stage: Any) -> str:
    if isinstance(stage, list):
        return "stages " + ", ".join(map(str, stage))
    return {None: "", "last": "whole"}.get(stage, f"to stage {stage}")


def _neck(neck: dict[str, Any]) -> tuple[str | None, ...]:
    """What it is made of; only what matters to its kind."""
    kind = neck.get("kind")
    recurs = kind not in (None, "mean", "attention", "statistics", "mlp")
    layers, width, pool = neck.get("layers"), neck.get("width"), neck.get("pool")
    deep = layers and kind != "convlstm" and f"{layers} {'layer' if layers == 1 else 'layers'}"
    both = kind == "rowcol" or neck.get("bidirectional")
    pooled = kind != "rowcol" and pool and _POOLS.get(pool, pool)
    return (
        neck.get("projection") and f"projected to {neck['projection']:,d} channels",
        kind and _NECKS.get(kind, kind),
        *((_join(width and f"{width:,d} wide", deep), both and "both directions", pooled) if recurs else ()),
        kind == "mlp" and neck.get("fused") and f"{neck['fused']:,d} wide",
        neck.get("statistics") and f"{'fused with' if recurs else 'of'} {' and '.join(neck['statistics'])}",
        f"{neck['members']} members" if neck.get("members", 1) > 1 else None,
    )


def _order(neck: dict[str, Any]) -> str | None:
    """In which order the neck reads the tokens."""
    kind, scan = neck.get("kind"), neck.get("scan")
    if kind in _ORDERS or not scan:
        return _ORDERS.get(str(kind))
    way, _, reverse = scan.partition("-")
    return _SCANS.get(way, way) + (", from the end" if reverse else "")


def _head(task: str, head: dict[str, Any]) -> _Block:
    kind, widths, classes = head.get("kind"), head.get("widths") or [], head.get("classes")
    layers = " → ".join(f"{width:,d}" for width in widths)
    lines = (
        _join(kind and _HEADS.get(kind, kind), layers),
        classes and f"{classes:,d} classes",
        "prior of the tasks" if task == "prior_artist" else None,
    )
    return _Block(
        task.replace("_", " ").capitalize(),
        lines,
        _parameters(head),
        style.TASK_COLOURS.get(task, style.GREY),
        2.0,
    )


def _parameters(part: dict[str, Any], trained: str | None = "trained") -> str | None:
    """How many, and which of them learned; the neck and heads always do."""
    count = part.get("parameters")
    return None if count is None else _join(f"{human(count)} parameters", trained if count else None)


def _trained(phases: Sequence[int | str] | None) -> str | None:
    """What of the backbone learned in each phase, in words.

    >>> _trained(["none"]), _trained(["none", 2, 2, "all"])
    ('frozen', 'frozen, then last 2 stages trained, then all trained')
    """
    words = {"none": "frozen", "0": "frozen", "all": "all trained", "1": "last stage trained"}
    phrases = [words.get(str(phase), f"last {phase} stages trained") for phase in phases or []]
    return ", then ".join(dict.fromkeys(phrases)) or None


def _total(facts: dict[str, Any]) -> str | None:
    """All parameters together, and where it is certain how many of them learned."""
    backbone = {"parameters": _sum(facts.get("backbones") or [{}])}
    others = [facts.get("neck") or {}, *(head or {} for head in (facts.get("heads") or {}).values())]
    counts: list[Any] = [part.get("parameters") for part in (backbone, *others)]
    if None in counts or len(counts) < 3:
        return None
    phases = set(map(str, facts.get("train") or []))
    total = f"{human(sum(counts))} parameters in all"
    if "all" in phases:
        return f"{total}, all of them trained"
    return (
        f"{total}, {human(sum(counts[1:]))} of them trained" if phases and phases <= {"none", "0"} else total
    )


def _product(*numbers: int | None) -> str | None:
    return None if None in numbers else " × ".join(f"{number:,d}" for number in numbers if number is not None)


def _join(*parts: Any, by: str = ", ") -> str | None:
    """What there is of the parts."""
    return by.join(part for part in parts if part) or None


def _text(block: _Block) -> tuple[list[str], list[str]]:
    """The lines of its middle and of its foot as they fit into its width."""
    room = block.width - 2 * _PAD
    body = [part for line in block.lines if line for part in style.wrap(line, room, _FONT, lines=3)]
    return body, style.wrap(block.foot or "", room, _FONT - 1, lines=4)


def _height(block: _Block) -> float:
    body, foot = _text(block)
    return 2 * _PAD + 0.24 + _LINE * len(body) + (0.06 + (_LINE - 0.02) * len(foot) if foot else 0)


def _draw(axes: Axes, block: _Block, left: float, top: float) -> None:
    body, foot = _text(block)
    high, middle = _height(block), left + block.width / 2
    shape = FancyBboxPatch(
        (left, top - high), block.width, high, boxstyle="round,pad=0,rounding_size=0.08", linewidth=1.3,
        facecolor=to_rgba(block.colour, 0.13), edgecolor=block.colour,
    )  # fmt: skip
    axes.add_patch(shape)
    top -= _PAD
    _write(axes, middle, top, block.title, fontsize=_TITLE, fontweight="bold")
    top -= 0.24
    for line in body:
        _write(axes, middle, top, line)
        top -= _LINE
    top -= 0.06
    for line in foot:
        _write(axes, middle, top, line, fontsize=_FONT - 1, color="#4A4A4A")
        top -= _LINE - 0.02


def _write(axes: Axes, x: float, y: float, text: str, **look: Any) -> None:
    given: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": _FONT, "color": "#222222"} | look
    axes.text(x, y, text, **given)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "color": style.GREY, "linewidth": 1.3}
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=1, shrinkB=1, **look))
