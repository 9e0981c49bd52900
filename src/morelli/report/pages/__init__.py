"""HTML pages, each one file that needs no other: of a run (``run``, with its ``pictures``), of an audit, of an explanation."""
