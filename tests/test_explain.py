"""An explanation says what the network answers, tells it in words, and leaves files that stand alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL
from test_saliency import backbone
from tiny import neck_settings, painted_collection

from morelli.collection.collection import Collection
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation.turning_points import turning_points
from morelli.jobs.explain import explain
from morelli.jobs.predict import predict
from morelli.jobs.results.explain import Explanation
from morelli.network.necks.neck import NECKS
from morelli.network.necks.scan import SCANS
from morelli.network.network import Network
from morelli.prediction.model import Model, save_model
from morelli.recipe import Image, Neck, Phase, Recipe, Training, parse
from morelli.report.figures import style
from morelli.report.figures.reading_trace import Reading, leading_classes, numbered, trace_figure
from morelli.report.figures.saliency_map import map_figure, overlay
from morelli.report.pages.explain import place, story


@pytest.fixture(scope="module", autouse=True)
def coarse_pictures() -> Iterator[None]:
    """Figures of few pixels: what is drawn is tested, and drawing is most of the time."""
    original = style._save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_save", lambda drawn, kind, dpi, **how: original(drawn, kind, 30, **how))
        yield


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return Collection.open(painted_collection(tmp_path_factory.mktemp("painted"), 60))


def make_run(folder: Path, collection: Collection, neck: Neck, **changes: Any) -> Path:
    """A run of random weights: an explanation is of what a network does, well taught or not."""
    recipe = Recipe(
        name="test",
        phases=[Phase(epochs=1)],
        image=Image(size=32, fit=changes.pop("fit", "squash")),
        neck=neck,
        training=Training(precision="fp32"),
        **changes,
    )
    tree = recipe.model_dump(mode="json")
    tree["backbones"] = [{"name": "resnet18", "stage": 1, "weights": "none"}]
    recipe = parse(tree, "test")
    network = Network(recipe, collection.vocabularies, backbone())
    vocabularies = {task: collection.vocabularies[task] for task in recipe.tasks}
    model = Model(network, recipe, vocabularies, *network.colours, {"style": 0.2}, {"prepared_size": 32})
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder)
    (folder / "collection.txt").write_text(f"{collection.folder}\n")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, collection: Collection) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), collection, Neck(kind="gru", width=6))


@pytest.fixture(scope="module")
def told(run: Path, collection: Collection) -> Explanation:
    return explain(run, collection.table["id"].iloc[3])


def test_the_answers_are_those_of_predict_and_the_trace_ends_in_them(
    told: Explanation, run: Path, collection: Collection, tmp_path: Path
) -> None:
    work = collection.table.iloc[3]
    predict(run, [Path(work["file"])], tmp_path / "answers.parquet")
    answer = pd.read_parquet(tmp_path / "answers.parquet").iloc[0]
    trace = pd.read_csv(told.folder / "trace.csv")
    assert list(told) == ["artist", "style", "genre"]
    for task, found in told.to_dict()["tasks"].items():
        names = collection.vocabularies[task]
        probabilities = np.array(answer[f"{task}_probabilities"])
        assert found["answer"] == answer[task] and found["given"] == names[work[task]]
        assert found["confidence"] == pytest.approx(answer[f"{task}_confidence"], abs=1e-5)
        best = np.argsort(-probabilities)[:5]
        assert [each["class"] for each in found["top"]] == [names[number] for number in best]
        np.testing.assert_allclose([e["probability"] for e in found["top"]], probabilities[best], atol=1e-5)
        rows = trace[trace["task"] == task]
        last = rows[rows["step"] == rows["step"].max()]
        assert last["class"].tolist() == names and rows["step"].max() == told.trace["steps"] == 64
        np.testing.assert_allclose(last["probability"], probabilities, atol=2e-5)


def test_turning_points_are_those_of_the_table(told: Explanation) -> None:
    trace = pd.read_csv(told.folder / "trace.csv")
    for task, found in told.to_dict()["tasks"].items():
        rows = trace[trace["task"] == task]
        leaders = rows.loc[rows.groupby("step")["probability"].idxmax()].set_index("step")["class"]
        changes = leaders[leaders != leaders.shift()].iloc[1:]
        turns = [point for point in found["turning_points"] if point["kind"] == "turn"]
        assert [(p["step"], p["after"]) for p in turns] == list(changes.items())
        for point in turns:
            step = point["step"] - 1
            assert point["cells"] == [[step // 8, step % 8]], "a row scan of 8 × 8 cells"


def test_every_file_said_is_there_and_the_page_needs_no_other(told: Explanation) -> None:
    folder = told.folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(told.files)
    assert json.loads((folder / "explanation.json").read_text()) == told.to_dict()
    page = (folder / "index.html").read_text()
    sources = re.findall(r"(?:src|href)=\"([^\"]{0,30})", page)
    assert len(sources) == 7 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert all(found["story"] in page for found in told.to_dict()["tasks"].values())
    for name in told.files:
        if name.endswith(".png"):
            with PIL.open(folder / name) as picture:
                assert picture.format == "PNG"


def test_the_map_alone_has_the_size_of_the_painting(
    run: Path, collection: Collection, tmp_path: Path
) -> None:
    picture = PIL.open(collection.table["file"].iloc[0]).convert("RGB").resize((150, 90))
    picture.save(tmp_path / "a photo.jpg")
    found = explain(run, str(tmp_path / "a photo.jpg"), task=["style"])
    assert found.folder == run / "explain" / "a_photo"
    with PIL.open(run / "explain" / "a_photo" / "heat_style.png") as heat:
        heat.load()
    assert heat.size == (150, 90) and heat.mode == "L" and heat.getextrema()[1] > 200
    assert found["style"].given is None


@pytest.mark.slow
def test_an_image_file_gets_the_answers_of_the_work_it_is(
    told: Explanation, run: Path, collection: Collection
) -> None:
    found = explain(run, collection.table["file"].iloc[3], task=["genre"]).to_dict()["tasks"]["genre"]
    assert found["answer"] == told["genre"].answer
    assert found["story"] == told["genre"].story


@pytest.mark.parametrize("kind", sorted(set(NECKS) - {"mlp"}))  # which reads no map
def test_every_neck_is_explained(kind: str, collection: Collection, tmp_path: Path) -> None:
    run = make_run(
        tmp_path, collection, Neck(**neck_settings(kind, width=6, pool="attention")), tasks=["style"]
    )
    found = explain(run, collection.table["id"].iloc[0])
    attends = kind not in ("mean", "statistics")
    assert ("attention.png" in found.files) is attends
    page = (found.folder / "index.html").read_text()
    assert ("Attention of the neck" in page) is attends
    assert found.trace["ordered"] is (kind in ("lstm", "gru", "mingru", "convlstm"))
    assert found["style"].story.startswith("After " if found.trace["ordered"] else "From ")


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_painting_that_is_not_square_is_explained_under_every_fit(
    fit: str, collection: Collection, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", collection, Neck(kind="convlstm", width=6), tasks=["style"], fit=fit)
    PIL.open(collection.table["file"].iloc[0]).convert("RGB").resize((120, 60)).save(tmp_path / "wide.png")
    explain(run, str(tmp_path / "wide.png"), tmp_path / "out", method="layer-cam")
    heat = np.asarray(PIL.open(tmp_path / "out" / "heat_style.png"))
    assert heat.shape == (60, 120) and heat.any()
    if fit == "crop":
        assert not heat[:, :30].any() and not heat[:, 90:].any()


@pytest.mark.slow
def test_pictures_of_an_earlier_explanation_go_and_other_files_stay(
    run: Path, collection: Collection, tmp_path: Path
) -> None:
    work = collection.table["id"].iloc[1]
    explain(run, work, tmp_path, task=["style", "genre"])
    (tmp_path / "my_notes.png").write_bytes(b"mine")
    found = explain(run, work, tmp_path, task=["style"])
    assert {path.name for path in tmp_path.iterdir()} == {*found.files, "my_notes.png"}
    assert list(found) == ["style"]


@pytest.mark.parametrize(
    ("query", "options", "error", "message"),
    [
        ("ID", {"method": "smoke"}, UsageError, "--method smoke: must be one of grad-cam"),
        ("ID", {"method": "attention"}, UsageError, r"neck \(gru\) does not pool by attention"),
        ("ID", {"task": ["colour"]}, UsageError, "--task colour: not a task of this run; it has artist"),
        ("nothing.jpg", {}, UsageError, "neither an image file nor the id"),
        ("PAGE", {}, DataError, r"page\.jpg: cannot be read \(not-an-image\)"),
    ],
)
def test_a_wrong_call_is_said_in_one_sentence_and_writes_nothing(
    query: str,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    run: Path,
    collection: Collection,
    tmp_path: Path,
) -> None:
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    names = {"ID": collection.table["id"].iloc[0], "PAGE": str(tmp_path / "page.jpg")}
    with pytest.raises(error, match=message):
        explain(run, names.get(query, query), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_work_is_explained_without_its_original_and_an_image_without_the_collection(
    collection: Collection, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", collection, Neck(kind="mean"), tasks=["genre"])
    file = collection.table["file"].iloc[2]
    moved = Collection(
        collection.folder, collection.table.assign(file="gone/" + collection.table["file"]), collection.info
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("morelli.run.Run.open_collection", lambda run: moved)
        found = explain(run, collection.table["id"].iloc[2])
    (run / "collection.txt").unlink()
    assert explain(run, file)["genre"].answer == found["genre"].answer
    with pytest.raises(RunError, match=r"collection\.txt: missing"):
        explain(run, collection.table["id"].iloc[2])


def test_a_name_with_marks_of_html_is_shown_as_it_is(
    run: Path, collection: Collection, tmp_path: Path
) -> None:
    file = tmp_path / "<b>&$x_1$.jpg"
    file.write_bytes(Path(collection.table["file"].iloc[0]).read_bytes())
    found = explain(run, str(file), task=["style"])
    page = (found.folder / "index.html").read_text()
    assert "<h1>&lt;b&gt;&amp;$x_1$.jpg</h1>" in page and "<b>" not in page


def test_the_answers_and_stories_are_printed(told: Explanation, capsys: pytest.CaptureFixture[str]) -> None:
    told.show()
    said = capsys.readouterr().err.replace("\n", " ")
    assert told["genre"].story in said and "index.html" in said


# words and figures -------------------------------------------------------------------------------------


def reading(beliefs: Any, grid: tuple[int, int] = (3, 3), scan: str = "row", **changes: Any) -> Reading:
    table = np.asarray(beliefs, dtype=float)
    cells = SCANS[scan](*grid).numpy().reshape(len(table), -1)
    values: dict[str, Any] = {
        "names": ["Cubism", "Rococo", "Pop Art", "Fauvism", "Realism", "Baroque"][: table.shape[1]],
        "probabilities": table,
        "cells": cells,
        "grid": grid,
        "box": (0.0, 0.0, 1.0, 1.0),
        "points": numbered(turning_points(table)),
        "unit": "token" if cells.shape[1] == 1 else "row",
        "ordered": True,
    }
    return Reading(**(values | changes))


TURNED = [[0.8, 0.2]] * 3 + [[0.6, 0.4]] * 3 + [[0.3, 0.7], [0.25, 0.75], [0.2, 0.8]]


def test_the_story_of_a_turn_names_the_passage() -> None:
    assert story(reading(TURNED)) == (
        "After the upper third Cubism (0.80) leads. The passage at the lower left (token 7 of 9) puts Rococo in the "
        "lead (0.70), where it stays: 0.80 at the end."
    )


@pytest.mark.parametrize(
    ("scan", "part", "where"),
    [
        ("row-reverse", "the lower third", "at the upper right"),
        ("column", "the left third", "at the upper right"),
        ("column-reverse", "the right third", "at the lower left"),
        ("snake-reverse", "the lower third", "at the upper right"),
    ],
)
def test_the_story_follows_the_scan(scan: str, part: str, where: str) -> None:
    words = story(reading(TURNED, scan=scan))
    assert f"After {part} Cubism (0.80) leads" in words and f"The passage {where} (token 7" in words


def test_the_story_of_a_belief_that_never_turned_and_where_it_rose() -> None:
    beliefs = [[0.4, 0.3, 0.3]] * 4 + [[0.7, 0.2, 0.1]] * 4 + [[0.8, 0.1, 0.1]]
    assert story(reading(beliefs)) == (
        "After the upper third Cubism (0.40) leads and stays in the lead: 0.80 at the end. The probability of Cubism "
        "rises most, from 0.40 to 0.70, with the passage in the middle (token 5 of 9)."
    )


def test_the_story_of_a_return_and_of_a_turn_at_the_very_end() -> None:
    back = [[0.6, 0.4]] * 4 + [[0.3, 0.7]] * 4 + [[0.9, 0.1]]
    assert (
        "Cubism (0.60) leads, but not for good. The passage at the lower right (token 9 of 9) puts Cubism back"
        in (story(reading(back)))
    )
    assert story(reading(back)).endswith("puts Cubism back in the lead (0.90), the answer.")


def test_rows_are_named_by_number_and_those_only_revealed_as_such() -> None:
    beliefs = [[0.6, 0.4], [0.55, 0.45], [0.3, 0.7]]
    words = story(reading(beliefs, ordered=False))
    assert words == (
        "From the upper third alone Cubism (0.60) leads. Row 3 of 3 from the top puts Rococo in the lead (0.70), the "
        "answer."
    )
    assert story(reading([[0.6, 0.4]], (1, 1))) == "The painting is read in one step: Cubism (0.60)."


def test_places_are_named_in_nine_parts() -> None:
    names = [place(x, y) for y in (0.1, 0.5, 0.9) for x in (0.1, 0.5, 0.9)]
    assert names == [
        "at the upper left",
        "at the top",
        "at the upper right",
        "at the left",
        "in the middle",
        "at the right",
        "at the lower left",
        "at the bottom",
        "at the lower right",
    ]


def test_the_answer_comes_first_then_what_led_longest_then_what_was_believed_most() -> None:
    beliefs = np.array(
        [[0.5, 0.2, 0.1, 0.2, 0], [0.2, 0.5, 0.1, 0.2, 0], [0.1, 0.6, 0.1, 0.2, 0], [0.2, 0, 0.3, 0.15, 0.35]]
    )
    assert leading_classes(beliefs) == [4, 1, 0, 2] and leading_classes(beliefs, 2) == [4, 1]


def test_of_many_turns_the_longest_the_last_and_the_largest_rise_are_numbered() -> None:
    rng = np.random.default_rng(5)
    beliefs = rng.dirichlet(np.ones(4), 60)
    points = turning_points(beliefs)
    kept = numbered(points)
    assert len(points) > 20 and len(kept) <= 6 and [p.step for p in kept] == sorted({p.step for p in kept})
    turns = [point for point in points if point.kind == "turn"]
    rise = next(point for point in points if point.kind == "rise")
    assert turns[-1] in kept and rise.step in [point.step for point in kept]
    left = [t.held for t in turns if t not in kept]
    free = [t.held for t in kept if t is not turns[-1] and t.step != rise.step]
    assert len(free) == 4 and max(left) <= min(free)


def texts(figure: Any) -> list[str]:
    return [item.get_text() for item in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize("size", [(60, 200), (200, 60), (90, 90)])
@pytest.mark.parametrize("grid", [(3, 3), (14, 14)])
def test_the_trace_figure_has_a_number_on_the_painting_for_each_in_the_chart(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    beliefs = np.random.default_rng(1).dirichlet(np.ones(6), grid[0] * grid[1])
    drawn = reading(beliefs, grid)
    painting = np.full((*size, 3), 128, np.uint8)
    figure = trace_figure(painting, drawn, "How $x_1$ was reached")
    canvas, chart = figure.axes
    for number, point in enumerate(drawn.points, start=1):
        row, column = divmod(point.step, grid[1])
        spot = next(t for t in canvas.texts if t.get_text() == str(number)).get_position()
        middle = ((column + 0.5) / grid[1] * size[1], (row + 0.5) / grid[0] * size[0])
        np.testing.assert_allclose(spot, middle)
        assert next(t for t in chart.texts if t.get_text() == str(number)).get_position()[0] == point.step + 1
    shown = leading_classes(beliefs)
    names = [text.replace("\n", " ") for text in texts(figure)]
    assert all(f"{beliefs[-1, number]:.2f} {drawn.names[number]}" in names for number in shown)
    assert f"{1 - beliefs[-1, shown].sum():.2f} 2 others" in names and "How $x_1$ was reached" in names


def test_the_path_lies_inside_the_box_that_the_network_saw() -> None:
    drawn = reading(TURNED, box=(0.25, 0.0, 0.75, 1.0))
    canvas = trace_figure(np.zeros((100, 200, 3), np.uint8), drawn, "t").axes[0]
    xs = np.concatenate([line.get_xdata() for line in canvas.lines])
    assert (xs.min(), xs.max()) == (pytest.approx(50 + 100 / 6), pytest.approx(150 - 100 / 6))


def test_the_overlay_is_white_paper_where_nothing_is_and_keeps_the_paintings_lights_and_darks() -> None:
    painting = np.zeros((2, 2, 3), np.uint8)
    painting[0] = 255
    found = overlay(painting, np.array([[0.0, 1.0], [0.0, 1.0]])).astype(int)
    assert found[0, 0].min() > 230 and found[1, 0].max() < 90
    red, green, blue = found[0, 1]
    assert red > 2 * green and red > 2 * blue and found[1, 1].sum() < found[0, 1].sum()


def test_the_map_figure_says_what_its_colours_mean() -> None:
    figure = map_figure(np.zeros((40, 90, 3), np.uint8), np.zeros((40, 90)), "Where it looked", "share")
    figure.draw_without_rendering()
    assert {"Where it looked", "share", "0.0", "0.5", "1.0"} <= set(texts(figure))
