"""The documented snippets and texts, and the demo."""

import json
import re
import threading

import pytest
from browser.hosted import names
from support import ROOT, import_example
from werkzeug.serving import make_server

PAGE = (ROOT / "docs" / "page.md").read_text()
SNIPPETS = re.findall(r"^```html\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SCRIPT = (ROOT / "src" / "flask_usage_stats" / "_page" / "usage-stats.js").read_text()


def get_section(start, end):
    """Return the part of the page between two texts."""
    return PAGE.partition(start)[2].partition(end)[0]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets(host, show, snippet):
    """Every snippet shows the projects."""
    if 'auth="token"' in snippet:
        host.tokens = {"NEW-TOKEN"} if "NEW-TOKEN" in snippet else {"TOKEN"}
    page = show(body=snippet, waits=False)
    page.locator("[part=row]").first.wait_for()
    assert "api-service" in names(page)
    if "strings.de" in snippet:
        assert page.get_by_role("button", name="Aktualisieren").is_visible()
    if "usage-open" in snippet:
        page.get_by_role("link", name="blog").click()
        assert page.url.endswith("/projects/2")


def test_texts(show):
    """The page lists every text with its key."""
    page = show()
    english = page.evaluate("async () => (await import('/api/usage/usage-stats.js')).UsageStats.strings.en")
    assert dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", get_section("the English texts:", "\n## "), re.MULTILINE)) == {
        key: text.strip() for key, text in english.items()
    }


def test_face():
    """The page lists every attribute, part, slot and CSS property that the script has, and no other."""
    documented = get_section("\n## Reference\n", "\n### TypeScript")
    table = get_section("| Attribute | ", "\n\n")
    attributes = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))
    observed = re.search(r"observedAttributes = \[(.*?)\]", SCRIPT, re.DOTALL)
    assert attributes - {"standalone"} == set(re.findall(r"'([a-z-]+)'", observed[1])) - {"lang"}
    slots = set(re.findall(r"name: '([a-z]+)' \}", SCRIPT))
    assert slots == {"heading", "summary", "actions", "empty", "unauthenticated"}
    assert slots <= set(re.findall(r"`([a-z]+)`", documented))
    parts = set(re.findall(r"part: '([a-z-]+)'", SCRIPT))
    (listed,) = re.findall(r"^Parts: (.*)$", documented, re.MULTILINE)
    assert parts == set(re.findall(r"`([a-z-]+)`", listed))
    properties = set(re.findall(r"var\((--usage-\w+)", SCRIPT))
    assert properties == set(re.findall(r"^\| `(--usage-\w+)`", PAGE, re.MULTILINE))


def test_demo(page):
    """One click in the demo signs in and shows sixty days, and the numbers grow while one watches."""
    demo = import_example("demo")
    database = demo.open_database(None)
    demo.fill(database)
    server = make_server("127.0.0.1", 0, demo.create_app(database), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.get_by_role("button", name="Sign in as demo").click()
        total = page.locator("[part=total]")
        page.locator("[part=chart] > *").first.wait_for()
        assert page.locator("[part=chart] > *").count() == 60
        assert names(page)[0] == "api-service"
        before = total.inner_text()
        page.wait_for_function(
            "(before) => document.querySelector('usage-stats').shadowRoot"
            ".querySelector('[part=total]').textContent !== before",
            arg=before,
        )
        assert json.loads(total.inner_text().replace(",", "")) > 128_979
        assert not page.get_by_role("button", name="Sign in as demo").is_visible()
    finally:
        page.goto("about:blank")
        server.shutdown()
        thread.join()
        server.server_close()
