"""The main job on real paintings: only where MORELLI_REAL_DATA names the folder that holds them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.collection.ledger import Ledger
from morelli.jobs.evaluate import evaluate
from morelli.jobs.predict import predict
from morelli.jobs.train import train

REAL = os.environ.get("MORELLI_REAL_DATA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL, reason="MORELLI_REAL_DATA is not set: no real paintings here"),
]


@pytest.fixture(scope="module")
def source() -> Path:
    return Path(str(REAL)) / "wikiart10"


@pytest.fixture(scope="module")
def collected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Collection, Ledger, float]:
    started = time.perf_counter()
    lists = source / "wikiart_csv"
    out = tmp_path_factory.mktemp("real") / "c"
    collection, ledger = collect(CollectOptions(source / "wikiart", out, lists=lists, min_works=50))
    return collection, ledger, time.perf_counter() - started


def test_all_paintings_are_kept_in_under_ninety_seconds(collected: tuple[Collection, Ledger, float]) -> None:
    collection, _, seconds = collected
    assert len(collection.table) == 12358 and seconds < 90
    sizes = {task: len(names) for task, names in collection.vocabularies.items()}
    assert sizes == {"artist": 57, "style": 10, "genre": 10}


def test_the_lists_known_defects_are_reported(collected: tuple[Collection, Ledger, float]) -> None:
    _, ledger, _ = collected
    found = {
        kind: ledger.count(kind) for kind in ("mojibake", "contradiction", "missing-file", "header-line")
    }
    assert found == {"mojibake": 709, "contradiction": 1, "missing-file": 81446 - 12358, "header-line": 2}
    (subject, _), *_ = ledger.entries["contradiction"]
    assert subject.endswith("maurice-de-vlaminck_the-village.jpg")


def test_every_work_filed_under_two_styles_is_noticed(collected: tuple[Collection, Ledger, float]) -> None:
    """105 file names stand in two folders; their pictures, and so their groups, are the same."""
    collection, ledger, _ = collected
    table = collection.table.assign(name=[i.partition("/")[2] for i in collection.table["id"]])
    twice = table[table.duplicated("name", keep=False)]
    assert len(twice) == 210 and ledger.count("two-styles") == 105
    assert (twice.groupby("name")["group"].nunique() == 1).all()
    assert table.groupby("group")["split"].nunique().max() == 1


def test_a_network_on_real_weights_learns_style_from_a_few_real_paintings(
    source: Path, tmp_path: Path
) -> None:
    options = {"lists": source / "wikiart_csv", "min_works": 20}
    collect(CollectOptions(source / "wikiart", tmp_path / "c", subset=700, **options))  # type: ignore[arg-type]
    changes = ["tasks=[style]", "backbone.grid=7", "phases.0.epochs=8", "training.workers=0"]
    train(Path("multitask-resnet18-lstm"), tmp_path / "c", tmp_path / "r", changes)
    style = evaluate(tmp_path / "r")["style"].to_dict()
    assert style["accuracy_ci95"][0] > style["baselines"]["majority"]
    unseen = sorted((source / "wikiart" / "Ukiyo_e").iterdir())[:20]
    assert predict(tmp_path / "r", unseen, tmp_path / "p.csv").failed == 0
