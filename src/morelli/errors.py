"""Every error that Morelli raises on purpose; each message names the file or option and what to do.

::

    MorelliError                 exit code 1: the work failed
    ├── UsageError               exit code 2: the call was wrong (an option, a path that is not there)
    │   └── RecipeError          a recipe or a --set value does not validate
    ├── DataError                lists, tables or collections that cannot be read or hold too little
    │   └── ImageError           one image that cannot be decoded; carries a short machine-readable reason
    ├── WeightsError             weights or a hub that cannot be had
    ├── RunError                 a run directory that is missing a part or does not fit the request
    └── StoppedError             Ctrl-C or a signal; says how to go on
"""


class MorelliError(Exception):
    """Base of all errors above; ``str(error)`` is one sentence for a person."""

    exit_code = 1


class UsageError(MorelliError):
    """The call was wrong."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe does not validate."""


class DataError(MorelliError):
    """Lists, tables or collections that cannot be read or hold too little."""


class ImageError(DataError):
    """One image that cannot be decoded.

    ``reason`` is one of the keys of :data:`morelli.collection.images.REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return ImageError, (self.reason, str(self))


class WeightsError(MorelliError):
    """Weights or a hub that cannot be had."""


class RunError(MorelliError):
    """A run directory that is missing a part."""


class StoppedError(MorelliError):
    """The person stopped the work; the message says how to go on."""
