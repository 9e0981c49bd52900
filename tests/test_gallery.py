"""Galleries show every painting in its own shape with its text, and samples are drawn from the right works."""

from __future__ import annotations

import io
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from morelli.collection.store import shard_path, write_shard
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.files import write_json
from morelli.report.figures import style
from morelli.report.figures.gallery import Tile, gallery_figure
from morelli.report.sections.samples import pictures_of, samples

LONG = "maurice-quentin-de-la-tour_a-very-long-title-of-a-work-that-goes-on-and-on-1755"
LINES = (
    LONG,
    "artist: Maurice Quentin de la Tour, 87\u00a0%",
    "(given: Giovanni Battista Tiepolo)",
    "x" * 60,
)


def jpeg(width: int = 40, height: int = 40, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def text_boxes(figure: Figure) -> list[Bbox]:
    """The extents of all texts in pixels, as the report draws them."""
    figure.dpi = style.DPI
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts if text.get_text()]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_no_text_overlaps_another_or_a_picture_or_leaves_the_figure(count: int) -> None:
    tiles = [Tile(jpeg(40 + 9 * i, 60), LINES[: 1 + i % 4], style.BLUE) for i in range(count)]
    figure = gallery_figure(tiles, f"{LONG} {LONG}")
    boxes = text_boxes(figure)
    assert len(boxes) > count
    pictures = [axes.get_window_extent() for axes in figure.axes]
    assert not any(a.overlaps(b) for a, b in combinations(boxes + pictures, 2))
    inside = figure.bbox
    assert all(b.x0 >= inside.x0 and b.x1 <= inside.x1 and b.y0 >= inside.y0 for b in boxes)
    assert all(b.y1 <= inside.y1 for b in boxes)


def test_pictures_keep_their_shape_and_stand_in_rows_of_equal_cells() -> None:
    shapes = [(300, 100), (100, 300), (200, 200), (640, 480), (20, 500), (50, 50), (70, 40)]
    figure = gallery_figure([Tile(jpeg(*shape), ("a work",)) for shape in shapes])
    boxes = [axes.get_window_extent() for axes in figure.axes]
    for (width, height), box in zip(shapes, boxes, strict=True):
        assert box.width / box.height == pytest.approx(width / height, rel=0.02)
    assert np.ptp([box.y0 for box in boxes[:5]]) < 1e-6 and boxes[5].y0 < boxes[0].y0
    middles = [(box.x0 + box.x1) / 2 for box in boxes]
    assert np.allclose(np.diff(middles[:5]), middles[1] - middles[0]) and middles[5] == pytest.approx(
        middles[0]
    )


def test_the_pictures_are_those_given_in_their_order() -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    figure = gallery_figure([Tile(jpeg(colour=colour), ("w",)) for colour in colours])
    for axes, colour in zip(figure.axes, colours, strict=True):
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array())[5, 5], colour, atol=6)


def test_a_picture_that_is_missing_or_damaged_is_a_box_that_says_so() -> None:
    cut = jpeg(400, 300)[:200]
    figure = gallery_figure([Tile(None, ("lost",)), Tile(cut, ("cut",)), Tile(jpeg(), ("whole",))])
    assert words(figure).count("picture not\navailable") == 2
    assert len(figure.axes) == 1


def test_no_tiles_say_that_there_is_no_work_to_show() -> None:
    (axes,) = gallery_figure([], "Nothing").axes
    assert [text.get_text() for text in axes.texts] == ["no work to show"]


def test_short_lines_are_written_whole_and_the_first_is_bold() -> None:
    lines = ("a work", "style: Ukiyo e, 87\u00a0%", "$x_1$ and 漢字", "")
    figure = gallery_figure([Tile(jpeg(), lines)])
    assert words(figure) == list(lines[:3])
    assert [text.get_fontweight() for text in figure.texts if text.get_text()] == ["bold", "normal", "normal"]
    assert style.png(figure).startswith(b"\x89PNG")  # without a warning for letters that the font lacks


def test_a_long_line_goes_on_in_a_second_and_ends_in_an_ellipsis() -> None:
    shown = words(gallery_figure([Tile(jpeg(), (LONG,))]))
    assert len(shown) == 2 and shown[1].endswith("…")
    assert LONG.startswith("".join(shown)[:-1])
    (single,) = style.wrap("x" * 500, 1.0, 9)
    assert single.endswith("…") and set(single[:-1]) == {"x"}


def test_a_no_break_space_keeps_a_number_with_its_sign() -> None:
    shown = style.wrap("artist: Maurice Quentin 87\u00a0% and more", 1.6, 8)
    assert [line for line in shown if "87" in line] == [line for line in shown if "%" in line]


def test_a_frame_has_the_tiles_colour_and_lies_around_its_picture() -> None:
    figure = gallery_figure([Tile(jpeg(), ("a",), style.GREEN), Tile(jpeg(), ("b",))])
    (frame,) = figure.artists if figure.artists else figure.patches
    assert to_hex(frame.get_edgecolor()) == style.GREEN.lower()
    np.testing.assert_allclose(
        frame.get_window_extent().extents, figure.axes[0].get_window_extent().extents, atol=1
    )


@pytest.mark.skipif("MORELLI_REAL_DATA" not in os.environ, reason="needs MORELLI_REAL_DATA")
def test_a_gallery_of_twenty_five_real_paintings_is_a_jpeg_below_600_kilobytes() -> None:
    folder = Path(os.environ["MORELLI_REAL_DATA"]) / "wikiart10" / "wikiart"
    files = sorted(folder.glob("*/*.jpg"))
    tiles = [Tile(file.read_bytes(), LINES) for file in files[:: len(files) // 25][:25]]
    data = style.jpeg(gallery_figure(tiles, "Twenty-five"))
    assert len(data) < 600_000
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG" and image.width > 1000


def predictions(
    works: int = 400, seed: int = 0, tasks: tuple[str, ...] = ("artist", "style", "genre")
) -> Predictions:
    rng = np.random.default_rng(seed)
    made = {}
    for task in tasks:
        labels = rng.integers(-1, 4, works).astype(np.int32)
        scores = rng.random((works, 4)) + 0.6 * np.eye(4)[labels] * (labels >= 0)[:, None]
        names = [f"{task}_{letter}" for letter in "abcd"]
        made[task] = TaskPredictions(
            names, labels, (scores / scores.sum(1, keepdims=True)).astype(np.float32)
        )
    ids = [f"folder/work-{i}.jpg" for i in range(works)]
    return Predictions(ids, [f"/images/{work}" for work in ids], made)


def kinds(given: Predictions) -> pd.Series:
    """How many answers of each work are right, NaN where a label is unknown: by a table, work by work."""
    rows = []
    for i, work in enumerate(given.ids):
        verdicts = []
        for task in given.tasks.values():
            best = max(range(len(task.names)), key=lambda k, task=task, i=i: task.probabilities[i, k])
            verdicts.append(None if task.labels[i] == -1 else best == task.labels[i])
        rows.append({"id": work, "right": None if None in verdicts else sum(verdicts)})
    return pd.DataFrame(rows).set_index("id")["right"]


@pytest.mark.parametrize("tasks", [("artist", "style", "genre"), ("style", "genre")])
def test_a_sample_holds_works_with_exactly_so_many_right_answers(tasks: tuple[str, ...]) -> None:
    given = predictions(tasks=tasks)
    truth = kinds(given)
    asked: list[str] = []

    def picture(work: str) -> bytes:
        asked.append(work)
        return work.encode()

    made = samples(given, picture)
    assert [sample.name for sample in made] == (
        ["all", "two", "one", "none"] if len(tasks) == 3 else ["all", "one", "none"]
    )
    for sample in made:
        right_ones = truth.index[truth == sample.right]
        assert sample.works == len(right_ones) > 0
        shown = [tile.picture.decode() for tile in sample.tiles if tile.picture]
        assert len(shown) == len(set(shown)) == min(10, len(right_ones))
        assert set(shown) <= set(right_ones)
        assert [tile.lines[0] for tile in sample.tiles] == [Path(work).stem for work in shown]
    assert sorted(asked) == sorted(set(asked))


def test_the_same_seed_draws_the_same_works_and_another_draws_others() -> None:
    given = predictions()

    def drawn(seed: int) -> list[str]:
        return [
            tile.lines[0] for sample in samples(given, lambda _: None, seed=seed) for tile in sample.tiles
        ]

    assert drawn(0) == drawn(0) != drawn(1)


def test_a_kind_with_fewer_works_than_asked_for_shows_all_of_them() -> None:
    given = predictions(works=30)
    for sample in samples(given, lambda _: None, size=7):
        assert len(sample.tiles) == min(7, sample.works)
    assert {len(sample.tiles) for sample in samples(given, lambda _: None, size=100)} == {
        sample.works for sample in samples(given, lambda _: None)
    }


def test_a_tile_gives_answer_and_confidence_and_the_given_label_where_it_differs() -> None:
    style_task = TaskPredictions(
        ["Ukiyo_e", "Pop_Art"], np.array([1], np.int32), np.array([[0.125, 0.875]], np.float32)
    )
    artist = TaskPredictions(
        ["claude-monet", "joan-miro"], np.array([1], np.int32), np.array([[0.997, 0.003]], np.float32)
    )
    given = Predictions(["x/a_b.jpg"], ["/x/a_b.jpg"], {"artist": artist, "style": style_task})
    (tile,) = (tile for sample in samples(given, lambda _: b"") for tile in sample.tiles)
    assert tile.lines == (
        "a_b",
        "artist: claude-monet, 99\u00a0%",  # 100 % would claim certainty
        "(given: joan-miro)",
        "style: Pop Art, 88\u00a0%",
    )


def test_a_run_with_one_task_has_no_samples() -> None:
    assert samples(predictions(tasks=("style",)), lambda _: None) == []


def write_collection(folder: Path, ids: list[str]) -> dict[str, bytes]:
    """A collection of one shard, whose pictures all differ."""
    pictures = {work: jpeg(colour=(10 * i % 256, i, 80)) for i, work in enumerate(ids)}
    (folder / "images").mkdir(parents=True)
    write_shard(shard_path(folder / "images", 0), list(pictures.values()), ids)
    table = pd.DataFrame({"id": ids, "file": ids, "artist_name": None, "split": "test", "shard": 0})
    table["row"] = np.arange(len(ids))
    table[["artist", "style", "genre"]] = 0
    table.to_parquet(folder / "collection.parquet")
    facts = {"version": 1, "size": 40, "vocabularies": {}, "splits": {"test": len(ids)}}
    write_json(folder / "collection.json", facts | {"images_fingerprint": "x"})
    return pictures


def test_pictures_come_from_where_the_works_were_scored(tmp_path: Path) -> None:
    ids = [f"w{i}.jpg" for i in range(6)]
    own = write_collection(tmp_path / "own", ids[::-1])
    other = write_collection(tmp_path / "other", ids)
    run = tmp_path / "run"
    run.mkdir()
    (run / "collection.txt").write_text(f"{tmp_path / 'own'}\n")
    picture = pictures_of(run, {"collection": str(tmp_path / "other")}, ids[:4])
    assert picture is not None and [picture(work) for work in ids] == [other[work] for work in ids]
    for scores in ({}, {"collection": str(tmp_path / "gone")}):
        picture = pictures_of(run, scores, ids[:4])
        assert picture is not None and [picture(work) for work in ids] == [own[work] for work in ids]


def test_a_collection_that_is_gone_or_holds_other_works_gives_no_pictures(tmp_path: Path) -> None:
    write_collection(tmp_path / "here", ["a.jpg", "b.jpg"])
    here = {"collection": str(tmp_path / "here")}
    assert pictures_of(tmp_path, here, ["a.jpg"]) is not None
    assert pictures_of(tmp_path, here, ["a.jpg", "c.jpg"]) is None
    assert pictures_of(tmp_path, {"collection": str(tmp_path / "gone")}, ["a.jpg"]) is None
    assert pictures_of(tmp_path, {}, ["a.jpg"]) is None
    (tmp_path / "here" / "collection.json").write_text("{")
    assert pictures_of(tmp_path, here, ["a.jpg"]) is None


def test_a_lost_shard_is_no_picture_but_no_failure(tmp_path: Path) -> None:
    write_collection(tmp_path / "here", ["a.jpg"])
    shard_path(tmp_path / "here" / "images", 0).unlink()
    picture = pictures_of(tmp_path, {"collection": str(tmp_path / "here")}, ["a.jpg"])
    assert picture is not None and picture("a.jpg") is None
