"""Deletion and insertion curves, on scores whose evidence is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from test_map_statistics import painting as seen
from test_map_statistics import reader

from benchmarks.experiments.faithfulness import maps_of
from morelli.evaluation.faithfulness import (
    blurred,
    centre_map,
    deletion,
    insertion,
    mean_interval,
    random_map,
)

SHAPE = (40, 60)


def painting(seed: int = 0) -> np.ndarray:
    """Noise, dark but for a bright square (rows 5–14, columns 40–54)."""
    image = np.random.default_rng(seed).integers(0, 60, (*SHAPE, 3), dtype=np.uint8)
    image[5:15, 40:55] = 240
    return image


def evidence() -> np.ndarray:
    found = np.zeros(SHAPE)
    found[5:15, 40:55] = 1
    return found


def brightness(images: np.ndarray) -> np.ndarray:
    """A score that sees the square alone."""
    assert images.dtype == np.uint8 and images.shape[1:] == (*SHAPE, 3)
    return images[:, 5:15, 40:55].mean(axis=(1, 2, 3)) / 255


def test_the_first_and_the_last_image_of_a_curve_are_the_two_ends():
    image, seen = painting(), []

    def keep(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return np.arange(len(images))

    deletion(keep, image, evidence(), 7)
    insertion(keep, image, evidence(), 7)
    gone, shown = seen
    assert len(gone) == len(shown) == 8
    mean = image.mean(axis=(0, 1)).round()
    np.testing.assert_array_equal(gone[0], image)
    np.testing.assert_array_equal(gone[-1], np.broadcast_to(mean, image.shape))
    np.testing.assert_array_equal(shown[0], blurred(image))
    np.testing.assert_array_equal(shown[-1], image)


def test_pixels_go_in_the_order_of_the_map():
    image, seen = painting(), []
    heat = np.random.default_rng(4).permutation(image[..., 0].size).reshape(SHAPE)
    deletion(lambda images: seen.append(images) or np.zeros(len(images)), image, heat, 10)
    mean = image.mean(axis=(0, 1)).round()
    for step, shown in enumerate(seen[0]):
        strongest = heat >= heat.size - step * heat.size // 10
        np.testing.assert_array_equal(shown, np.where(strongest[..., None], mean, image))


def test_the_area_is_that_of_the_trapezoids_by_hand():
    curve = deletion(lambda images: np.array([1.0, 0.5, 0.5, 0.0]), painting(), evidence(), 3)
    np.testing.assert_allclose(curve.share, [0, 1 / 3, 2 / 3, 1])
    assert curve.area == pytest.approx((0.75 + 0.5 + 0.25) / 3)


def test_a_true_map_deletes_and_inserts_faster_than_random_and_centred_ones():
    image = painting()
    others = [centre_map(SHAPE), *(random_map(SHAPE, (4, 6), seed) for seed in range(12))]
    true_fall = deletion(brightness, image, evidence()).area
    true_rise = insertion(brightness, image, evidence()).area
    falls = [deletion(brightness, image, heat).area for heat in others]
    rises = [insertion(brightness, image, heat).area for heat in others]
    assert true_fall < min(falls) - 0.05 and true_rise > max(rises) + 0.02
    # and the opposite map does worse than any of them
    assert deletion(brightness, image, 1 - evidence()).area > max(falls)
    assert insertion(brightness, image, 1 - evidence()).area < min(rises)


def test_a_map_without_any_difference_takes_the_pixels_from_the_top_left():
    seen = []
    image = painting()
    deletion(lambda images: seen.append(images) or np.zeros(len(images)), image, np.zeros(SHAPE), 4)
    np.testing.assert_array_equal(seen[0][1][10:], image[10:])
    assert len(np.unique(seen[0][1][:10].reshape(-1, 3), axis=0)) == 1


def test_a_random_map_is_reproducible_has_the_grain_of_its_grid_and_no_place_of_its_own():
    one, again, other = (random_map((56, 84), (7, 7), seed) for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).any()
    assert one.shape == (56, 84) and 0 <= one.min() < 0.2 and 0.8 < one.max() <= 1
    assert np.abs(np.diff(one, axis=0)).max() < 0.3, "smooth between its cells"
    mean = np.mean([random_map((56, 84), (7, 7), seed) for seed in range(300)], axis=0)
    np.testing.assert_allclose(mean, 0.5, atol=0.1)


@pytest.mark.parametrize("shape", [(224, 224), (30, 71), (7, 7)])
def test_maps_have_the_shape_asked_for(shape):
    assert random_map(shape, (7, 7), 0).shape == centre_map(shape).shape == shape


def test_the_centred_map_is_strongest_in_the_middle_and_the_same_on_all_sides():
    found = centre_map((41, 61))
    assert np.unravel_index(found.argmax(), found.shape) == (20, 30) and found.max() == 1
    np.testing.assert_allclose(found, found[::-1, ::-1])
    assert found[20, 0] == pytest.approx(np.exp(-((30 / 61 / 0.25) ** 2) / 2), rel=1e-5)


def test_the_interval_of_a_mean_is_students():
    values = np.array([0.1, 0.4, 0.2, 0.9, 0.5])
    low, high = student.interval(0.95, 4, values.mean(), values.std(ddof=1) / 5**0.5)
    mean, half = mean_interval(values)
    assert (mean - half, mean + half) == (pytest.approx(low), pytest.approx(high))
    assert np.isnan(mean_interval(values[:1])[1]) and np.isnan(mean_interval(values[:0])[0])


def test_the_benchmark_compares_with_random_maps_of_the_same_grain() -> None:
    """Statistics of maps have one cell, of which a random map would be one grey."""
    model, pixels = reader(), seen()
    maps = maps_of(model, pixels, "style", 0, ["grad-cam"], seed=4)
    side = pixels.shape[-1]
    np.testing.assert_array_equal(maps["random"], random_map((side, side), (8, 8), 4))
