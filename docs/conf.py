"""How Sphinx builds the site: ``sphinx-build -W -b html docs docs/_build``, with the extra ``morelli[docs]``."""

from __future__ import annotations

import sys
from pathlib import Path

import morelli

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "morelli"
author = "the morelli contributors"
version = release = morelli.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "command_reference",
    "room_reference",
]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
smartquotes = False  # an option such as --json keeps its two hyphens
suppress_warnings = [
    "ref.python",  # a public name is described twice: on the page Python and in its own module
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # what Lightning and torch say of their methods is not ours
add_module_names = False
# pydantic's own machinery is no part of what a recipe may say
autodoc_default_options = {"members": True, "exclude-members": "model_config"}

html_theme = "furo"
html_title = "morelli"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
