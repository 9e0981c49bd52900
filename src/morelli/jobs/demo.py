"""``morelli demo``: paints a small collection and runs the whole main job on it."""

from __future__ import annotations

import time
from pathlib import Path

from morelli import recipe as recipes
from morelli.collection.collection import Collection
from morelli.console import say
from morelli.errors import UsageError
from morelli.files import make_folder
from morelli.jobs.audit import audit
from morelli.jobs.collect import collect
from morelli.jobs.evaluate import evaluate
from morelli.jobs.paint import paint
from morelli.jobs.predict import predict
from morelli.jobs.report import write_report
from morelli.jobs.results.evaluate import Scores
from morelli.jobs.similar import open_index
from morelli.jobs.train import train
from morelli.prediction.model import load_model
from morelli.run import Run

WORKS = 1200
FRESH = 24
FOLDS, EPOCHS = 2, 12  # of the audit


def demo(out: Path, works: int = WORKS, changes: list[str] | None = None) -> Scores:
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
    paint(out / "paintings", works, seed=1, size=96, defects=True)
    say("2/8 collecting: reading the lists, repairing, checking every image, splitting")
    source = out / "paintings"
    collect(source / "wikiart", out / "collection", lists=source / "wikiart_csv", size=96).show()
    say(f"3/8 training, {sum(phase.epochs for phase in recipe.phases)} epochs")
    train(Path("demo"), out / "collection", out / "run", changes)
    say("4/8 scoring on the test split")
    run = out / "run"
    scores = evaluate(run, page=False)
    scores.show()
    say("5/8 auditing: which labels look wrong to networks that had not learned from them")
    audit(run, folds=FOLDS, epochs=EPOCHS).show()
    say("6/8 indexing: a vector of every work, for morelli similar")
    open_index(run, load_model(run), Collection.open(out / "collection"))
    say("7/8 writing the report")
    write_report(run).show()
    say("8/8 labelling paintings it has never seen")
    paint(out / "unseen", FRESH, seed=2, size=96)
    done = predict(run, [out / "unseen" / "wikiart"], out / "predictions.csv")
    minutes = (time.perf_counter() - start) / 60
    say(f"done in {minutes:.1f} minutes")
    say(f"scores, figures and galleries: {Run(run).report_folder / 'index.html'}")
    say(f"labels of {done.images} new paintings: {done.out}")
    return scores
