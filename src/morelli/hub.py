"""The Hugging Face Hub's client, made to give up at once where the hub does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def patience_only_if_reachable() -> Iterator[None]:
    """While the hub does not answer at all its client, and that of ``datasets``, goes offline, to the cache: it
    would retry for up to a minute."""
    import datasets.config
    import huggingface_hub
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    try:
        huggingface_hub.utils.get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # whichever HTTP library the client uses
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
