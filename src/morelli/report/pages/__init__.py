"""HTML pages, each one file that needs no other.

``run`` is the report of a run, with its ``pictures``; ``audit`` and ``explain`` are those of the commands.
"""
