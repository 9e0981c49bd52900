"""``morelli report``: the page of a run, with all that its folder holds by now."""

from __future__ import annotations

from pathlib import Path

from morelli.collection.splits import check_split
from morelli.console import progress
from morelli.errors import MorelliError, RunError, UsageError
from morelli.files import AnyPath, as_path, make_folder
from morelli.jobs.results.report import ReportPage
from morelli.report.figures.reading_trace import Reading
from morelli.report.figures.saliency_map import Pixels
from morelli.report.html import Missing, Section
from morelli.report.pages.run import write_page
from morelli.report.run_results import Pictures, RunResults, read_run_results
from morelli.report.sections.candidates import candidates
from morelli.report.sections.confused import confused
from morelli.report.sections.nearest import nearest
from morelli.report.sections.neighbour_index import open_neighbour_index
from morelli.report.sections.samples import pictures_of
from morelli.report.sections.traces import NAME as TRACES
from morelli.report.sections.traces import traces
from morelli.run import Run

PAGES = (".html", ".htm")


def write_report(run: AnyPath, split: str = "test", out: AnyPath | None = None) -> ReportPage:
    """Writes the page of ``run`` as ``out``, else as ``RUN/report/index.html``: scores, figures, the confused works,
    the candidates of the audit, nearest works, and three reading traces.

    Nothing is trained and nothing judged anew: each section shows what is there, and where that is nothing a line on
    the page gives the command that makes it. Only the works that are traced are read by the network.

    Raises :class:`UsageError` for an unknown split or an ``out`` that cannot be a page, :class:`RunError` where the
    split was not evaluated, and :class:`DataError` where a file is damaged.

    >>> import morelli
    >>> report = morelli.write_report("run", out="page.html")
    >>> report.page.stat().st_size == report.bytes
    True
    """
    run = as_path(run)
    out = None if out is None else as_path(out)
    _check(run, split, out)
    results = read_run_results(run, split)
    picture = _pictures(results)
    neighbours = open_neighbour_index(results)
    makers = [
        lambda: confused(results, picture, neighbours),
        lambda: candidates(results, picture),
        lambda: nearest(results, picture, neighbours),
        lambda: _traces(results),
    ]
    sections: list[Section | Missing] = []
    with progress("report", len(makers) + 1, "sections", keep=False) as advance:
        for make in makers:
            sections.append(make())
            advance(1)
        page = write_page(results, sections, out)
        advance(1)
    shown = {each.name: each.works for each in sections if isinstance(each, Section)}
    missing = {each.name: each.why for each in sections if isinstance(each, Missing)}
    return ReportPage(page, page.stat().st_size, split, shown, missing)


def _check(run: Path, split: str, out: Path | None) -> None:
    check_split(split)
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out}: is a folder; give a file's name")
    if out is not None and out.suffix.lower() not in PAGES:
        raise UsageError(f"--out {out}: the name must end in {' or '.join(PAGES)}")
    if not run.is_dir():
        raise RunError(f"{run}: no such run; give a folder that morelli train made")
    if out is not None:
        make_folder(out.parent, "--out")


def _pictures(results: RunResults) -> Pictures | None:
    """The paintings of the run's own collection, and of the one that was scored where that is another."""
    scored = pictures_of(results.run, results.scores, results.predictions.ids)
    own = pictures_of(results.run, {}, list(results.works["id"].astype(str)))
    if own is None:
        return scored
    ids = set(results.works["id"].astype(str))
    return lambda work: own(work) if work in ids else scored and scored(work)


def _traces(results: RunResults) -> Section | Missing:
    """Read by the network now; where it or a painting cannot be opened the page does without."""
    if not Run(results.run).model_file.is_file():
        return Missing(TRACES, "No reading traces are shown: the run holds no network")
    from morelli.jobs.explain import reading_of
    from morelli.jobs.query import open_query
    from morelli.prediction.model import load_model
    from morelli.prediction.spatial_view import spatial_view
    from morelli.prediction.trace import read_trace

    try:
        model = load_model(results.run)

        def read(work: str, task: str) -> tuple[Pixels, Reading, str]:
            painting = open_query(results.run, model, work)
            trace = read_trace(*spatial_view(model, painting.pixels[None]))
            return painting.image, reading_of(model, painting, trace, task), trace.meaning

        return traces(results, read)
    except MorelliError as error:
        return Missing(TRACES, f"No reading traces are shown: {error}")
