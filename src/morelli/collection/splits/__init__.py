"""One split a work, shared by all tasks: drawn once, then kept by the work's id.

``settings`` reads what a person asks for, ``draw`` draws the splits of a new collection, ``carry`` keeps the splits
of works that stay when labels change and when works come or go, ``assign`` puts the two together for ``collect``.
"""

from morelli.collection.splits.assign import assign_splits
from morelli.collection.splits.carry import carry_splits
from morelli.collection.splits.draw import artist_disjoint, draw_splits, stratified
from morelli.collection.splits.settings import SPLITS, check_split, parse_split

__all__ = [
    "SPLITS",
    "artist_disjoint",
    "assign_splits",
    "carry_splits",
    "check_split",
    "draw_splits",
    "parse_split",
    "stratified",
]
