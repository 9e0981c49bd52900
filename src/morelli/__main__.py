"""``python -m morelli`` is ``morelli``."""

from morelli.cli import main

main()
