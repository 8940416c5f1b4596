"""How Sphinx builds the documentation: `sphinx-build -W --keep-going docs docs/_build`."""

import inspect
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CODE = [str(HERE.parent), str(HERE.parent / "games")]
sys.path[:0] = [str(HERE), *CODE]
os.environ["PYTHONPATH"] = os.pathsep.join([*CODE, *filter(None, [os.environ.get("PYTHONPATH")])])  # for notebooks
os.environ.pop("MPLBACKEND", None)  # else notebooks do not show what they draw

# After the path is set: neither `pages` nor nashpo need be installed.
import pages  # noqa: E402  after the path
from sphinx.ext.napoleon import GoogleDocstring  # noqa: E402  after the path

import nashpo  # noqa: E402  after the path

GENERATED = HERE / pages.GENERATED
pages.write_reference(GENERATED / "api")
pages.copy_notebooks(GENERATED / "notebooks")
pages.write_inventory(GENERATED / "outside.inv")

project = "nashpo"
version = release = nashpo.__version__
author = "the nashpo authors"
project_copyright = author
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

html_theme = "furo"
smartquotes = False
html_title = f"nashpo {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

# Pages are MyST Markdown, with $math$; headings have anchors like GitHub's.
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3

# Notebooks are kept without outputs and run at build time; `-D nb_execution_mode=off` leaves them as they are.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "warn"
nb_merge_streams = True

# In docstrings `code` is in single backticks, and a link where it is a name that is documented.
# Napoleon would read "The answer: ..." of an attribute as its type, so `_docstring` calls it where there are arguments.
napoleon_google_docstring = napoleon_numpy_docstring = False
default_role = "py:obj"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autosummary_generate = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
intersphinx_mapping = {"outside": ("https://", str(GENERATED / "outside.inv"))}

nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r"(?s:.*)"),  # `code` that is no name
    (
        "py:class",
        r"(?!nashpo\.).*|nashpo(\.\w+){3,4}|nashpo\.march\.\w+",
    ),  # others' types, and those of inner modules
]


def _docstring(app, what, name, thing, options, lines) -> None:
    lines[:] = pages.literal_formulas(lines)
    if what in ("function", "method", "class", "exception"):
        lines[:] = GoogleDocstring(lines, app.config, app, what, name, thing, options).lines()


def _signature(app, what, name, thing, options, signature, returns) -> tuple[str | None, str | None]:
    return signature and pages.plain_types(signature), returns and pages.plain_types(returns)


def _foreign(app, what, name, thing, skip, options) -> bool | None:
    """Skip functions of other libraries that are the default of a field, `optax.adam`; the signature shows them."""
    return True if inspect.isfunction(thing) and not thing.__module__.startswith("nashpo") else None


def setup(app) -> None:
    """Docstrings pass through `pages.literal_formulas`, signatures through `pages.plain_types`."""
    app.connect("autodoc-skip-member", _foreign)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
