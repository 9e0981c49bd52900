"""Worker processes: how they behave when their parent is interrupted or killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


def start_method() -> str:
    """Forked where that is the custom: a notebook's or a script's main module need not be importable."""
    return "fork" if sys.platform == "linux" else "spawn"


def attend(parent: int) -> None:
    """To be called first in a worker of the process ``parent``: Ctrl-C reaches the whole process group, and the
    parent alone decides; but a parent that was killed sends no word, and its workers would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
