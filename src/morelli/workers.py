"""Worker processes: how they behave when their parent is interrupted or killed."""

from __future__ import annotations

import os
import signal
import threading
import time


def attend(parent: int) -> None:
    """To be called first in a worker of the process ``parent``: Ctrl-C reaches the whole process group, and the
    parent alone decides; but a parent that was killed sends no word, and its workers would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
