"""``morelli demo``: paints a small collection and runs the whole main job on it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from morelli import recipe as recipes
from morelli.collection.collect import CollectOptions, collect
from morelli.collection.collection import Collection
from morelli.console import progress, say
from morelli.errors import UsageError
from morelli.files import make_folder
from morelli.jobs.audit import audit, show_audit
from morelli.jobs.evaluate import evaluate, show_scores
from morelli.jobs.predict import predict
from morelli.jobs.report import report, show_report
from morelli.jobs.similar import open_index
from morelli.jobs.train import train
from morelli.prediction.model import load_model
from morelli.run import Run
from morelli.synthetic import paint

WORKS = 1200
FRESH = 24
FOLDS, EPOCHS = 2, 2  # of the audit


def demo(out: Path, works: int = WORKS, changes: list[str] | None = None) -> dict[str, Any]:
    """Paint, collect, train, evaluate, audit, index, report, predict, all inside ``out``; returns the test scores.

    The collection holds every planted defect; the audit has two folds of few epochs, to be done soon; the images that
    ``predict`` labels are painted with another seed. Raises :class:`UsageError` where ``out`` is not empty.
    """
    recipe = recipes.load("demo", changes or [])  # a wrong --set fails before the painting
    make_folder(out, "--out")
    if any(out.iterdir()):
        raise UsageError(f"--out {out}: is not empty; choose another folder")
    start = time.perf_counter()
    say(f"1/8 painting {works:,} works, with the defects of real collections")
    with progress("painting", works) as advance:
        paint(out / "paintings", works, seed=1, size=96, defects=True, progress=advance)
    say("2/8 collecting: reading the lists, repairing, checking every image, splitting")
    source = out / "paintings"
    options = CollectOptions(source / "wikiart", out / "collection", lists=source / "wikiart_csv", size=96)
    _, ledger = collect(options)
    ledger.show()
    say(f"3/8 training, {sum(phase.epochs for phase in recipe.phases)} epochs")
    train(Path("demo"), out / "collection", out / "run", changes)
    say("4/8 scoring on the test split")
    run = out / "run"
    scores = evaluate(run, page=False)
    show_scores(scores)
    say("5/8 auditing: which labels look wrong to networks that had not learned from them")
    show_audit(audit(run, folds=FOLDS, epochs=EPOCHS))
    say("6/8 indexing: a vector of every work, for morelli similar")
    open_index(run, load_model(run), Collection.open(out / "collection"))
    say("7/8 writing the report")
    show_report(report(run))
    say("8/8 labelling paintings it has never seen")
    paint(out / "unseen", FRESH, seed=2, size=96)
    done = predict(run, [out / "unseen" / "wikiart"], out / "predictions.csv")
    minutes = (time.perf_counter() - start) / 60
    say(f"done in {minutes:.1f} minutes")
    say(f"scores, figures and galleries: {Run(run).report_folder / 'index.html'}")
    say(f"labels of {done.images} new paintings: {done.out}")
    return scores
