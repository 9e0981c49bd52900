"""Colour, crop, erasing, mixing and schedule options: their ranges, and that recipes without them draw as before."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PIL
from tiny import recipe_file
from torch.optim.lr_scheduler import CosineAnnealingLR
from torchvision.transforms import v2

from morelli.errors import RecipeError
from morelli.recipe import Augment, ColourJitter, Image, Recipe, Schedule, dump, load
from morelli.training.augment import TrainingView, mix
from morelli.training.optimisation import schedule_factor


def pixels_of(view: TrainingView, picture: PIL.Image, draws: int) -> list[np.ndarray]:
    torch.manual_seed(0)
    return [view(picture).permute(1, 2, 0).numpy() for _ in range(draws)]


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> PIL.Image:
    return PIL.new("RGB", size, colour)


def noise(width: int, height: int) -> PIL.Image:
    return PIL.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


# what recipes without the new options draw ------------------------------------------------------------


@pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_mixing_without_probabilities_draws_as_it_always_did(alphas: dict[str, float]) -> None:
    inputs, labels = torch.rand(5, 2, 8, 10), torch.arange(5).view(5, 1)
    for seed in range(40):
        rng, old = np.random.default_rng(seed), np.random.default_rng(seed)
        mixed, permuted, share = mix(inputs, labels, Augment(**alphas), rng)
        kind = list(alphas)[int(old.integers(len(alphas)))]
        drawn = float(old.beta(alphas[kind], alphas[kind]))
        order = old.permutation(5)
        assert permuted.view(-1).tolist() == order.tolist()
        if kind == "mixup":
            assert share == drawn and mixed.equal(inputs * share + inputs[order] * (1 - share))
        else:
            high, wide = (round(side * np.sqrt(1 - drawn)) for side in (8, 10))
            top, left = int(old.integers(8 - high + 1)), int(old.integers(10 - wide + 1))
            inside = torch.zeros(8, 10, dtype=torch.bool)
            inside[top : top + high, left : left + wide] = True
            assert mixed.equal(torch.where(inside, inputs[order], inputs))
        assert rng.random() == old.random()  # neither drew more than the other


def test_views_without_the_new_options_draw_as_they_always_did() -> None:
    picture = noise(40, 40)
    view = TrainingView(Augment(flip=True, crop=0.4, colour=0.4, erasing=0.5), Image(size=32))
    steps = [
        v2.RandomResizedCrop(32, scale=(0.4, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.4, 0.4, 0.4),
    ]
    for seed in range(20):
        torch.manual_seed(seed)
        seen, after = view(picture), torch.rand(1)
        torch.manual_seed(seed)
        wanted = v2.Compose(steps)(picture)
        wanted = v2.RandomErasing(0.5, value=116)(torch.from_numpy(np.array(wanted)).permute(2, 0, 1))
        assert seen.equal(wanted) and after.equal(torch.rand(1))


# mixing ----------------------------------------------------------------------------------------------


def test_each_kind_mixes_the_share_of_batches_that_it_names() -> None:
    both = Augment(mixup=0.3, mixup_probability=0.35, cutmix=1.0, cutmix_probability=0.25)
    inputs = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 32, 32)
    labels, rng, draws = torch.arange(4).view(4, 1), np.random.default_rng(0), 3000
    counts = {"none": 0, "mixup": 0, "cutmix": 0}
    for _ in range(draws):
        mixed, _, share = mix(inputs, labels, both, rng)
        untouched = mixed is inputs
        assert not untouched or share == 1
        whole = mixed.frac().eq(0).all()  # a box of another work leaves whole numbers, a mean does not
        counts["none" if untouched else "cutmix" if whole else "mixup"] += 1
    for kind, expected in (("none", 0.40), ("mixup", 0.35), ("cutmix", 0.25)):
        deviation = np.sqrt(draws * expected * (1 - expected))
        # λ of MixUp is now and then so near 0 or 1 that nothing shows, and its permutation may be the identity
        slack = draws * 0.35 * 0.06 if kind != "none" else 0
        assert abs(counts[kind] - draws * expected) < 4 * deviation + slack, kind


def test_one_kind_alone_may_leave_batches_as_they_are() -> None:
    inputs, labels, rng = torch.rand(6, 1, 4, 4), torch.arange(6).view(6, 1), np.random.default_rng(1)
    settings = Augment(mixup=1.0, mixup_probability=0.2)
    mixed = sum(mix(inputs, labels, settings, rng)[0] is not inputs for _ in range(2000))
    assert abs(mixed - 400) < 4 * np.sqrt(2000 * 0.2 * 0.8)


# colours, crops, erasing -----------------------------------------------------------------------------


def test_one_strength_is_that_of_brightness_contrast_and_saturation(tmp_path: Path) -> None:
    three = ColourJitter(brightness=0.1, contrast=0.1, saturation=0.1)
    assert Augment(colour=0.1).colour == Augment(colour=three).colour == three
    recipe = load(recipe_file(tmp_path), ["augment.colour=0.1"])
    assert recipe.augment.colour == three
    (tmp_path / "again.yaml").write_text(dump(recipe))
    assert load(tmp_path / "again.yaml") == recipe


def test_brightness_stays_within_its_strength_and_uses_it() -> None:
    view = TrainingView(Augment(colour={"brightness": 0.12}), Image(size=16))
    values = [seen[0, 0, 0] / 100 for seen in pixels_of(view, plain((100, 100, 100)), 300)]
    assert 0.87 <= min(values) < 0.90 and 1.10 < max(values) <= 1.13


def test_hue_turns_within_its_strength_and_changes_nothing_else() -> None:
    view = TrainingView(Augment(colour={"hue": 0.03}), Image(size=16))
    seen = [colorsys.rgb_to_hsv(*(pixel[0, 0] / 255)) for pixel in pixels_of(view, plain((200, 40, 40)), 300)]
    turns = [(hue + 0.5) % 1 - 0.5 for hue, _, _ in seen]
    assert -0.035 <= min(turns) < -0.02 and 0.02 < max(turns) <= 0.035
    assert all(abs(value * 255 - 200) < 3 and abs(saturation - 0.8) < 0.03 for _, saturation, value in seen)


def test_saturation_leaves_grey_alone_and_moves_a_colour() -> None:
    view = TrainingView(Augment(colour={"saturation": 0.1}), Image(size=16))
    assert {int(seen[0, 0, 0]) for seen in pixels_of(view, plain((90, 90, 90)), 50)} == {90}
    assert len({int(seen[0, 0, 1]) for seen in pixels_of(view, plain((200, 40, 40)), 50)}) > 5


def test_no_strength_changes_no_pixels() -> None:
    assert not Augment(colour=0).changes_pixels and not Augment(colour={}).changes_pixels
    assert Augment(colour={"hue": 0.01}).changes_pixels


def ratios(settings: Augment) -> np.ndarray:
    """Width through height of 300 crops of a picture whose red and green count its columns and rows."""
    across, down = np.meshgrid(np.arange(240), np.arange(240))
    picture = PIL.fromarray(np.stack([across, down, across], axis=2).astype(np.uint8))
    seen = [each.astype(float) for each in pixels_of(TrainingView(settings, Image(size=48)), picture, 300)]
    return np.array([(p[24, 40, 0] - p[24, 8, 0]) / (p[40, 24, 1] - p[8, 24, 1]) for p in seen])


def test_crops_keep_to_their_aspect_ratios() -> None:
    narrow, usual = (
        ratios(Augment(crop=0.3, crop_ratio=(0.85, 1.15))),
        ratios(Augment(crop=0.3)),
    )
    assert 0.82 < narrow.min() < 0.89 and 1.11 < narrow.max() < 1.18
    assert usual.min() < 0.80 and usual.max() > 1.25


@pytest.mark.parametrize(("crop_from", "there"), [("square", False), ("painting", True)])
def test_a_crop_reaches_the_ends_of_a_painting_only_where_it_is_taken_from_all_of_it(
    crop_from: str, there: bool
) -> None:
    picture = plain((0, 0, 0), (40, 30))
    picture.paste((255, 255, 255), (36, 0, 40, 30))  # outside the middle square
    settings = Augment(crop=0.7, crop_ratio=(0.85, 1.15), crop_from=crop_from)
    seen = pixels_of(TrainingView(settings, Image(size=32, fit="crop")), picture, 100)
    assert any(each.max() > 200 for each in seen) is there
    assert {each.shape for each in seen} == {(32, 32, 3)}


@pytest.mark.parametrize(("settings", "largest"), [({"erasing_area": 0.12}, 0.12), ({}, 0.33)])
def test_the_area_erased_stays_below_its_largest(settings: dict[str, float], largest: float) -> None:
    view = TrainingView(Augment(erasing=1.0, **settings), Image(size=64))
    shares = [(seen == 116).all(axis=2).mean() for seen in pixels_of(view, plain((0, 0, 0)), 300)]
    assert min(shares) > 0.01 and 0.9 * largest < max(shares) < 1.06 * largest


# schedules -------------------------------------------------------------------------------------------


def test_a_cosine_longer_than_its_phase_is_torchs_cut_off() -> None:
    settings = Schedule(kind="cosine", length=15, interval="epoch", floor=0.1)
    factor = schedule_factor(settings, epochs=10, steps_an_epoch=4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = CosineAnnealingLR(optimizer, T_max=15, eta_min=0.1)
    for _epoch in range(10):
        for step in range(4):
            assert factor(4 * _epoch + step) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert factor(39) > 0.3


def test_a_cosine_longer_than_its_phase_falls_at_every_step_by_default() -> None:
    factor = schedule_factor(Schedule(kind="cosine", length=4), epochs=2, steps_an_epoch=2)
    assert [factor(step) for step in range(5)] == pytest.approx(
        [0.5 * (1 + np.cos(np.pi * step / 8)) for step in range(5)]
    )


# recipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "augment.colour={brightness: 0.12, hue: 0.03}",
        "augment.colour.hue=0.03",
        "augment={crop: 0.7, crop_ratio: [0.85, 1.15], crop_from: painting}",
        "augment={erasing: 0.2, erasing_area: 0.12}",
        "augment={mixup: 0.3, mixup_probability: 0.35}",
        "neck={kind: rowcol, projection: 8, line_mean: true, fuse: concat, attention_hidden: 0}",
        "neck={kind: gru, layers: 2, layer_dropout: 0.2}",
        "phases.0.schedule={kind: cosine, length: 20, interval: epoch}",
        "phases.0.schedule.length=20",
    ],
)
def test_every_option_can_be_set_on_the_command_line(change: str, tmp_path: Path) -> None:
    changed = load(recipe_file(tmp_path), [change])
    assert changed != load(recipe_file(tmp_path))
    (tmp_path / "again.yaml").write_text(dump(changed))
    assert load(tmp_path / "again.yaml") == changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("augment.colour.hues=0.03", "did you mean hue"),
        ("augment.mixup_probabilty=0.3", "did you mean mixup_probability"),
        ("neck.projecton=8", "did you mean projection"),
        ("phases.0.schedule.lenght=8", "did you mean length"),
        ("augment.colour=2", r"augment\.colour: give a strength from 0 to 1"),
        ("augment.colour=[0.1]", r"augment\.colour: give a strength from 0 to 1"),
        ("augment.colour.hue=0.6", r"augment\.colour\.hue"),
        ("augment.mixup_probability=0.3", "set mixup to its α"),
        ("augment={mixup: 0.3, mixup_probability: 0.3, cutmix: 1}", "cutmix has no probability"),
        (
            "augment={mixup: 1, mixup_probability: 0.7, cutmix: 1, cutmix_probability: 0.7}",
            "more than 1 together",
        ),
        ("augment={crop: 0.5, crop_ratio: [1.2, 0.8]}", "smallest and the largest"),
        ("augment.crop_from=painting", "set crop below 1"),
        ("augment.erasing_area=0.1", "set erasing"),
        ("neck.projection=8", "projection is for kind rowcol, not for gru"),
        ("neck.fuse=concat", "fuse is for kind rowcol, not for gru"),
        ("neck.line_mean=true", "line_mean is for kind rowcol, not for gru"),
        ("neck.layer_dropout=0.2", "set layers: 2 or more"),
        ("neck.attention_hidden=0", "pool by attention"),
        ("phases.0.schedule={kind: constant, length: 9}", "length is for kind cosine, not for constant"),
        ("phases.0.schedule.length=2", "less than the 3 epochs"),
        ("phases.0.schedule={kind: plateau, interval: epoch}", "interval: epoch is for"),
        ("phases.0.schedule={kind: cosine, warmup: 1, interval: epoch}", "without a warm-up"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(change: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        load(recipe_file(tmp_path), [change])


def test_the_schedule_of_a_phase_may_be_as_long_as_the_phase() -> None:
    tree = {"name": "x", "phases": [{"epochs": 3, "schedule": {"length": 3}}]}
    assert Recipe.model_validate(tree).phases[0].schedule.length == 3
