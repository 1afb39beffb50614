"""How Sphinx builds the documentation."""

import ast
import inspect
import re
import textwrap
from importlib.metadata import version as version_of

import flask
from marshmallow import Schema
from pymongo.collection import Collection
from sphinx.application import Sphinx

project = "flask-usage-stats"
version = release = version_of(project)
html_title = project
copyright = "the flask-usage-stats contributors"  # noqa: A001 # Sphinx's own name

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
root_doc = "index"
TABLES_OF_CONTENTS = (root_doc, "examples/index")

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["code.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd3a6", "color-brand-content": "#5fd3a6"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"

# Commands and programs are copied without prompts and output; blocks that are only output have no button.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_copy_empty_lines = False
copybutton_selector = "div:not(.highlight-http, .highlight-json, .highlight-text) > div.highlight pre"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
autodoc_type_aliases = {name: f"flask_usage_stats.protocols.{name}" for name in ("Authenticate", "Authorize", "Owner")}

# The build needs no network: the folder has the few names of other projects to which this documentation links.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "inventories/python.inv"),
    "flask": ("https://flask.palletsprojects.com/en/stable/", "inventories/flask.inv"),
    "pymongo": ("https://pymongo.readthedocs.io/en/stable/", "inventories/pymongo.inv"),
    "marshmallow": ("https://marshmallow.readthedocs.io/en/stable/", "inventories/marshmallow.inv"),
}
nitpicky = True
nitpick_ignore = [
    ("py:class", "flask_usage_stats._recording.recorder.RecorderStats"),  # it has no public name
    ("py:exc", "PyJWTError"),  # a name without its module
]
# These projects document the classes under the names by which users import them.
flask.Blueprint.__module__ = flask.Flask.__module__ = flask.Response.__module__ = "flask"
Collection.__module__ = "pymongo.collection"
Schema.__module__ = "marshmallow"


def name_aliases(_app: Sphinx, function: object, _bound_method: object) -> None:
    """Let autodoc read an annotation as it is written if it is an alias: the evaluated annotation has no name."""
    if inspect.isfunction(function):
        definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        arguments = definition.args.posonlyargs + definition.args.args + definition.args.kwonlyargs
        written = {each.arg: each.annotation for each in arguments} | {"return": definition.returns}
        for name, annotation in written.items():
            if isinstance(annotation, ast.Name) and annotation.id in autodoc_type_aliases:
                function.__annotations__[name] = annotation.id


def add_toctree(_app: Sphinx, name: str, source: list[str]) -> None:
    """Add the table of contents to a page that lists other pages as links, which are readable on code hosts."""
    if name in TABLES_OF_CONTENTS:
        for heading, section in re.findall(r"^#+ (.+)\n((?:(?!#).*\n)*)", source[0], re.MULTILINE):
            pages = re.findall(r"^[-|] \[.+?\]\(([\w/-]+)\.(?:md|rst)\)", section, re.MULTILINE)
            caption = f":caption: {heading}\n" if name == root_doc else ""
            source[0] += "\n".join(["\n```{toctree}", f":hidden:\n{caption}", *pages, "```\n"]) if pages else ""


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", add_toctree)
    app.connect("autodoc-before-process-signature", name_aliases)
