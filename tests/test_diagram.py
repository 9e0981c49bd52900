"""The diagram says what model.json says, in blocks that hold their text, for every neck and for older runs."""

from __future__ import annotations

import copy
from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from morelli.report.figures import style
from morelli.report.figures.diagram import architecture_figure

FACTS: dict[str, Any] = {
    "image": {"size": 224},
    "backbones": [{
        "name": "resnet18", "stage": 3, "patches": None, "weights": "resnet18-to-layer3.safetensors sha256:0a1b",
        "parameters": 2_782_784,
    }],
    "features": {"readout": "map", "channels": 256, "grid": [14, 13]},
    "neck": {
        "kind": "lstm", "scan": "column", "width": 257, "layers": 2, "bidirectional": True, "pool": "mean",
        "tokens": 182, "token_width": 256, "dim": 514, "parameters": 1_052_672,
    },
    "heads": {
        "style": {"kind": "linear", "widths": [], "classes": 27, "parameters": 5130},
        "artist": {"kind": "mlp", "widths": [1536, 768], "classes": 1129, "parameters": 431},
    },
}  # fmt: skip
LONG = "vit_small_patch14_reg4_dinov2.lvd142m"


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def said(**changes: Any) -> str:
    """All text of the diagram of FACTS with some facts changed, on one line."""
    facts = copy.deepcopy(FACTS)
    for part, values in changes.items():
        facts[part] = facts[part] | values if isinstance(values, dict) else values
    return " ".join(texts(architecture_figure(facts)))


def test_components_are_read_by_a_hidden_layer_and_in_no_order() -> None:
    shown = said(
        features={"readout": "statistics", "components": 2048},
        neck={"kind": "mlp", "fused": 512, "members": 4, "token_width": 2048, "statistics": []},
    )
    for part in ("Statistics", "components", "in no order", "one hidden layer", "512 wide", "4 members"):
        assert part in shown.replace("\n", " "), part
    assert "state" not in shown and "257 wide" not in shown


def test_every_block_is_there_with_the_numbers_of_the_facts() -> None:
    shown = texts(architecture_figure(FACTS))
    for title in ("Image", "Backbone", "Tokens", "Neck", "Style", "Artist"):
        assert shown.count(title) == 1
    everything = " ".join(shown)
    for part in (
        "224 × 224", "resnet18, to stage 3", "layer3.safetensors", "map 256 × 14 × 13", "2.8 M parameters",
        "182 of width 256", "column by column", "LSTM", "257 wide, 2 layers", "both directions",
        "mean of the states", "vector of 514", "1.1 M parameters, trained", "27 classes",
        "5.1 k parameters, trained", "MLP, 1,536 → 768", "1,129 classes", "431 parameters, trained",
    ):  # fmt: skip
        assert part in everything, part
    assert "sha256" not in everything
    total = 2_782_784 + 1_052_672 + 5130 + 431
    assert f"{total / 1e6:.1f} M parameters in all" in shown


@pytest.mark.parametrize(
    ("phases", "backbone", "total"),
    [
        (["none"], "2.8 M parameters, frozen", "3.8 M parameters in all, 1.1 M of them trained"),
        (["none", "all"], "frozen, then all trained", "3.8 M parameters in all, all of them trained"),
        ([1, 2], "last stage trained, then last 2 stages trained", "3.8 M parameters in all"),
    ],
)
def test_it_says_which_part_of_the_backbone_learned(phases: list[Any], backbone: str, total: str) -> None:
    everything = said(train=phases)
    assert backbone in everything and everything.endswith(total)


@pytest.mark.parametrize(
    ("kind", "shown", "hidden"),
    [
        ("lstm", ["LSTM", "257 wide, 2 layers", "mean of the states"], ["rows, and columns"]),
        ("gru", ["GRU", "257 wide, 2 layers", "both directions"], ["LSTM"]),
        (
            "rowcol",
            ["row + column GRU", "rows, and columns", "both directions"],
            ["column by column", "states"],
        ),
        ("convlstm", ["ConvLSTM", "row after row", "257 wide"], ["2 layers", "column by column"]),
        ("mean", ["mean of the tokens", "in no order"], ["257", "layers", "directions", "column by column"]),
        ("attention", ["attention", "in no order"], ["257", "layers", "directions", "states"]),
    ],
)
def test_a_neck_is_described_by_what_matters_to_its_kind(
    kind: str, shown: list[str], hidden: list[str]
) -> None:
    everything = said(neck={"kind": kind})
    assert all(part in everything for part in shown)
    assert not any(part in everything for part in hidden)


def test_a_projection_before_the_neck_is_shown_with_its_channels() -> None:
    assert "projected to 1,320 channels" in said(neck={"kind": "rowcol", "projection": 1320})
    assert "projected" not in said(neck={"kind": "rowcol", "projection": None})


def test_a_part_without_parameters_is_not_said_to_be_trained() -> None:
    assert "0 parameters 27" not in said() and "0 parameters, trained" not in said(neck={"parameters": 0})
    assert "0 parameters" in said(neck={"parameters": 0})


@pytest.mark.slow
def test_any_fact_may_be_missing() -> None:
    for part in FACTS:
        without = {name: value for name, value in FACTS.items() if name != part}
        assert texts(architecture_figure(without))
        first = FACTS[part][0] if part == "backbones" else FACTS[part]
        for key in first:
            facts = copy.deepcopy(FACTS)
            changed = facts[part][0] if part == "backbones" else facts[part]
            changed[key] = None
            assert len(texts(architecture_figure(facts))) > 10
            del changed[key]
            assert "None" not in " ".join(texts(architecture_figure(facts)))
    assert texts(architecture_figure({})) == ["the run holds no description of its network"]


@pytest.mark.parametrize("long", [False, True])
def test_no_text_overlaps_another_or_leaves_its_block_and_arrows_join_the_blocks(long: bool) -> None:
    facts = copy.deepcopy(FACTS)
    if long:
        facts["image"]["size"] = 2048
        facts["backbones"][0] |= {"name": LONG, "weights": f"timm/{LONG}", "patches": 16}
        facts["train"] = ["none", 2, 3, "all"]
        facts["neck"] |= {"kind": "rowcol", "width": 8192, "tokens": 4096, "token_width": 16384}
        facts["heads"]["genre"] = {"kind": "residual-se", "widths": [1536, 768, 512], "classes": 10}
    figure = architecture_figure(facts)
    figure.dpi = style.DPI
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axes,) = figure.axes
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    blocks = [p.get_window_extent(renderer) for p in axes.patches if isinstance(p, FancyBboxPatch)]
    assert not any(a.overlaps(b) for a, b in combinations(blocks, 2))
    total = boxes.pop()  # stands below the blocks
    if long:  # one head does not say its parameters, so there is no total
        boxes.append(total)
    for box in boxes:
        assert any(b.x0 <= box.x0 and box.x1 <= b.x1 and b.y0 <= box.y0 and box.y1 <= b.y1 for b in blocks)
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 3 + len(facts["heads"])
    whole = figure.bbox
    assert all(b.min[0] >= 0 and b.min[1] >= 0 and (b.max <= whole.max).all() for b in blocks)
