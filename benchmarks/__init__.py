"""What repeats the tables of docs/: it works in a checkout only, from the repository's root.

``python -m benchmarks`` times each step of the package (``speed/``); each file of ``experiments/`` is a command of its
own, such as ``python -m benchmarks.experiments.ladder --help``.
"""

import morelli  # noqa: F401  (before torch, of which waiting threads then sleep)
