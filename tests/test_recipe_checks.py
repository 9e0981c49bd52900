"""Settings that would silently do nothing, or something else than they say, are refused, and their neighbours not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import BASE, recipe_file

from morelli import recipe as recipes
from morelli.errors import RecipeError
from morelli.network.network import Network
from morelli.recipe import checks

ONE = "backbone={name: resnet18, stage: [1, 2], weights: none}"
WORDS = {
    "STATISTICS": [ONE, "features.readout=statistics"],
    "COMPONENTS": [ONE, "features={readout: statistics, components: 8}"],
    "TWO": ["backbones=[{name: resnet18, stage: 1, weights: none}, {name: mobilenetv2_050, weights: none}]"],
}
TABLE = (Path(__file__).parent / "refused_recipes.txt").read_text(encoding="utf-8")
ROWS = [tuple(line.split(" => ")) for line in TABLE.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recipe_file(tmp_path_factory.mktemp("recipe"), neck={"kind": "gru"})


def changes_of(cell: str) -> list[str]:
    return [change for part in cell.split(" & ") for change in WORDS.get(part, [part])]


@pytest.mark.parametrize(("changes", "sentence", "neighbour"), ROWS, ids=[row[0] for row in ROWS])
def test_a_setting_without_its_effect_is_refused_and_its_neighbour_is_not(
    changes: str, sentence: str, neighbour: str, small: Path
) -> None:
    with pytest.raises(RecipeError) as raised:
        recipes.load(small, changes_of(changes))
    assert str(raised.value).startswith(f"{small}: {sentence}"), raised.value
    assert "\n" not in str(raised.value)
    recipes.load(small, changes_of(neighbour))


@pytest.mark.parametrize("neighbour", [row[2] for row in ROWS])
def test_a_complete_recipe_which_writes_down_every_default_loads_as_itself(
    neighbour: str, small: Path, tmp_path: Path
) -> None:
    first = recipes.load(small, changes_of(neighbour))
    file = tmp_path / "whole.yaml"
    file.write_text(recipes.dump(first))
    assert recipes.load(file) == first


def test_a_change_that_takes_the_effect_of_another_setting_is_told_the_way_out(tmp_path: Path) -> None:
    file = recipe_file(tmp_path, phases=[{"epochs": 4, "lr": 1e-3, "train": "all", "backbone_lr": 1e-3}])
    with pytest.raises(RecipeError, match=r"tiny.yaml: .*--set phases.0.backbone_lr=null$"):
        recipes.load(file, ["phases.0.train=none"])
    assert recipes.load(file, ["phases.0.train=none", "phases.0.backbone_lr=null"]).phases[0].lr == 1e-3


def test_every_table_of_kinds_names_settings_and_kinds_that_there_are() -> None:
    tables: list[tuple[Any, dict[str, tuple[str, ...]]]] = [
        (recipes.Neck, checks.NECK_KINDS),
        (recipes.Loss, checks.LOSS_KINDS),
        (recipes.Optimizer, checks.OPTIMIZER_KINDS),
        (recipes.Schedule, checks.SCHEDULE_KINDS),
    ]
    for settings, table in tables:
        known = settings.model_fields["kind"].annotation.__args__
        assert set(table) <= set(settings.model_fields)
        assert all(set(kinds) < set(known) for kinds in table.values())


NAMES = {"artist": ["a", "b"], "style": ["c", "d"], "genre": ["e", "f"]}
LAST = {"name": "resnet18", "weights": "none"}  # of 32 pixels its last map has one cell


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"neck": {"kind": "gru"}}, "neck.kind: gru reads the cells of a map, and image.size=32 leaves one"),
        (
            {"neck": {"kind": "mlp"}, "augment": {"mixstyle": 0.5}},
            "augment.mixstyle: .* image.size=32 leaves one",
        ),
        (
            {"neck": {"kind": "mlp"}, "augment": {"cutmix": 0.5}},
            "augment.cutmix: .* image.size=32 leaves one",
        ),
    ],
)
def test_what_only_the_images_make_one_cell_is_refused_when_the_network_is_built(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        Network(recipes.parse(BASE | {"backbone": LAST} | changes, "test"), NAMES)
    larger = {"image": {"size": 64}, "neck": {"kind": "mean"}}
    Network(recipes.parse(BASE | {"backbone": LAST} | changes | larger, "test"), NAMES)


def test_gram_matrices_of_channels_too_many_for_them_are_refused() -> None:
    neck = {"kind": "statistics", "statistics": ["gram"]}
    whole = BASE | {"backbone": LAST, "image": {"size": 64}, "neck": neck}
    with pytest.raises(RecipeError, match=r"neck\.statistics: gram is of maps of at most 256 channels"):
        Network(recipes.parse(whole, "test"), NAMES)
    narrow = Network(recipes.parse(whole | {"backbone": LAST | {"stage": 3}}, "test"), NAMES).eval()
    one, other = torch.rand(2, 1, 3, 64, 64)
    assert not torch.allclose(narrow(one)["style"], narrow(other)["style"])


@pytest.mark.parametrize(
    ("kind", "same"), [(kind, kind in checks._NO_ORDER) for kind in (*checks._NO_ORDER, "gru")]
)
def test_a_mirror_image_is_the_same_to_a_flip_average_before_a_neck_without_order(
    kind: str, same: bool
) -> None:
    """Why augment.flip is refused there."""
    backbone = BASE["backbone"] | ({"grid": 1} if kind == "mlp" else {})
    changes = {"backbone": backbone, "features": {"flip_average": True}, "neck": {"kind": kind}}
    torch.manual_seed(0)
    network = Network(recipes.parse(BASE | changes, "test"), NAMES).eval()
    images = torch.rand(2, 3, 32, 32)
    one, other = (network(each)["style"] for each in (images, images.flip(3)))
    assert torch.allclose(one, other, atol=1e-5) is same
