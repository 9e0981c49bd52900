"""Recipes: strict, complete, and every one that comes with the package builds and trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from morelli import recipe as recipes
from morelli.errors import RecipeError

HEADER_WORDS = ("Command:", "Time:", "Published:", "Score:")


def write(folder: Path, text: str) -> Path:
    file = folder / "r.yaml"
    file.write_text(text)
    return file


GOOD = "phases: [{epochs: 2, lr: 1e-3}]\n"


def test_a_dumped_recipe_loads_as_itself(tmp_path: Path) -> None:
    first = recipes.load(write(tmp_path, GOOD), ["neck.kind=rowcol", "losses.default.kind=focal"])
    assert recipes.load(write(tmp_path, recipes.dump(first))) == first


def test_changes_reach_lists_and_numbers(tmp_path: Path) -> None:
    changed = recipes.load(write(tmp_path, GOOD), ["phases.0.lr=3e-4", "tasks=[style]", "backbone.grid=7"])
    assert changed.phases[0].lr == 3e-4 and changed.tasks == ["style"] and changed.backbones[0].grid == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("phasess: []\n", "did you mean phases"),
        (GOOD + "neck: {kind: lstn}\n", "neck.kind"),
        (GOOD + "training: {batchsize: 3}\n", "did you mean batch_size"),
        ("phases: []\n", "phases"),
        ("phases: [{epochs: 0}]\n", "phases.0.epochs"),
        (GOOD + "tasks: [style, style]\n", "each once"),
        (GOOD + "tasks: [style]\nsampler: {balance: [genre]}\n", "not among the tasks"),
        (GOOD + "heads: {default: {kind: mlp, widths: [8, 4], dropout: [0.1]}}\n", "1 rates for 2 widths"),
        (GOOD + "heads: {default: {dropout: [0.1]}}\n", "1 rates for 0 widths"),
        (GOOD + "heads: {default: {dropout: 1.5}}\n", "heads.default.dropout"),
        (GOOD + "backbone: {patches: 5}\n", "no multiple of backbone.patches 5"),
        (GOOD + "heads: {default: {kind: mlp}}\n", "needs widths"),
        ("phases: [{epochs: 1\n", "not valid YAML"),
        ("- a\n- b\n", "mapping"),
        ("", "mapping"),
    ],
)
def test_a_wrong_recipe_names_the_key_and_the_way_out(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        recipes.load(write(tmp_path, text))


@pytest.mark.parametrize(
    "change", ["neck", "=3", "phases.9.lr=1", "phases.x.lr=1", "name.y=1", "neck.kind=[", "a.b=1"]
)
def test_a_wrong_change_is_named(change: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        recipes.load(write(tmp_path, GOOD), [change])


def test_a_misspelt_recipe_name_gets_a_suggestion() -> None:
    with pytest.raises(RecipeError, match="did you mean multitask-resnet18-lstm"):
        recipes.load("multitask-resnet18-lstn")


@pytest.mark.parametrize("name", recipes.shipped())
def test_every_shipped_recipe_validates_and_its_header_says_what_to_expect(name: str) -> None:
    file = recipes.find(name)
    assert recipes.load(file).name == name
    header = [line for line in file.read_text().splitlines() if line.startswith("#")]
    for word in HEADER_WORDS:
        assert any(word in line for line in header), word


def test_an_own_file_goes_before_a_shipped_recipe_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipes.find("demo") != Path("demo") and recipes.load("demo").name == "demo"
    Path("demo").mkdir()
    assert recipes.load("demo").name == "demo"  # a folder of that name is no recipe
    Path("demo").rmdir()
    Path("demo").write_text("name: mine\n" + GOOD)
    assert recipes.load("demo").name == "mine"


def test_one_backbone_is_a_list_of_one_and_a_change_reaches_it_either_way(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("backbone: {name: resnet18, weights: none}\nphases: [{epochs: 1}]\n")
    for change in ("backbone.stage=2", "backbones.0.stage=2"):
        (backbone,) = recipes.load(file, [change]).backbones
        assert (backbone.name, backbone.stage, backbone.weights) == ("resnet18", 2, "none")
    whole = recipes.load("morelli", ["backbone={name: resnet34}"])
    assert [each.name for each in whole.backbones] == ["resnet34"]
    assert [each.name for each in recipes.load("morelli", ["backbones.1.stage=3"]).backbones] == [
        each.name for each in recipes.load("morelli").backbones
    ]
    with pytest.raises(RecipeError, match=r"has 2 backbones; write backbones\.0\.stage for the first"):
        recipes.load("morelli", ["backbone.stage=2"])
