"""``morelli report``: each section shows the works that an independent reckoning finds, and the page is valid HTML that
needs nothing but itself, whatever is there and whatever is missing."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from PIL import Image
from test_explain import make_run
from test_gallery import write_collection
from tiny import painted_collection
from typer.testing import CliRunner

from morelli.cli import app
from morelli.collection.collection import Collection
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.scores.scores import score
from morelli.evaluation.search.search import Index
from morelli.files import digest, write_json
from morelli.jobs.report import write_report
from morelli.jobs.results.report import ReportPage
from morelli.recipe import Neck
from morelli.report.figures import style
from morelli.report.html import Missing, thumbnail
from morelli.report.run_results import RunResults, read_run_results
from morelli.report.sections import collection_summary
from morelli.report.sections.confused import confusions
from morelli.report.sections.nearest import by_other_artists, example_works
from morelli.report.sections.neighbour_index import NeighbourIndex, open_neighbour_index
from morelli.report.sections.traces import choose

pytestmark = pytest.mark.slow  # of the fixture that all share

WORKS, WIDTH = 120, 6
SECTIONS = ("confused", "candidates", "nearest", "traces")


def answers(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Probabilities (N, K), right for two works in three or so."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(labels), classes))
    scores[np.arange(len(labels)), np.maximum(labels, 0)] += 1.5
    return (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)


def write_answers(run: Path, works: pd.DataFrame, vocabularies: dict[str, list[str]]) -> Predictions:
    """What ``evaluate`` leaves: half of the works are the test split, all have a vector in the index."""
    rng = np.random.default_rng(7)
    works = works.assign(split=np.where(np.arange(len(works)) % 2, "test", "train"))
    works.to_parquet(run / "collection.parquet")
    vectors = rng.normal(size=(len(works), WIDTH)).astype(np.float32)
    weights = {"weights": digest(run / "model.safetensors")} if (run / "model.safetensors").exists() else {}
    Index.build(run / "index", vectors, works[["id"]], weights)
    test = np.flatnonzero(works["split"] == "test")
    tasks = {
        task: TaskPredictions(
            names, labels := works[task].to_numpy(np.int32)[test], answers(labels, len(names), n)
        )
        for n, (task, names) in enumerate(vocabularies.items())
    }
    ids = list(works["id"].iloc[test])
    given = Predictions(ids, ids, tasks, vectors[test])
    predictions_file.write(given, run / "predictions-test.parquet")
    write_json(run / "scores-test.json", score(given, works))
    return given


def write_audit(run: Path, given: Predictions, each: int = 11) -> pd.DataFrame:
    """What the combined audit leaves, of ``each`` works a task."""
    rows = [
        {
            "rank": rank,
            "task": task,
            "id": given.ids[-rank],
            "given": found.names[0],
            "suggested": found.names[1],
            "reason": [
                "the sum",
                f"first reason {rank} <i>of</i> {task}",
                "2; 2",
                "third",
                "fourth",
                "fifth",
            ],
        }
        for task, found in given.tasks.items()
        for rank in range(1, each + 1)
    ]
    folder = run / "audit" / "combined-all"
    folder.mkdir(parents=True)
    table = pd.DataFrame(rows)
    table.sample(frac=1, random_state=0).to_parquet(
        folder / "candidates.parquet"
    )  # ranks count, not the order
    return table


@pytest.fixture(scope="module", autouse=True)
def coarse() -> Any:
    """Figures that are soon drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 36)
        patch.setattr(style, "JPEG_DPI", 36)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights with painted works, and everything that the sections are made of."""
    here = tmp_path_factory.mktemp("report")
    collection = Collection.open(painted_collection(here, WORKS))
    made = make_run(here / "a & run", collection, Neck(kind="gru", width=WIDTH))
    given = write_answers(made, collection.table, collection.vocabularies)
    write_audit(made, given)
    write_json(made / "predictions-crossfit.json", {"weights": digest(made / "model.safetensors")})
    return made


@pytest.fixture(scope="module")
def made(run: Path) -> ReportPage:
    """Without the galleries of sample works, which other tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("morelli.report.pages.run.sample_pictures", lambda *a: ([], ""))
        return write_report(run)


@pytest.fixture(scope="module")
def html(made: ReportPage) -> str:
    return made.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parts(run: Path) -> RunResults:
    return read_run_results(run, "test")


@pytest.fixture(scope="module")
def neighbours(parts: RunResults) -> NeighbourIndex:
    found = open_neighbour_index(parts)
    assert isinstance(found, NeighbourIndex)
    return found


@pytest.fixture
def copy(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run again, to be spoilt; without its network, so that nothing is traced, and without the figures that any
    page has, which take their time."""
    for name in ("task_pictures", "network_pictures", "collection_pictures"):
        monkeypatch.setattr(f"morelli.report.pages.run.{name}", lambda *a, **k: [])
    monkeypatch.setattr("morelli.report.pages.run.sample_pictures", lambda *a: ([], ""))
    there = tmp_path / "run"
    shutil.copytree(run, there, ignore=shutil.ignore_patterns("report", "model.*"))
    return there


def parsed(html: str) -> Any:
    """The document, by a parser that raises on the first violation of the standard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import html5lib

        return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def part(html: str, name: str) -> str:
    start = html.index(f'<section id="{name}">')
    return html[start : html.index("</section>", start)]


def distances(vector: np.ndarray, others: np.ndarray) -> np.ndarray:
    a, b = np.float64(vector), np.float64(others)
    return 1 - (b @ a) / np.linalg.norm(a) / np.linalg.norm(b, axis=1)


def test_the_page_is_valid_html_with_every_section_and_needs_no_other_file(
    made: ReportPage, html: str
) -> None:
    assert tuple(made.sections) == SECTIONS and made.missing == {}
    assert made.bytes == made.page.stat().st_size
    document = parsed(html)
    ids = [element.get("id") for element in document.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    links = {element.get("href") for element in document.iter("a")}
    assert {f"#{name}" for name in (*SECTIONS, "style", "data")} <= links <= {f"#{name}" for name in ids}
    assert not list(document.iter("link")) and not list(document.iter("script"))
    assert "url(" not in html and not re.search(r"https?:", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))


def test_every_picture_is_inside_the_page_lazy_described_and_of_the_size_it_says(html: str) -> None:
    pictures = list(parsed(html).iter("img"))
    assert len(pictures) > 60
    for picture in pictures:
        assert picture.get("alt") and picture.get("loading") == "lazy"
        kind, _, data = picture.get("src").partition(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert kind == f"data:image/{(image.format or '').lower()}"
            shape = int(picture.get("width")) / int(picture.get("height"))
            assert shape == pytest.approx(image.width / image.height, rel=0.05)


def test_the_confusions_are_the_largest_of_scikit_learns_matrix(parts: RunResults) -> None:
    for task in parts.predictions.tasks.values():
        known, answered = task.labels[task.known], task.predicted[task.known]
        matrix = sk.confusion_matrix(known, answered, labels=range(len(task.names)))
        support = matrix.sum(axis=1)
        np.fill_diagonal(matrix, 0)
        found = confusions(task, most=3, works=2)
        assert [each.count for each in found] == sorted(matrix.ravel(), reverse=True)[:3]
        for each in found:
            assert (each.count, each.support) == (matrix[each.true, each.answer], support[each.true])
            rows = np.flatnonzero((task.labels == each.true) & (task.predicted == each.answer))
            assert len(each.rows) == min(2, each.count) and set(each.rows) <= set(rows)
            rest = np.setdiff1d(rows, each.rows)
            assert not len(rest) or task.confidence[rest].max() <= task.confidence[each.rows].min()


def test_a_network_that_is_never_wrong_confuses_nothing() -> None:
    labels = np.array([0, 1, 2, -1], np.int32)
    assert confusions(TaskPredictions(list("abc"), labels, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])) == []


def test_beside_a_confused_work_is_the_nearest_training_work_of_the_answered_class(
    run: Path, parts: RunResults, html: str
) -> None:
    """Of the surest work of each confusion, by every distance."""
    works = parts.works.set_index("id")
    vectors = dict(zip(works.index, np.load(run / "index" / "vectors.npy"), strict=True))
    shown = part(html, "confused")
    for name, task in parts.predictions.tasks.items():
        for each in confusions(task):
            work = parts.predictions.ids[each.rows[0]]
            group = works["group"].at[work]
            chosen = (works["split"] == "train") & (works[name] == each.answer) & (works["group"] != group)
            ids = list(works.index[chosen])
            if ids:
                far = distances(vectors[work], np.array([vectors[other] for other in ids]))
                wanted = thumbnail(
                    Collection.open(run.parent / "c").read(works.index.get_loc(ids[far.argmin()]))
                )
                assert wanted is not None and wanted.source in shown
                assert f"distance {far.min():.2f}" in shown
    titles = re.findall(r"<h4>(.*?)</h4>", shown)
    assert len(titles) == sum(len(confusions(task)) for task in parts.predictions.tasks.values())


def test_nearest_works_are_by_other_artists_each_by_another(
    parts: RunResults, neighbours: NeighbourIndex, run: Path
) -> None:
    works = parts.works.set_index("id")
    vectors = np.load(run / "index" / "vectors.npy")
    assert parts.predictions.embedding is not None
    for row in range(0, len(parts.predictions), 7):
        work = parts.predictions.ids[row]
        table = pd.DataFrame({"artist": works["artist_name"], "group": works["group"]})
        table["far"] = distances(parts.predictions.embedding[row], vectors)
        others = table[(table["group"] != works["group"].at[work]) & (table.index != work)]
        others = others[others["artist"] != works["artist_name"].at[work]].sort_values("far")
        wanted = others.drop_duplicates("artist").head(5)
        found = by_other_artists(neighbours, work, parts.predictions.embedding[row])
        assert [other for other, _ in found] == list(wanted.index)
        np.testing.assert_allclose([far for _, far in found], wanted["far"], atol=1e-6)


def test_where_few_artists_are_near_the_search_goes_on(parts: RunResults, neighbours: NeighbourIndex) -> None:
    """All but the farthest works are by two artists, and more of them than the first search finds."""
    vector = neighbours.index.vectors[0]
    far = distances(vector, neighbours.index.vectors)
    names = np.where(np.argsort(np.argsort(far)) < 110, "near-artist", "far-artist").astype(object)
    alone = replace(neighbours, works=neighbours.works.assign(artist_name=names))
    found = by_other_artists(alone, "a work of nobody", vector, most=2)
    assert [alone.works["artist_name"].at[work] for work, _ in found] == ["near-artist", "far-artist"]


def test_the_works_shown_are_spread_over_the_styles_and_the_same_every_time(parts: RunResults) -> None:
    task = parts.predictions.tasks["style"]
    chosen = example_works(parts.predictions, most=4)
    assert chosen == example_works(parts.predictions, most=4)
    styles = task.labels[chosen]
    counts = pd.Series(task.labels[task.known]).value_counts()
    assert len(set(styles)) == 4 and (styles >= 0).all()
    assert counts[styles[0]] == counts.max() and counts[styles[-1]] == counts.min()
    assert len(example_works(parts.predictions, most=100)) == len(counts)


def test_the_first_candidates_of_the_audit_are_shown_in_order_with_their_reasons(html: str) -> None:
    shown = part(html, "candidates")
    for task in ("artist", "style", "genre"):
        reasons = [f"first reason {rank} &lt;i&gt;of&lt;/i&gt; {task}" for rank in range(1, 12)]
        places = [shown.index(reason) for reason in reasons[:8]]
        assert places == sorted(places)
        assert not any(reason in shown for reason in reasons[8:])
    assert shown.count("The first 8 of 11.") == 3 and shown.count("<img ") == 24
    assert "the sum" not in shown and "fourth" in shown and "fifth" not in shown
    assert shown.count("<li>2; 2</li>") == 24
    assert "candidates for review, not errors" in shown


def test_the_traced_works_are_the_surest_and_the_least_sure(parts: RunResults, html: str) -> None:
    task = parts.predictions.tasks["style"]
    table = pd.DataFrame({"sure": task.confidence, "right": task.predicted == task.labels})[task.known]
    right, wrong = table[table["right"]]["sure"], table[~table["right"]]["sure"]
    rows = [row for _, row in choose(parts.predictions)]
    assert rows == [right.idxmax(), right.idxmin(), wrong.idxmax()]
    shown = part(html, "traces")
    assert shown.count("<h3>") == 3 and shown.count("data:image/jpeg") == shown.count("data:image/png") == 3
    assert "64" in shown or "token" in shown


def test_what_is_missing_is_one_line_with_the_command_that_makes_it(copy: Path) -> None:
    shutil.rmtree(copy / "index")
    shutil.rmtree(copy / "audit")
    (copy / "collection.txt").unlink()
    made = write_report(copy)
    html = made.page.read_text(encoding="utf-8")
    parsed(html)
    assert made.sections == {} and list(made.missing) == ["confused", "candidates", "index", "traces"]
    for why in made.missing.values():
        assert html.count(why) == 1
    assert "<code>morelli audit run</code>" in html and "<code>morelli similar run IMAGE</code>" in html
    assert not any(f'href="#{name}"' in html for name in SECTIONS)


def test_without_an_index_confused_works_stand_alone(copy: Path) -> None:
    shutil.rmtree(copy / "index")
    made = write_report(copy)
    shown = part(made.page.read_text(encoding="utf-8"), "confused")
    assert "distance" not in shown and shown.count("<img ") == made.sections["confused"] > 9
    assert "index" in made.missing and "nearest" not in made.sections


@pytest.mark.parametrize("spoilt", ["weights", "works", "damaged"])
def test_an_index_or_an_audit_of_something_else_is_not_shown(copy: Path, run: Path, spoilt: str) -> None:
    shutil.copy(run / "model.safetensors", copy)
    if spoilt == "weights":
        facts = json.loads((copy / "index" / "index.json").read_text())
        write_json(copy / "index" / "index.json", facts | {"facts": {"weights": "another"}})
        write_json(copy / "predictions-crossfit.json", {"weights": "another"})
    elif spoilt == "works":
        table = pd.read_parquet(copy / "index" / "works.parquet")
        table.assign(id="x" + table["id"]).to_parquet(copy / "index" / "works.parquet")
    else:
        (copy / "index" / "vectors.npy").write_bytes(b"nothing")
        (copy / "audit" / "combined-all" / "candidates.parquet").write_bytes(b"nothing")
    assert isinstance(open_neighbour_index(read_run_results(copy, "test")), Missing)
    from morelli.report.sections.candidates import candidates

    assert isinstance(candidates(read_run_results(copy, "test"), None), Missing) is (spoilt != "works")


def test_a_network_that_cannot_be_loaded_costs_the_traces_alone(copy: Path, run: Path) -> None:
    shutil.copy(run / "model.json", copy)
    (copy / "model.safetensors").write_text("not weights")
    made = write_report(copy)
    assert "cannot be loaded" in made.missing["traces"] and "confused" in made.sections


def test_a_page_of_four_tasks_with_large_paintings_stays_below_fifteen_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, which no JPEG makes small, at the size of prepared paintings, and figures at full resolution."""
    monkeypatch.setattr(style, "DPI", 144)
    monkeypatch.setattr(style, "JPEG_DPI", 120)
    ids = [f"{'abcdefgh'[i % 8]}-artist_work-{i}.jpg" for i in range(200)]
    noise = np.random.default_rng(0).integers(0, 256, (256, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=90)
    monkeypatch.setattr("test_gallery.jpeg", lambda colour: buffer.getvalue())
    write_collection(tmp_path / "c", ids)
    run = tmp_path / "run"
    run.mkdir()
    (run / "collection.txt").write_text(str(tmp_path / "c"))
    names = {task: [f"class-{n}" for n in range(9)] for task in ("artist", "style", "genre", "period")}
    rng = np.random.default_rng(1)
    works = pd.DataFrame({"id": ids, "artist_name": [name[:8] for name in ids], "group": range(200)})
    works = works.assign(**{task: rng.integers(0, 9, 200, dtype=np.int32) for task in names})
    write_audit(run, write_answers(run, works, names))
    made = write_report(run, out=tmp_path / "page.html")
    assert made.sections["confused"] > 60 and made.sections["candidates"] == 32
    assert 2_000_000 < made.bytes == (tmp_path / "page.html").stat().st_size < 15_000_000


def test_the_collections_figures_are_pandas(run: Path, parts: RunResults, html: str) -> None:
    vocabularies = {name: task.names for name, task in parts.predictions.tasks.items()}
    rows = {
        row["label"]: row["cells"] for row in collection_summary.collection_summary(parts.works, vocabularies)
    }
    for place, (name, names) in enumerate(vocabularies.items()):
        counts = parts.works.loc[parts.works[name] >= 0, name].value_counts()
        unknown = int((parts.works[name] < 0).sum())
        assert rows["Classes"][place][0] == str(len(counts))
        assert rows["Works"][place] == (str(counts.sum()), f"{unknown} unknown" if unknown else "")
        assert rows["Largest class"][place][0] == str(counts.max())
        assert rows["Smallest class"][place][0] == str(counts.min())
        assert counts[names.index(_raw(rows["Largest class"][place][1], names, name))] == counts.max()
        assert rows["Imbalance"][place][0] == f"{counts.max() / counts.min():.1f}\u00a0×"
    split = parts.works["split"].value_counts()
    said = (
        f"by {parts.works['artist_name'].nunique()} artists: {split['train']} training, {split['test']} test."
    )
    assert said in collection_summary.sizes(parts.works) and said in part(html, "data")


def _raw(shown: str, names: list[str], task: str) -> str:
    return next(name for name in names if style.display_name(name) == shown)


def test_repairs_are_those_of_the_collection(run: Path, html: str) -> None:
    told = json.loads((run.parent / "c" / "report.json").read_text())
    lines = [(row["meaning"], row["count"]) for sheet in told.values() for row in sheet.values()]
    assert len(lines) > 2
    found = dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>([\d,]+)</td></tr>', part(html, "data")))
    for meaning, count in lines:
        assert found[meaning.replace("'", "&#39;")] == f"{count:,}"


def test_the_command_says_what_it_wrote_and_writes_where_it_is_told(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    done = CliRunner().invoke(app, ["report", str(copy), "--out", str(out), "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["page"] == str(out) and told["bytes"] == out.stat().st_size
    assert list(told["sections"]) == ["confused", "candidates", "nearest"]
    assert not (copy / "report" / "index.html").exists()
    done = CliRunner().invoke(app, ["report", str(copy)])
    assert "not on the page: no reading traces" in done.stderr
    assert (copy / "report" / "index.html").read_bytes() == out.read_bytes()


def test_a_work_is_by_the_artist_that_the_collection_gives_and_else_by_whom_its_file_says(
    parts: RunResults,
) -> None:
    works = pd.DataFrame({"id": ["a/IMG_1.jpg", "still-life_with-fruit.jpg", "paul-klee_a.jpg"]}).assign(
        artist_name=["Rembrandt van Rijn", "Clara Peeters", None]
    )
    results = replace(parts, works=works)
    shown = [results.work(name, None, ["called Baroque"], "far") for name in works["id"]]
    assert [work.artist for work in shown] == ["Rembrandt van Rijn", "Clara Peeters", "paul-klee"]
    assert [work.title for work in shown] == ["IMG_1", "still-life_with-fruit", "A"]
    assert {(tuple(work.lines), work.note) for work in shown} == {(("called Baroque",), "far")}
