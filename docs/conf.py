"""How the site is built, see .ci/docs: nothing is downloaded, neither then nor when it is read."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from bncheck import __version__

project = "bncheck"
author = "The bncheck developers"
copyright = author  # noqa: A001  # Sphinx calls it so
release = version = __version__

extensions = ["made", "docstrings", "readable", "myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_made", "_ext"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
autodoc_type_aliases = {name: name for name in ("Array", "Forward", "Gradients", "Vjp")}
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
nitpick_ignore_regex = [  # types that other packages document, or that are bncheck's own and not public
    ("py:.*", r"(?!bncheck\.).*"),
    ("py:class", r"bncheck\.[a-z_]+\..*"),
]

html_baseurl = "https://bncheck.readthedocs.io/en/stable/"
html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}  # many pages have no source to be looked at
html_title = f"bncheck {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
