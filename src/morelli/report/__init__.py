"""Report: figures and HTML pages, drawn from a run's predictions, scores and collection.

``run_results`` reads what a report is made of. ``figures/`` draws, ``sections/`` choose what a part of the page shows,
``pages/`` put a page together from ``templates/``. ``html`` holds what the pages share, ``titles`` names works.
"""
