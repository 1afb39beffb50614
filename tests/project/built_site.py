"""Tests of the built documentation, which only ``tox run -e docs`` has."""

import re
from html import unescape

from support import ROOT

SITE = ROOT / "docs" / "_build" / "html"


def get_text(fragment):
    return unescape(re.sub(r"<[^>]+>", "", fragment))


def test_contents():
    """The sidebar has the sections of the index."""
    captions = re.findall(
        r'class="caption".*?<span class="caption-text">(.*?)</span>', (SITE / "index.html").read_text()
    )
    assert captions == re.findall(r"^## (.+)", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE)


def test_signatures():
    """A signature has the names of aliases of types, and its types link to their documentation."""
    page = (SITE / "reference.html").read_text()
    signatures = re.findall(r'<dt class="sig.*?</dt>', page, re.DOTALL)
    (blueprint,) = (each for each in signatures if 'id="flask_usage_stats.create_usage_blueprint"' in each)
    assert "store: UsageStore, *, authenticate: Authenticate, history: UsageHistory | None = None" in get_text(
        blueprint
    )
    assert 'href="#flask_usage_stats.protocols.Authenticate"' in blueprint
    assert 'href="https://flask.palletsprojects.com/en/stable/api/#flask.Blueprint"' in blueprint
    assert any("iter_projects" in each and "owner: Owner, /" in get_text(each) for each in signatures)
    assert "https://pymongo.readthedocs.io/en/stable/api/pymongo/collection.html#pymongo.collection.Collection" in page


def test_copy_buttons():
    """Prompts and output are not copied: the script has the pattern of prompts, and output has no button."""
    script = (SITE / "_static" / "copybutton.js").read_text()
    assert r"\$ |>>> |\.\.\. " in script.replace(r"\\", "\\")
    assert all(f".highlight-{language}" in script for language in ("http", "json", "text"))
