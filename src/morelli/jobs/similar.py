"""``morelli similar``: the works of a run's collection that its network finds most like a painting or an artist."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from morelli.collection import duplicates
from morelli.collection.collection import Collection
from morelli.collection.images import prepare
from morelli.collection.names import class_key
from morelli.collection.selection import artists_of, rows_by_artist, rows_where
from morelli.console import say
from morelli.errors import DataError, UsageError
from morelli.evaluation.search.diversity import POOL, diverse
from morelli.evaluation.search.search import Index
from morelli.files import AnyPath, as_path, atomic_write, make_folder
from morelli.jobs.query import pixels_of, row_of
from morelli.jobs.results.similar import Similar, SimilarWork
from morelli.jobs.runner import read_rows
from morelli.prediction.model import Model, load_model
from morelli.recipe import TASKS
from morelli.run import Run

GALLERIES = (".jpg", ".jpeg", ".png")
TABLES = (".csv", ".parquet", ".json")
MOST_TILES = 100


def similar(
    run: AnyPath,
    query: AnyPath | None = None,
    k: int = 10,
    out: AnyPath | None = None,
    same_artist: bool = True,
    *,
    artist: str | None = None,
    where: Mapping[str, str] | None = None,
    diversity: float = 0.0,
    near_duplicates: bool = True,
) -> Similar:
    """The ``k`` works nearest to a query by the cosine distance (0–2) of the network's vectors.

    ``query`` is an image file, or the id of a work of the run's collection, which then leaves itself out; or None with
    an ``artist``, whose works' mean direction is the query. Without ``same_artist`` the works of the query's artist
    are left out too: the known one of a work, the network's answer for an image, the one given. ``where`` keeps the
    works that fit (see :func:`morelli.collection.selection.rows_where`). ``diversity`` from 0 to 1 weighs unlikeness to
    the works before against nearness (:mod:`morelli.evaluation.search.diversity`), among the nearest 10 ``k``; ranks
    then follow the choice, and distances may fall. ``near_duplicates=False`` leaves out the near-duplicates of the
    query, a painting.

    The collection's vectors are kept in ``RUN/index``. ``out`` is a gallery (``.jpg``, ``.png``) or a table
    (``.csv``, ``.parquet``, ``.json``).

    Raises :class:`UsageError` for a query that is neither, a filter that fits nothing, and where an artist is to be
    left out and nothing says which; :class:`RunError` where the collection is gone.

    >>> import morelli
    >>> similar = morelli.similar("run", "painting.jpg", k=5, where={"genre": "landscape,portrait"})
    >>> set(similar.works["genre"]) <= {"landscape", "portrait"}
    True
    """
    run, query = as_path(run), None if query is None else os.fspath(query)
    out = None if out is None else as_path(out)
    _check(query, artist, k, diversity, out)
    model = load_model(run)
    collection = Run(run).open_collection()
    row = None if query is None or Path(query).is_file() else row_of(query, collection)
    allowed = np.ones(len(collection.table), dtype=bool)
    if where:
        allowed &= rows_where(collection, where)
    if artist is not None:
        own = rows_by_artist(collection, artist)
        index = open_index(run, model, collection)
        vector = index.vectors[own].mean(axis=0, keepdims=True)
        allowed &= ~own | same_artist
    else:
        assert query is not None
        pixels = pixels_of(model, collection, query, row)
        if not near_duplicates:
            allowed &= ~duplicates.near_duplicates(collection, query, row)
        index = open_index(run, model, collection)
        if not same_artist:
            allowed &= ~_by_the_artist(model, index, row, pixels)
        if row is not None:
            allowed[row] = False
        vector = model.predict(pixels[None])[1].numpy() if row is None else index.vectors[row : row + 1]
    distances, rows = _nearest(index, vector, k, allowed, diversity)
    name, works = query or f"artist {artist}", _described(index, distances, rows)

    def gallery(ending: str = ".jpg") -> bytes:
        return _gallery(name, works, collection, index, row, rows[:MOST_TILES], ending)

    similar_works = Similar(name, works, gallery)
    if out is not None:
        make_folder(out.parent, "--out")
        with atomic_write(out) as temporary:
            if out.suffix.lower() in GALLERIES:
                temporary.write_bytes(gallery(out.suffix.lower()))
            else:
                _write_table(similar_works, temporary, out.suffix.lower())
    return similar_works


def open_index(run: Path, model: Model, collection: Collection) -> Index:
    """The index in ``RUN/index`` over all works of ``collection``; read by the network where it is not there yet,
    or is of other weights, images or works. Only the table is written again where labels alone have changed."""
    folder = Run(run).index_folder
    facts = {"weights": str(model.facts["weights"]), "images": collection.fingerprint}
    works = _describe(collection)
    try:
        index = Index.open(folder)
    except DataError:
        index = None
    if index is None or index.facts != facts or list(index.table["id"]) != list(works["id"]):
        readings = read_rows(model, collection, collection.rows("all"), "reading all works for the index")
        return Index.build(folder, readings.embedding, works, facts)
    if not index.table.equals(works):
        return Index.build(folder, np.array(index.vectors), works, facts)
    return index


def _check(query: str | None, artist: str | None, k: int, diversity: float, out: Path | None) -> None:
    if (query is None) == (artist is None):
        raise UsageError("give IMAGE (an image file or the id of a work) or --artist NAME, one of the two")
    if k < 1:
        raise UsageError(f"-k {k}: must be at least 1")
    if not 0 <= diversity <= 1:
        raise UsageError(
            f"--diversity {diversity:g}: must be from 0 (nearness alone) to 1 (unlikeness alone)"
        )
    if out is None:
        return
    if out.suffix.lower() not in GALLERIES + TABLES:
        raise UsageError(f"--out {out}: the name must end in {', '.join(GALLERIES + TABLES)}")
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; give a file's name")
    if out.suffix.lower() in GALLERIES and k > MOST_TILES:
        raise UsageError(
            f"-k {k}: a gallery shows at most {MOST_TILES} works; give --out the name of a table"
        )


def _nearest(
    index: Index, vector: NDArray[np.floating], k: int, allowed: NDArray[np.bool_], diversity: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distances and rows, (k,) each, in the order in which they are shown."""
    distances, rows = (each[0] for each in index.search(vector, k * POOL if diversity else k, allowed))
    if not diversity:
        return distances, rows
    chosen = diverse(1 - distances, index.vectors[rows], k, diversity)
    return distances[chosen], rows[chosen]


def _described(index: Index, distances: NDArray[np.float32], rows: NDArray[np.int64]) -> list[SimilarWork]:
    works = index.table[["id", "path", *TASKS]].iloc[rows].to_dict("records")
    return [
        SimilarWork(
            rank, work["id"], work["path"], round(float(distance), 7), *(_known(work[task]) for task in TASKS)
        )
        for rank, (distance, work) in enumerate(zip(distances, works, strict=True), start=1)
    ]


def _by_the_artist(model: Model, index: Index, row: int | None, pixels: Tensor) -> NDArray[np.bool_]:
    """(N,) the works by the artist of the query."""
    key = class_key(_artist_of(model, index, row, pixels))
    return (index.table["artist"].fillna("").map(class_key) == key).to_numpy(dtype=bool)


def _artist_of(model: Model, index: Index, row: int | None, pixels: Tensor) -> str:
    """The artist whose works are to be left out, said aloud."""
    known = None if row is None else _known(index.table["artist"].iloc[row])
    if known:
        say(f"works by {known} are left out")
        return known
    if "artist" not in model.vocabularies:
        raise UsageError(
            "--other-artists: the artist of IMAGE is not known and this run does not name artists; "
            "give the id of a work whose artist is known, or a run with the task artist"
        )
    probabilities = model.predict(pixels[None])[0]["artist"][0]
    name = model.vocabularies["artist"][int(probabilities.argmax())]
    say(f"works by {name} are left out (the network's answer, with {float(probabilities.max()):.2f})")
    return name


def _describe(collection: Collection) -> pd.DataFrame:
    """What the index says of each work: ``id``, ``path``, ``split`` and the names of its labels, None if unknown;
    the artist's also where it is too rare to be a class."""
    table = collection.table
    names = {
        task: np.array([*collection.vocabularies.get(task, []), None], dtype=object)[collection.labels(task)]
        for task in TASKS
    }
    names["artist"] = artists_of(collection)
    columns = {"id": table["id"], "path": table["file"], "split": table["split"]}
    texts = {name: column.astype(str) for name, column in columns.items()} | names
    return pd.DataFrame({name: pd.array(list(column), dtype="string") for name, column in texts.items()})


def _known(name: Any) -> str | None:
    return None if pd.isna(name) else str(name)


def _write_table(similar_works: Similar, file: Path, ending: str) -> None:
    if ending == ".json":
        file.write_text(
            json.dumps(similar_works.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    elif ending == ".csv":
        similar_works.works.to_csv(file, index=False)
    else:
        similar_works.works.to_parquet(file, index=False)


def _gallery(
    query: str,
    works: list[SimilarWork],
    collection: Collection,
    index: Index,
    row: int | None,
    rows: NDArray[np.int64],
    ending: str,
) -> bytes:
    """The query in a coloured frame, where it is a picture, then the works found: a JPEG, or a PNG."""
    from morelli.report.figures import style
    from morelli.report.figures.gallery import Tile, gallery_figure

    def labels(work: pd.Series) -> list[str]:
        return [style.display_name(str(work[task])) for task in TASKS if _known(work[task])]

    tiles, title = [], ""
    if row is not None:
        picture = collection.read(row)
        tiles.append(Tile(picture, ("query", *labels(index.table.iloc[row])), style.VERMILLION))
    elif Path(query).is_file():
        picture = prepare(Path(query), collection.info["size"]).data
        tiles.append(Tile(picture, ("query", Path(query).name), style.VERMILLION))
    else:
        title = f"Works nearest to the mean of {style.display_name(query.removeprefix('artist '))}"
    for work, place in zip(works, rows, strict=False):
        lines = (f"{work.rank}: distance {work.distance:.3f}", *labels(index.table.iloc[place]))
        tiles.append(Tile(collection.read(int(place)), lines))
    figure = gallery_figure(tiles, title=title, columns=6)
    return style.png(figure) if ending == ".png" else style.jpeg(figure)
