"""Morelli reads paintings: artist, style and genre, with convolutional-recurrent networks.

>>> import morelli
>>> reader = morelli.load("run")                          # a run that morelli.train made
>>> answer = reader("painting.jpg")
>>> answer["style"].label in reader.classes["style"]
True
>>> morelli.Collection.open("collection").works.shape[0]
60

Every name is imported when it is first used, so that ``import morelli`` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morelli.collection.collection import Collection
    from morelli.errors import MorelliError
    from morelli.evaluation.predictions import Predictions
    from morelli.jobs.audit import audit
    from morelli.jobs.collect import collect
    from morelli.jobs.compare import compare
    from morelli.jobs.evaluate import evaluate
    from morelli.jobs.explain import explain
    from morelli.jobs.paint import paint
    from morelli.jobs.predict import predict
    from morelli.jobs.report import write_report
    from morelli.jobs.similar import similar
    from morelli.jobs.train import train
    from morelli.prediction.reader import Reader, load

import os

# GNU OpenMP's threads spin while they wait, which costs other processes their cores; read when torch is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
__all__ = [
    "Collection",
    "MorelliError",
    "Predictions",
    "Reader",
    "__version__",
    "audit",
    "collect",
    "compare",
    "evaluate",
    "explain",
    "load",
    "paint",
    "predict",
    "similar",
    "train",
    "write_report",
]
_ROOMS = {
    "Collection": "collection.collection",
    "MorelliError": "errors",
    "Predictions": "evaluation.predictions",
    "Reader": "prediction.reader",
    "load": "prediction.reader",
    "write_report": "jobs.report",
    **{
        name: f"jobs.{name}"
        for name in (
            "audit",
            "collect",
            "compare",
            "evaluate",
            "explain",
            "paint",
            "predict",
            "similar",
            "train",
        )
    },
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'morelli' has no attribute {name!r}")
    value = getattr(import_module(f"morelli.{_ROOMS[name]}"), name)
    globals()[name] = value  # the next time it is simply there
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
