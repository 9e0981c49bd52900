"""``morelli similar``: the works of a run's collection that its network finds most like a painting."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from morelli.collection.collection import Collection
from morelli.collection.images import prepare
from morelli.collection.names import class_key, is_unknown
from morelli.console import say, show_table
from morelli.errors import DataError, ImageError, RunError, UsageError
from morelli.files import make_folder, replacing, write_json
from morelli.jobs.predict import read_pixels
from morelli.jobs.reading import read_rows
from morelli.judgement.search import Index
from morelli.prediction.model import Model, load_model
from morelli.prediction.pixels import decode, square, to_tensor
from morelli.recipe import TASKS

GALLERIES = (".jpg", ".jpeg", ".png")
TABLES = (".csv", ".parquet", ".json")
MOST_TILES = 100


def similar(
    run: Path, query: str, k: int = 10, out: Path | None = None, same_artist: bool = True
) -> dict[str, Any]:
    """The ``k`` works nearest to ``query`` by the cosine distance (0–2) of the network's vectors.

    ``query`` is an image file, or the id of a work of the run's collection, which then leaves itself out. Without
    ``same_artist`` the works of the query's artist are left out too: the known one of a work, the network's answer
    for an image. The collection's vectors are kept in ``RUN/index``. ``out`` is a gallery (``.jpg``, ``.png``) or
    a table (``.csv``, ``.parquet``, ``.json``).

    Returns ``{"query", "results": [{"rank", "id", "path", "distance", "artist", "style", "genre"}, …]}``, nearest
    first; a label that is not known is ``None``. Raises :class:`UsageError` for a query that is neither, and where
    an artist is to be left out and nothing says which; :class:`RunError` where the collection is gone.
    """
    _check(k, out)
    model = load_model(run)
    collection = _collection_of(run)
    row = None if Path(query).is_file() else _row_of(query, collection)
    pixels = _pixels(model, collection, query, row)
    index = open_index(run, model, collection)
    allowed = np.ones(len(index.table), dtype=bool)
    if not same_artist:
        artist = _artist_of(model, index, row, pixels)
        keys = index.table["artist"].fillna("").map(class_key)
        allowed = (keys != class_key(artist)).to_numpy(dtype=bool)
    if row is None:
        vector = model.predict(pixels[None])[1].numpy()
    else:
        allowed[row] = False
        vector = index.vectors[row : row + 1]
    distances, rows = index.search(vector, k, allowed)
    columns = ["id", "path", *TASKS]
    described = index.table[columns].iloc[rows[0]].to_dict("records")
    results = [
        {"rank": rank, "id": work["id"], "path": work["path"], "distance": round(float(distance), 7)}
        | {task: _known(work[task]) for task in TASKS}
        for rank, (distance, work) in enumerate(zip(distances[0], described, strict=True), start=1)
    ]
    found = {"query": query, "results": results}
    if out is not None:
        make_folder(out.parent, "--out")
        if out.suffix.lower() in GALLERIES:
            _write_gallery(found, out, collection, index, row, rows[0])
        else:
            _write_table(found, out)
    return found


def open_index(run: Path, model: Model, collection: Collection) -> Index:
    """The index in ``RUN/index`` over all works of ``collection``; read by the network where it is not there yet,
    or is of other weights, images or works. Only the table is written again where labels alone have changed."""
    folder = run / "index"
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


def show_similar(found: dict[str, Any]) -> None:
    """The works found, as a table."""
    rows = [
        (str(r["rank"]), f"{r['distance']:.4f}", ", ".join(r[task] for task in TASKS if r[task]), r["id"])
        for r in found["results"]
    ]
    show_table(f"Most similar to {found['query']}", ("", "distance", ", ".join(TASKS), "id"), rows)


def _check(k: int, out: Path | None) -> None:
    if k < 1:
        raise UsageError(f"-k {k}: must be at least 1")
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


def _collection_of(run: Path) -> Collection:
    note = run / "collection.txt"
    try:
        folder = Path(note.read_text(encoding="utf-8").strip())
    except OSError:
        raise RunError(f"{note}: missing; write the folder of the run's collection into it") from None
    if not (folder / "collection.json").is_file():
        raise RunError(f"{run}: its collection was in {folder}, which is gone; write its folder into {note}")
    return Collection.open(folder)


def _row_of(query: str, collection: Collection) -> int:
    ids = collection.table["id"].astype(str)
    found = np.flatnonzero(ids == query)
    if len(found):
        return int(found[0])
    if Path(query).is_dir():
        raise UsageError(f"IMAGE {query}: is a folder; give one image")
    near = ids[ids.str.contains(Path(query).stem, case=False, regex=False)] if Path(query).stem else ids[:0]
    hint = f"did you mean {near.iloc[0]}?" if len(near) else f"an id looks like {ids.iloc[0]}"
    raise UsageError(
        f"IMAGE {query}: neither an image file nor the id of a work of {collection.folder}; {hint}"
    )


def _pixels(model: Model, collection: Collection, query: str, row: int | None) -> Tensor:
    """The query as the network is to see it, (3, S, S) uint8."""
    if row is not None:
        return to_tensor(square(decode(collection.read(row)), model.recipe.image))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and TIFF tags warn; the decode decides
            return read_pixels(model, Path(query))
    except ImageError as error:
        raise DataError(f"{query}: cannot be read ({error.reason}); give another image") from None


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
    chances = model.predict(pixels[None])[0]["artist"][0]
    name = model.vocabularies["artist"][int(chances.argmax())]
    say(f"works by {name} are left out (the network's answer, with {float(chances.max()):.2f})")
    return name


def _describe(collection: Collection) -> pd.DataFrame:
    """What the index says of each work: ``id``, ``path``, ``split`` and the names of its labels, None if unknown;
    the artist's also where it is too rare to be a class."""
    table = collection.table
    names = {
        task: np.array([*collection.vocabularies.get(task, []), None], dtype=object)[collection.labels(task)]
        for task in TASKS
    }
    written = [None if is_unknown(name) else str(name) for name in table["artist_name"]]
    names["artist"] = np.array([a or b for a, b in zip(written, names["artist"], strict=True)], dtype=object)
    columns = {"id": table["id"], "path": table["file"], "split": table["split"]}
    texts = {name: column.astype(str) for name, column in columns.items()} | names
    return pd.DataFrame({name: pd.array(list(column), dtype="string") for name, column in texts.items()})


def _known(name: Any) -> str | None:
    return None if pd.isna(name) else str(name)


def _write_table(found: dict[str, Any], out: Path) -> None:
    if out.suffix.lower() == ".json":
        return write_json(out, found)
    table = pd.DataFrame(found["results"], columns=["rank", "id", "path", "distance", *TASKS])
    with replacing(out) as temporary:
        if out.suffix.lower() == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def _write_gallery(
    found: dict[str, Any], out: Path, collection: Collection, index: Index, row: int | None, rows: np.ndarray
) -> None:
    """The query in a coloured frame, then the works found, nearest first."""
    from morelli.report import style
    from morelli.report.gallery import Tile, gallery_figure

    def labels(work: pd.Series) -> list[str]:
        return [style.pretty(str(work[task]), task) for task in TASKS if _known(work[task])]

    if row is None:
        picture = prepare(Path(found["query"]), collection.info["size"]).data
        tiles = [Tile(picture, ("query", Path(found["query"]).name), style.VERMILLION)]
    else:
        picture = collection.read(row)
        tiles = [Tile(picture, ("query", *labels(index.table.iloc[row])), style.VERMILLION)]
    for result, place in zip(found["results"], rows, strict=True):
        lines = (f"{result['rank']}: distance {result['distance']:.3f}", *labels(index.table.iloc[place]))
        tiles.append(Tile(collection.read(int(place)), lines))
    figure = gallery_figure(tiles, columns=6)
    data = style.png(figure) if out.suffix.lower() == ".png" else style.jpeg(figure)
    with replacing(out) as temporary:
        temporary.write_bytes(data)
