"""A real browser, and a host application."""

import os
import shutil

import pytest
from browser.hosted import ELEMENT, PAGE, serve, settle
from playwright.sync_api import sync_playwright

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)


@pytest.fixture
def host():
    with serve() as host:
        host.fill()
        yield host


@pytest.fixture(scope="session")
def browser():
    """Yield Debian's Chromium. Without it, skip the test, or fail if ``REQUIRE_BROWSER`` is set."""
    path = shutil.which("chromium")
    if path is None:
        reason = "chromium is missing: install the package of Debian or Ubuntu"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"REQUIRE_BROWSER is set: {reason}")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """Yield a page of 1100 pixels, which must not report any error."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, timezone_id="UTC", locale="en-US")
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.add_init_script(
        "window.events = [];"
        "for (const type of ['usage-load', 'usage-error', 'usage-unauthenticated', 'usage-open'])"
        "  addEventListener(type, (event) => events.push([type, event.detail]));"
    )
    yield page
    context.close()
    assert not page.problems


@pytest.fixture
def show(host, page):
    """Return a function that opens a page with the element, and waits until it has loaded."""

    def open_page(attributes="", *, body=None, head="", headers=None, at=host, waits=True, path="/page"):
        at.html = PAGE.format(head=head, body=ELEMENT.format(attributes) if body is None else body, prefix=at.prefix)
        at.headers = headers or {}
        page.goto(f"{at.origin}{at.prefix}{path}")
        if waits:
            settle(page)
        return page

    return open_page
