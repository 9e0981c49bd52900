"""One function a command, in a module of its name; the command line, the web app and a person's script call the same.

More than twelve modules, for there is one a command: ``demo, paint, collect, train, evaluate, predict, audit,
self_test, similar, explain, compare, report``. What each returns is in ``results``, in a module of the same
name. Beside them stands what several commands share: ``query`` (what IMAGE names),
``runner`` (a model on rows of a collection), ``crossfit`` and ``calibrate`` (the networks behind an audit, and what
validation is for after training), and the files that ``predict`` and ``audit`` write (``table_file``,
``audit_files``).
"""
