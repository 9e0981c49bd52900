"""Parts of the page of a run: what each shows, chosen from the run's results.

``confused``, ``candidates``, ``nearest`` and ``traces`` each give a ``Section``, or a ``Missing`` with the command
that makes what they need; ``neighbour_index`` finds similar works for them. ``collection_summary``, ``samples`` and
``trust`` give tables and galleries to the page itself; ``reasons`` says why a work is a candidate for review.
"""
