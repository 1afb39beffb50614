"""How Sphinx builds the documentation."""

from importlib.metadata import version as version_of

project = "flask-usage-stats"
version = release = version_of(project)
html_title = project
copyright = "the flask-usage-stats contributors"  # noqa: A001 # Sphinx's own name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd3a6", "color-brand-content": "#5fd3a6"},
}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
pygments_style = "friendly"
pygments_dark_style = "monokai"
