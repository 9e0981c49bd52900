"""The audit's files, page and pictures, against what an independent reading of the predictions gives."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from shared import shared_paintings
from sklearn.metrics import roc_auc_score

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.errors import DataError, RunError, UsageError
from morelli.evaluation import predictions as predictions_file
from morelli.evaluation.predictions import Predictions, TaskPredictions
from morelli.jobs import audit as job
from morelli.jobs.audit import audit as by_rule
from morelli.jobs.crossfit import CrossFit
from morelli.jobs.results.audit import Audit
from morelli.report.figures.style import display_name

TASKS = ("artist", "style", "genre")
WORKS = 80
WRONG = 8


def audit(run: Path, rule: str = "given-label", **options: Any) -> Audit:
    """By one system's rule unless another is named."""
    return by_rule(run, rule, **options)


def simulated(collection: Collection, seed: int = 0) -> tuple[Predictions, dict[str, list[str]]]:
    """Predictions for a shuffled collection by a reader that is mostly right; in each task eight labels are made
    wrong (their ids are returned), and those of four other works unknown."""
    rng = np.random.default_rng(seed)
    table = collection.table.iloc[rng.permutation(len(collection.table))]
    tasks, planted = {}, {}
    for task in TASKS:
        names, true = collection.vocabularies[task], table[task].to_numpy()
        scores = rng.normal(size=(len(table), len(names)))
        scores[np.arange(len(table)), np.maximum(true, 0)] += 4
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        labels = true.astype(np.int32)
        rows = rng.choice(np.flatnonzero(labels >= 0), WRONG + 4, replace=False)
        wrong = rows[:WRONG]
        labels[wrong] = (labels[wrong] + rng.integers(1, len(names), WRONG)) % len(names)
        labels[rows[WRONG:]] = -1
        planted[task] = list(table["id"].iloc[wrong])
        tasks[task] = TaskPredictions(names, labels, probabilities.astype(np.float32))
    embedding = rng.normal(size=(len(table), 8)).astype(np.float32)
    return Predictions(list(table["id"]), list(table["file"]), tasks, embedding), planted


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    here = tmp_path_factory.mktemp("collection")
    shared_paintings(here / "p", WORKS, seed=4)
    lists = here / "p" / "wikiart_csv"
    options = CollectOptions(
        here / "p" / "wikiart", here / "c", lists=lists, size=32, min_works=2, processes=1
    )
    return collect(options)[0]


@pytest.fixture(scope="module")
def world(
    collection: Collection, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, list[str]]]:
    run = tmp_path_factory.mktemp("world") / "a <b>run"
    run.mkdir()
    predictions, planted = simulated(collection)
    predictions_file.write(predictions, run / "predictions-test.parquet")
    (run / "collection.txt").write_text(f"{collection.folder}\n")
    return run, planted


@pytest.fixture
def run(world: tuple[Path, dict[str, list[str]]], tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(world[0], tmp_path / "run", ignore=shutil.ignore_patterns("audit")))


@pytest.fixture(scope="module")
def audited(world: tuple[Path, dict[str, list[str]]]) -> tuple[Path, Audit]:
    summary = audit(world[0], top=6)
    return summary.folder, summary


class Page(HTMLParser):
    """Tags left open or closed out of order, the text, and the sources of the images."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.images: list[str] = []
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def independently(run: Path, task: str) -> pd.DataFrame:
    """The works whose given label has a probability below 0.3, by pandas, least probable first."""
    table = pq.read_table(run / "predictions-test.parquet")
    names = json.loads(table.schema.metadata[b"morelli.vocabularies"])[task]
    works = table.to_pandas()
    works = works[works[f"{task}_label"] >= 0].copy()
    labels = works[f"{task}_label"]
    works["p_given"] = [p[k] for p, k in zip(works[f"{task}_probabilities"], labels, strict=True)]
    works["given"] = [names[k] for k in labels]
    works = works[works["p_given"] < np.float32(0.3)].sort_values("p_given", kind="stable")
    return works.rename(columns={task: "answer", f"{task}_confidence": "confidence"})


def test_the_candidates_are_the_works_an_independent_reading_finds_in_its_order(
    world: tuple[Path, dict[str, list[str]]], audited: tuple[Path, Audit]
) -> None:
    candidates = pd.read_parquet(audited[0] / "candidates.parquet")
    assert list(candidates["task"].unique()) == list(TASKS)
    for task, made in candidates.groupby("task"):
        truth = independently(world[0], str(task))
        assert len(truth) >= WRONG
        for column in ("id", "path", "given", "answer"):
            assert list(made[column]) == list(truth[column])
        np.testing.assert_allclose(made["confidence"], truth["confidence"])
        np.testing.assert_allclose(made["p_given"], truth["p_given"])
        np.testing.assert_allclose(made["score"], 1 - truth["p_given"], rtol=1e-6)
        assert list(made["rank"]) == list(range(1, len(truth) + 1))
    text = pd.read_csv(audited[0] / "candidates.csv")
    empty = ["suggested", "correct_label"]
    assert text[empty].isna().all(axis=None) and candidates[empty].isna().all(axis=None)
    candidates["reason"] = candidates["reason"].map("; ".join)
    pd.testing.assert_frame_equal(
        text.drop(columns=empty), candidates.drop(columns=empty), check_dtype=False, rtol=1e-5
    )


def test_planted_wrong_labels_come_to_the_top(
    world: tuple[Path, dict[str, list[str]]], audited: tuple[Path, Audit]
) -> None:
    scores = pd.read_parquet(audited[0] / "scores.parquet")
    assert len(scores) == 3 * WORKS
    for task, of_task in scores.groupby("task"):
        judged = of_task.dropna(subset="score")
        assert roc_auc_score(judged["id"].isin(world[1][str(task)]), judged["score"]) > 0.95
        assert not of_task.loc[of_task["score"].isna(), "flagged"].any()


def test_the_summary_counts_what_the_files_hold_and_is_json(audited: tuple[Path, Audit]) -> None:
    folder, summary = audited
    assert json.loads(json.dumps(summary.to_dict())) == summary.to_dict()
    assert (summary.rule, summary.split, folder.name) == (
        "given-label<0.3",
        "test",
        "given-label-0.3-test",
    )
    scores = pd.read_parquet(folder / "scores.parquet")
    candidates = pd.read_parquet(folder / "candidates.parquet")
    for task, counts in summary.to_dict()["tasks"].items():
        judged = scores[(scores["task"] == task) & scores["score"].notna()]
        assert counts["judged"] == len(judged)
        assert counts["flagged"] == judged["flagged"].sum() == (candidates["task"] == task).sum()
        assert counts["share"] == pytest.approx(judged["flagged"].mean())
        classes = pd.read_csv(folder / f"per_class_{task}.csv")
        assert classes["works"].sum() == len(judged) and classes["flagged"].sum() == counts["flagged"]


def test_what_is_shown_on_the_screen_names_every_task_and_the_page(
    audited: tuple[Path, Audit], capsys: pytest.CaptureFixture[str]
) -> None:
    audited[1].show()
    shown = capsys.readouterr().err
    for task, counts in audited[1].to_dict()["tasks"].items():
        assert re.search(rf"{task} +{counts['flagged']} +{counts['judged']} +{counts['share']:.1%}", shown)
    assert str(audited[0] / "index.html") in shown.replace("\n", "")


def nearest(shown: bytes, collection: Collection) -> str:
    """The id of the work of the collection whose pixels are most like these."""

    def pixels(data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB").resize((32, 32)), np.float32)

    looks = pixels(shown)
    gaps = [float(np.abs(pixels(collection.read(row)) - looks).mean()) for row in range(WORKS)]
    return str(collection.table["id"].iloc[int(np.argmin(gaps))])


def test_the_page_shows_the_paintings_of_the_most_suspicious_works_and_says_what_they_are(
    world: tuple[Path, dict[str, list[str]]], audited: tuple[Path, Audit], collection: Collection
) -> None:
    page = Page(audited[0] / "index.html")
    assert page.wrong == [] and page.open == []
    expected = [name for task in TASKS for name in independently(world[0], task)["id"].head(6)]
    seen = [nearest(base64.b64decode(source.partition("base64,")[2]), collection) for source in page.images]
    assert seen == expected
    assert "candidates for review, not errors" in page.text
    assert "mahesh006/ArtExtract_Task" in page.text and "probability below 0.3" in page.text
    assert "a <b>run" in page.text
    for task, counts in audited[1].to_dict()["tasks"].items():
        assert (
            f"{task.capitalize()} {counts['judged']} {counts['flagged']} {100 * counts['share']:.1f} %"
            in page.text
        )
        assert f"The 6 most suspicious of {counts['flagged']} flagged works" in page.text
        first = independently(world[0], task).iloc[0]
        given, answer = (display_name(first[column]) for column in ("given", "answer"))
        assert f"1. {given} network: {answer}, {first['confidence']:.2f}" in page.text
    assert "trained on" not in page.text


def test_each_task_has_a_gallery_that_opens_as_a_picture(audited: tuple[Path, Audit]) -> None:
    for task in TASKS:
        with Image.open(audited[0] / f"gallery_{task}.jpg") as image:
            assert image.format == "JPEG" and image.width > image.height > 300
    assert not list(audited[0].glob(".*"))


def one_task(run: Path, labels: list[int], rows: list[list[float]], names: list[str]) -> Path:
    """A run of one task, style, with these predictions on the test split."""
    run.mkdir(exist_ok=True)
    task = TaskPredictions(names, np.array(labels, np.int32), np.array(rows, np.float32))
    ids = [f"Folder/w{k}.jpg" for k in range(len(labels))]
    embedding = np.eye(3, dtype=np.float32)[np.arange(len(labels)) % 3]
    predictions_file.write(
        Predictions(ids, ids, {"style": task}, embedding), run / "predictions-test.parquet"
    )
    return run


def counts_of(audit: Audit) -> tuple[Any, ...]:
    """Of the style: works judged, works flagged, their share, works with a verified label."""
    return tuple(audit.to_dict()["tasks"]["style"].values())


def reasons(run: Path, rule: str) -> dict[str, str]:
    table = pd.read_parquet(audit(run, rule, top=9).folder / "candidates.parquet")
    return dict(zip(table["id"].str[7:9], table["reason"].map("; ".join), strict=True))


def test_the_reason_is_a_sentence_in_words(tmp_path: Path) -> None:
    rows = [[0.91, 0.04, 0.05], [0.4, 0.3, 0.3], [0.4, 0.35, 0.25]]
    run = one_task(tmp_path / "r", [1, 0, -1], rows, ["Rococo", "Cubism", "Pop_Art"])
    assert reasons(run, "given-label") == {
        "w0": "given Cubism has probability 0.04; the network says Rococo with 0.91"
    }
    assert reasons(run, "max-softmax") == {
        "w1": "the network says Rococo, as given, with 0.40",
        "w2": "no label is given; the network says Rococo with 0.40",
    }
    assert reasons(run, "entropy")["w1"].startswith("entropy 0.99 of at most 1; the network says")


def cross_fitted(
    run: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], verified: np.ndarray | None = None
) -> tuple[Path, np.ndarray]:
    """A run of one task, style, with cross-fitted predictions of 60 works; which of their labels are wrong."""
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(len(names)), 60 // len(names))
    labels, wrong = true.copy(), np.isin(np.arange(60), [3, 17, 44])
    labels[wrong] = (labels[wrong] + 1) % len(names)
    skill = np.eye(len(names))[true] * 3 + rng.normal(size=(60, len(names)))
    probabilities = (np.exp(skill) / np.exp(skill).sum(axis=1, keepdims=True)).astype(np.float32)
    ids = [f"w{k}" for k in range(60)]
    table = pd.DataFrame(
        {"id": ids, "file": ids, "split": "train", "artist": -1, "style": labels, "genre": -1}
    )
    if verified is not None:
        table["verified_style"] = verified
    info = {"vocabularies": {"artist": [], "style": names, "genre": []}, "images_fingerprint": "f"}
    task = TaskPredictions(names, labels.astype(np.int32), probabilities)
    embedding = (np.eye(len(names), 8)[true] + 0.3 * rng.normal(size=(60, 8))).astype(np.float32)
    fit = CrossFit(
        Collection(run / "gone", table, info),
        Predictions(ids, ids, {"style": task}, embedding),
        Predictions(ids, ids, {"style": task}),
        {},
    )
    run.mkdir()
    monkeypatch.setattr(job, "crossfit", lambda *_: fit)
    return run, wrong


def test_a_class_name_with_a_semicolon_breaks_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["oil; on canvas", "tempera; on panel; gilt", "c"]
    run, wrong = cross_fitted(tmp_path / "r", monkeypatch, names)
    folder = audit(run, "combined").folder
    candidates = pd.read_parquet(folder / "candidates.parquet")
    assert wrong[[int(name[1:]) for name in candidates["id"]]].all()
    clauses = [clause for reasons in candidates["reason"] for clause in reasons[1:]]
    opening = ("the network gives ", "the second opinion gives ", "of the 40 works most like it ")
    assert clauses and all(clause.startswith(opening) for clause in clauses)
    assert any(display_name(names[1]) in clause for clause in clauses)
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<li>(.*)</li>", html) == clauses
    assert list(pd.read_csv(folder / "candidates.csv")["reason"]) == [
        "; ".join(reasons) for reasons in candidates["reason"]
    ]


def test_a_verified_label_is_not_put_forward_and_the_page_says_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["Cubism", "Rococo", "c"]
    run, wrong = cross_fitted(tmp_path / "r", monkeypatch, names)
    before = audit(run, "combined")
    assert before["style"].flagged > 0 and before["style"].judged == 60
    run, _ = cross_fitted(tmp_path / "verified", monkeypatch, names, verified=wrong)
    summary = audit(run, "combined")
    assert counts_of(summary) == (57, 0, 0.0, 3)
    page = Page(summary.folder / "index.html").text
    assert page.count("A person verified the style of 3 works") == 1 and page.count("57 0 0.0 %") == 1
    # the other question is still put to every work
    assert "60 25 41.7 %" in page


def test_a_public_rule_does_not_put_forward_what_a_person_verified_in_the_scored_collection(
    run: Path, collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = predictions_file.read(run / "predictions-test.parquet")
    flagged = list(independently(run, "style")["id"])
    copy = Path(shutil.copytree(collection.folder, tmp_path / "c"))
    table = pd.read_parquet(copy / "collection.parquet").set_index("id", drop=False)
    table.loc[predictions.ids, "style"] = predictions.tasks["style"].labels
    table["verified_style"] = table["id"].isin(flagged[:5])
    # a label that was changed after it was scored is not the one that was verified
    table.loc[flagged[4], "style"] = (table.loc[flagged[4], "style"] + 1) % len(
        predictions.tasks["style"].names
    )
    table.to_parquet(copy / "collection.parquet", index=False)
    (run / "collection.txt").write_text(f"{copy}\n")
    summary = audit(run, tasks=["style"])
    assert list(summary.candidates("style")["id"]) == flagged[4:]
    assert summary["style"].verified == 4
    summary.show()
    assert "style: a person verified the label of 4 works; these are not judged" in capsys.readouterr().err


def test_a_class_of_one_work_is_not_judged_by_its_centroid(tmp_path: Path) -> None:
    run = one_task(tmp_path / "r", [0, 1, 1, -1], [[0.5, 0.3, 0.2]] * 4, ["a", "b", "c"])
    assert counts_of(audit(run, "centroid")) == (2, 2, 1.0, 0)


def test_nothing_flagged_is_an_empty_table_with_the_same_columns_and_a_page_that_says_so(
    tmp_path: Path, audited: tuple[Path, Audit]
) -> None:
    run = one_task(tmp_path / "r", [0, 0], [[0.9, 0.05, 0.05]] * 2, ["a", "b", "c"])
    summary = audit(run)
    assert counts_of(summary) == (2, 0, 0.0, 0)
    folder = summary.folder
    full = pq.read_schema(audited[0] / "candidates.parquet")
    assert pq.read_schema(folder / "candidates.parquet").remove_metadata().equals(full.remove_metadata())
    assert (folder / "candidates.csv").read_text().split(",") == [*full.names[:-1], "correct_label\n"]
    assert "No work is flagged." in Page(folder / "index.html").text


def test_labels_that_are_all_unknown_are_said_and_divide_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = one_task(tmp_path / "r", [-1, -1], [[0.5, 0.3, 0.2]] * 2, ["a", "b", "c"])
    summary = audit(run)
    assert counts_of(summary) == (0, 0, None, 0)
    assert "No work has a known style." in Page(summary.folder / "index.html").text
    summary.show()
    assert re.search(r"style +0 +0 +–", capsys.readouterr().err)
    unsure = Page(audit(run, "max-softmax").folder / "index.html").text
    assert "2 flagged works have no known style" in unsure


def test_without_the_collection_the_audit_is_made_without_pictures_and_says_so_once(
    run: Path, audited: tuple[Path, Audit], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = audit(run, top=2, tasks=["style"]).folder
    assert (folder / "gallery_style.jpg").exists()
    (run / "collection.txt").write_text("/nowhere/at/all\n")
    capsys.readouterr()
    audit(run)
    said = [line for line in capsys.readouterr().err.splitlines() if "without pictures" in line]
    assert len(said) == 1 and str(run) in said[0]
    page = Page(folder / "index.html")
    assert page.images == [] and page.wrong == [] and page.open == []
    assert "without their pictures" in page.text and "picture not available" not in page.text
    assert not list(folder.glob("gallery_*"))
    same = (folder / "candidates.csv", audited[0] / "candidates.csv")
    assert same[0].read_bytes() == same[1].read_bytes()
    # a second audit of fewer tasks leaves nothing of the others behind
    audit(run, tasks=["genre"])
    assert {file.name for file in folder.iterdir()} == {
        "candidates.csv", "candidates.parquet", "scores.parquet", "per_class_genre.csv", "index.html",
    }  # fmt: skip


def test_the_pictures_are_of_the_collection_that_was_scored(run: Path, collection: Collection) -> None:
    (run / "collection.txt").write_text("/nowhere/at/all\n")
    (run / "scores-test.json").write_text(json.dumps({"collection": str(collection.folder)}))
    page = Page(audit(run, tasks=["style"], top=2).folder / "index.html")
    shown = [nearest(base64.b64decode(source.partition("base64,")[2]), collection) for source in page.images]
    assert shown == list(independently(run, "style")["id"].head(2))


@pytest.mark.parametrize(("split", "other", "warned"), [("train", False, True), ("all", False, True),
                                                        ("all", True, False), ("val", False, False)])  # fmt: skip
def test_the_page_warns_of_works_the_network_learned_from(
    run: Path, split: str, other: bool, warned: bool
) -> None:
    (run / "predictions-test.parquet").rename(run / f"predictions-{split}.parquet")
    if other:
        (run / f"scores-{split}.json").write_text(json.dumps({"collection": "/another/collection"}))
    (run / "collection.txt").write_text("/nowhere/at/all\n")
    page = Page(audit(run, split=split, tasks=["style"]).folder / "index.html")
    assert ("trained on" in page.text and "too mildly" in page.text) == warned


def test_top_is_how_many_a_rule_without_threshold_flags_and_a_gallery_has_a_limit(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "MAX_TILES", 4)
    summary = audit(run, "entropy", top=7, tasks=["genre"])
    assert summary["genre"].flagged == 7
    page = Page(summary.folder / "index.html")
    assert len(page.images) == 4 and "The 4 most suspicious of 7 flagged works" in page.text


def test_names_of_classes_cannot_break_the_page(tmp_path: Path) -> None:
    names = ["<Script>alert(1)</Script>", "$a_b$", "c"]
    run = one_task(tmp_path / "r", [0, 1, 0], [[0.1, 0.1, 0.8]] * 3, names)
    page = Page(audit(run).folder / "index.html")
    assert page.wrong == [] and page.open == [] and "<Script>alert(1)</Script>" in page.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "given-lable"}, "--rule given-lable: no such rule; did you mean given-label<0.3?"),
        ({"top": 0}, "--top 0: must be at least 1"),
        ({"split": "tests"}, "--split tests: must be one of train, val, test, all"),
        (
            {"tasks": ["style", "period"]},
            "--task period: not a task of this run; it has artist, style, genre",
        ),
    ],
)
def test_a_wrong_call_is_refused_in_one_sentence(
    world: tuple[Path, dict[str, list[str]]], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        audit(world[0], **options)
    assert str(caught.value).startswith(said)


def test_a_run_that_was_not_evaluated_or_is_damaged_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=re.escape(f"run morelli evaluate {run} --split val first")):
        audit(run, split="val")
    with pytest.raises(RunError, match="no such run"):
        audit(tmp_path / "gone")
    file = run / "predictions-test.parquet"
    predictions = predictions_file.read(file)
    predictions_file.write(replace(predictions, embedding=None), file)
    with pytest.raises(DataError, match=r"predictions-test\.parquet: .*no embedding"):
        audit(run, "centroid")
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"predictions-test\.parquet"):
        audit(run)
    assert not (run / "audit").exists()


def fill_in(file: Path, rows: dict[int, str]) -> pd.DataFrame:
    """What a person writes into the column, by row; the table before."""
    table = pd.read_csv(file, dtype="string")
    filled = table.copy()
    for row, label in rows.items():
        filled.loc[row, "correct_label"] = label
    filled.to_csv(file, index=False)
    return table


@pytest.mark.slow
def test_what_a_person_filled_in_is_there_after_another_audit(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = audit(run, tasks=["style"]).folder / "candidates.csv"
    before = fill_in(file, {0: "keep", 2: "Cubism"})
    audit(run)
    after = pd.read_csv(file, dtype="string").merge(before[["id", "task"]], on=["id", "task"])
    assert dict(after["correct_label"].dropna()) == {0: "keep", 2: "Cubism"}
    assert not list(file.parent.glob("corrections-*")) and "corrections" not in capsys.readouterr().err
    audit(run, tasks=["genre"])
    kept = pd.read_csv(file.with_name("corrections-1.csv"), dtype="string")
    assert list(kept["correct_label"].dropna()) == ["keep", "Cubism"]
    assert "corrections-1.csv" in capsys.readouterr().err.replace("\n", "")
    assert pd.read_csv(file)["correct_label"].isna().all()
