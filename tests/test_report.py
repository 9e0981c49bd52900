"""The page shows the scores and figures of a run, and needs nothing but itself."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_figures import LONG, task_of, write_phases
from test_gallery import write_collection

from morelli.errors import DataError, RunError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.evaluation.scores.scores import score
from morelli.report.figures import scores as score_figures
from morelli.report.figures import style
from morelli.report.pages.pictures import task_pictures
from morelli.report.pages.run import write_report

pytestmark = pytest.mark.slow  # of the fixture that all share


class Balance(HTMLParser):
    """Collects tags left open or closed out of order, element ids, link targets and image sources."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.found: dict[str, list[str]] = {"id": [], "href": [], "src": []}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in self.found.keys() & given.keys():
            self.found[name].append(given[name] or "")
        if tag == "img" and not given.get("alt"):
            self.wrong.append("img without alt")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def write_run(folder: Path, tasks: dict[str, TaskPredictions]) -> Path:
    """A run of 900 works without metrics.csv, model.json or paintings."""
    folder.mkdir()
    ids = [f"w{i}" for i in range(900)]
    table = pd.DataFrame({"id": ids, "split": "test", "artist_name": None})
    for name, task in tasks.items():
        table[name] = task.labels
    train = table.assign(split="train", id=[f"t{i}" for i in range(900)], artist_name="someone")
    table = pd.concat([table, train])
    table.to_parquet(folder / "collection.parquet")
    predictions = Predictions(ids, [f"{i}.jpg" for i in ids], tasks)
    predictions_file.write(predictions, folder / "predictions-test.parquet")
    (folder / "scores-test.json").write_text(json.dumps(score(predictions, table)))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With many classes, and with names that would break a careless page."""
    tasks = {"artist": task_of(45, seed=1), "style": task_of(4, seed=2)}
    tasks["style"].names[1] = "<script>alert(1)</script>"
    return write_run(tmp_path_factory.mktemp("runs") / "a <b>run", tasks)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With few classes and coarse figures, which are soon drawn."""
    monkeypatch.setattr(style, "DPI", 36)
    return write_run(tmp_path / "small", {"style": task_of(4, seed=2), "genre": task_of(3, seed=3)})


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DPI", 48)
        return write_report(run, "test")


def test_the_page_is_balanced_html_that_needs_no_other_file(run: Path, page: Path) -> None:
    assert page == run / "report" / "index.html"
    html = page.read_text(encoding="utf-8")
    parsed = Balance()
    parsed.feed(html)
    assert parsed.wrong == [] and parsed.open == []
    assert len(set(parsed.found["id"])) == len(parsed.found["id"])
    assert {link[1:] for link in parsed.found["href"]} <= set(parsed.found["id"]) and parsed.found["href"]
    assert all(source.startswith("data:image/png;base64,") for source in parsed.found["src"])
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))
    embedded = {base64.b64decode(source.partition(",")[2]) for source in parsed.found["src"]}
    written = {path.read_bytes() for path in page.parent.glob("*.png")}
    assert embedded == written and len(written) == 8


def test_the_page_shows_the_scores_with_intervals_and_baselines(run: Path, page: Path) -> None:
    scores = json.loads((run / "scores-test.json").read_text())
    parsed = Balance()
    parsed.feed(page.read_text(encoding="utf-8"))
    for task in scores["tasks"].values():
        low, high = task["accuracy_ci95"]
        assert f"{100 * task['accuracy']:.1f} %{100 * low:.1f}–{100 * high:.1f}" in parsed.text
        assert f"{100 * task['baselines']['majority']:.1f} %" in parsed.text
    assert f"{100 * scores['joint_exact_match']:.1f} %" in parsed.text
    assert "a <b>run" in parsed.text and "<script>alert(1)</script>" in parsed.text


def test_the_report_has_class_reports_and_no_leftovers(page: Path) -> None:
    names = {path.name for path in page.parent.iterdir()}
    assert {"class_report_artist.txt", "class_report_style.txt", "index.html"} <= names
    assert not [name for name in names if name.startswith(".")]
    assert LONG + "-5" in (page.parent / "class_report_artist.txt").read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_report_and_more_files_add_only_their_pictures(small: Path) -> None:
    def report() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in write_report(small, "test").parent.iterdir()}

    before = report()
    phases = [{"train": "none"}, {"train": 2}]
    facts = {"image": {"size": 96}, "backbones": [{"name": "resnet18", "parameters": 1000}]}
    (small / "model.json").write_text(json.dumps({"recipe": {"phases": phases}}))
    assert report() == before  # an older run's model.json says nothing of its architecture
    (small / "model.json").write_text(json.dumps({"architecture": facts, "recipe": {"phases": phases}}))
    write_phases(small / "metrics.csv", ("style", "genre"))
    after = report()
    for name in ("curves.png", "outliers.png", "architecture.png"):
        picture = base64.b64encode(after.pop(name))
        assert picture in after["index.html"] and picture not in before["index.html"]
    assert after.pop("index.html") != before.pop("index.html")
    assert after == before


@pytest.mark.parametrize(("classes", "top", "folded"), [(10, 0, 0), (11, 1, 0), (27, 1, 0), (45, 1, 2)])
def test_more_than_ten_classes_begin_with_the_ten_most_frequent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int, top: int, folded: int
) -> None:
    asked: list[int | None] = []

    def draw(task: TaskPredictions, title: str, top: int | None = None, name: str | None = None) -> Figure:
        asked.append(top)
        return style.figure(1, 1)

    monkeypatch.setattr(score_figures, "confusion_figure", draw)
    monkeypatch.setattr(score_figures, "per_class_f1_figure", lambda *a, **k: style.figure(1, 1))
    made = task_pictures(tmp_path, "style", task_of(classes), "test")
    assert sorted(str(n) for n in asked) == ["10"] * top + ["None"]
    names = [picture.file for picture in made]
    assert names[0] == ("confusion_style_top.png" if top else "confusion_style.png")
    assert "confusion_style.png" in names and len(names) == 3 + top
    assert sum(picture.folded for picture in made) == folded
    assert not made[0].folded


def test_the_most_represented_artists_are_counted_by_split(small: Path) -> None:
    table = pd.read_parquet(small / "collection.parquet")
    rng = np.random.default_rng(0)
    probabilities = np.arange(1, 15) / np.arange(1, 15).sum()
    table["artist_name"] = rng.choice(
        [f"artist-{chr(97 + i)}x" for i in range(14)], len(table), p=probabilities
    )
    table["split"] = rng.choice(["train", "val", "test", "none"], len(table))
    table.loc[::7, "artist_name"] = None
    table.to_parquet(small / "collection.parquet")
    html = write_report(small, "test").read_text(encoding="utf-8")
    rows = re.findall(r'<tr><th scope="row">(artist-.x)</th>((?:<td>[\d,]+</td>)+)</tr>', html)
    shown = {name: [int(n) for n in re.findall(r"\d+", cells)] for name, cells in rows}
    used = table[table["split"] != "none"]
    counts = used["artist_name"].value_counts()
    assert len(shown) == 10
    assert [row[-1] for row in shown.values()] == list(counts.iloc[:10])
    for name, row in shown.items():
        works = used[used["artist_name"] == name]
        assert row[:-1] == [(works["split"] == split).sum() for split in ("train", "val", "test")]


def test_without_its_collection_the_report_says_so_in_one_line(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert html.count("No sample works are shown: their collection is gone") == 1
    assert 'id="samples"' not in html


def test_sample_works_are_on_the_page_with_all_but_the_first_folded(small: Path, tmp_path: Path) -> None:
    write_collection(tmp_path / "collection", [f"w{i}" for i in range(900)])
    (small / "collection.txt").write_text(str(tmp_path / "collection"))
    page = write_report(small, "test")
    html = page.read_text(encoding="utf-8")
    parsed = Balance()
    parsed.feed(html)
    assert parsed.wrong == [] and parsed.open == [] and "No sample works" not in html
    samples = [source for source in parsed.found["src"] if source.startswith("data:image/jpeg;base64,")]
    names = ["samples_all.jpg", "samples_one.jpg", "samples_none.jpg"]
    assert [base64.b64decode(source.partition(",")[2]) for source in samples] == [
        (page.parent / name).read_bytes() for name in names
    ]
    section = html[html.index('id="samples"') : html.index('id="style"')]
    assert section.count("<details>") == 2 and section.index("<img") < section.index("<details>")
    scores = json.loads((small / "scores-test.json").read_text())
    right = round(scores["joint_exact_match"] * scores["joint_n"])
    assert f"Works with both tasks right: 10 of {right}, drawn at random." in section


@pytest.mark.parametrize("part", ["scores-test.json", "predictions-test.parquet", "collection.parquet"])
def test_a_missing_or_damaged_part_is_named(run: Path, tmp_path: Path, part: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / part).write_bytes(b"{")
    with pytest.raises(DataError, match=re.escape(part)):
        write_report(copy, "test")
    (copy / part).unlink()
    with pytest.raises(RunError, match=re.escape(part)):
        write_report(copy, "test")
