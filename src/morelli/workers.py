"""Worker processes: how they behave when their parent is interrupted or killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def start_method() -> str:
    """Forked where that is the custom: a notebook's or a script's main module need not be importable."""
    return "fork" if sys.platform == "linux" else "spawn"


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Within the block the first Ctrl-C raises ``KeyboardInterrupt`` and later ones do nothing: a second one
    while a pool of processes shuts down would leave it waiting for ever."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def leave_signals(number: int) -> None:
    """To be called first in a data loader's worker: the parent's handlers came along with the fork, but Ctrl-C
    is the parent's to decide."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def attend(parent: int) -> None:
    """To be called first in a worker of the process ``parent``: Ctrl-C reaches the whole process group, and the
    parent alone decides; but a parent that was killed sends no word, and its workers would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
