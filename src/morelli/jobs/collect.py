"""``morelli collect``: images and labels of any layout to one collection."""

from __future__ import annotations

from collections.abc import Mapping

from morelli.collection.collect import CollectOptions
from morelli.collection.collect import collect as make_collection
from morelli.collection.images import MAX_PIXELS
from morelli.files import AnyPath, as_path
from morelli.jobs.results.collect import CollectSummary


def collect(
    images: AnyPath | None,
    out: AnyPath,
    *,
    lists: AnyPath | None = None,
    table: AnyPath | None = None,
    hub: str | None = None,
    folders: str = "style",
    size: int = 256,
    split: str | None = None,
    artists: str = "names",
    min_works: int = 10,
    top_artists: int | None = None,
    only: Mapping[str, list[str]] | None = None,
    subset: int | None = None,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    processes: int | None = None,
    overwrite: bool = False,
    corrections: AnyPath | None = None,
    splits_from: AnyPath | None = None,
) -> CollectSummary:
    """Reads, repairs, checks and splits a collection, and writes it into the folder ``out``.

    ``images`` is a folder of images (None with ``hub``). Labels come from one of ``lists`` (a folder of ArtGAN lists),
    ``table`` (a CSV or Parquet file with a column ``path`` and any of ``artist``, ``style``, ``genre``), ``hub`` (a
    data set of the Hugging Face Hub), or else from the names of the folders, which are classes of the task ``folders``.
    ``size`` is the short side of the prepared images in pixels; ``split`` is ``70/15/15`` (unless given), ``official``
    or ``artist-disjoint``; classes of fewer than ``min_works`` works become unknown; ``only`` keeps the works of these
    classes, ``{task: [class, …]}``. ``corrections`` is an audit's ``candidates.csv`` with the column ``correct_label``
    filled in. With ``splits_from``, the works of that earlier collection keep their splits. The other parameters are
    those of ``morelli collect --help``.

    A second call after an interruption goes on where it stopped. Raises :class:`~morelli.MorelliError` for parameters
    that do not fit together and where no usable work remains.

    >>> import morelli
    >>> done = morelli.collect("wikiart", "new", lists="wikiart_csv", size=32, min_works=2, processes=1)
    >>> done.works["split"].value_counts().to_dict()
    {'train': 40, 'val': 10, 'test': 10}
    """
    options = CollectOptions(
        images=images if images is None else as_path(images),
        out=as_path(out),
        lists=lists if lists is None else as_path(lists),
        table=table if table is None else as_path(table),
        hub=hub,
        folders=folders,
        size=size,
        split=split,
        artists=artists,
        min_works=min_works,
        top_artists=top_artists,
        only=dict(only or {}),
        subset=subset,
        seed=seed,
        max_pixels=max_pixels,
        processes=processes,
        overwrite=overwrite,
        corrections=corrections if corrections is None else as_path(corrections),
        splits_from=splits_from if splits_from is None else as_path(splits_from),
    )
    return CollectSummary(*make_collection(options))
