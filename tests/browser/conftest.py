"""A real browser, and a host application."""

import os
import shutil

import pytest
from browser.hosted import ELEMENT, PAGE, serve, settle
from playwright.sync_api import sync_playwright

SIZE = {"width": 1100, "height": 800}
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
        reason = "chromium is missing: install the package of Debian or the snap of Ubuntu"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"REQUIRE_BROWSER is set: {reason}")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def new_page(browser):
    """Return a page in a context of its own, which collects errors and the events of elements."""
    context = browser.new_context(viewport=SIZE, timezone_id="UTC", locale="en-US")
    context.add_init_script(
        "window.events = [];"
        "for (const type of ['usage-load', 'usage-error', 'usage-unauthenticated', 'usage-open'])"
        "  addEventListener(type, (event) => events.push([type, event.detail]));"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    return page


@pytest.fixture(scope="session")
def shared_page(browser):
    """Yield the page of most tests: to make a new one takes longer than many a test."""
    page = new_page(browser)
    yield page
    page.context.close()


@pytest.fixture
def page(browser, shared_page, request):
    """Yield a page of 1100 pixels, which must not report any error: a new one if the test needs its ``clock``."""
    page = new_page(browser) if "clock" in request.fixturenames else shared_page
    yield page
    problems = page.problems.copy()
    if page is shared_page:
        page.goto("about:blank")
        page.problems.clear()
        page.context.clear_cookies()
        page.context.set_offline(False)
        page.set_viewport_size(SIZE)
        page.emulate_media(media="null", color_scheme="null", reduced_motion="null", forced_colors="null")
    else:
        page.context.close()
    assert not problems


@pytest.fixture
def clock(page):
    """Return the clock of the page, which a test can install, stop and move."""
    return page.clock


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
