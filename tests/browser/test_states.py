"""What the element shows while it loads, and for each kind of response."""

import re
import threading

from browser.hosted import PROJECTS, error_response, names, run, settle
from flask import redirect


def text_of(page):
    """Return all text in the shadow tree, visible or not."""
    return page.evaluate("document.querySelector('usage-stats').shadowRoot.textContent")


def events(page):
    return page.evaluate("events")


def test_loaded(host, show):
    """The totals, the breakdown and the ranking of the response."""
    page = show()
    assert page.locator("[part=total]").inner_text() == "129,626"
    assert page.locator("[part=projects]").inner_text() == "7"
    assert names(page) == [name for name, *_ in PROJECTS]
    assert page.locator("[part=group] > :first-child").all_inner_texts() == ["business", "pro", "free", "none"]
    assert re.fullmatch(r"7 of 7 shown · as of \d\d:\d\d", page.locator("[part=note]").inner_text())
    assert events(page) == [["usage-load", {"totalRequests": 129626}]]
    assert not page.locator("[part=error]").is_visible()
    assert not page.locator("[part=history]").is_visible()


def test_loading(host, show):
    """While a request runs, the base is busy, and there are no numbers."""
    end = threading.Event()
    host.replace = lambda path: None if end.wait(10) else error_response(500)
    page = show(waits=False)
    base = page.locator("[part=base]")
    page.wait_for_function("document.querySelector('usage-stats').shadowRoot?.querySelector('[aria-busy=true]')")
    assert page.locator("[part=note]").inner_text() == "Loading…"
    assert not page.locator("[part=summary]").is_visible()
    end.set()
    settle(page)
    assert base.get_attribute("aria-busy") == "false"
    assert names(page)


def test_empty(host, show):
    """A user without projects sees a word instead of a table."""
    host.fill([])
    page = show()
    assert page.locator("[part=empty]").inner_text() == "No projects yet."
    assert page.locator("[part=total]").inner_text() == "0"
    assert not page.locator("[part=ranking] [part=table]").is_visible()


def test_first_failure(host, show):
    """If the first request fails, there is an error and a button, but no numbers."""
    host.replace = lambda path: error_response(500)
    page = show()
    assert page.locator("[part=error]").inner_text().splitlines()[0] == "The usage could not be loaded."
    assert not re.search(r"\d", text_of(page))
    assert events(page) == [["usage-error", {"status": 500, "message": "Failed to fetch usage stats"}]]
    host.replace = None
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function("events.length === 2")
    assert names(page)
    assert not page.locator("[part=error]").is_visible()


def test_later_failure(host, show):
    """If a later request fails, the old numbers stay, and the error names the time from which they are."""
    page = show()
    host.replace = lambda path: error_response(503, "later")
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("events.length === 2")
    assert re.search(r"\b\d\d:\d\d\b", page.locator("[part=error]").inner_text())
    assert page.locator("[part=total]").inner_text() == "129,626"
    assert names(page)
    assert events(page)[1] == ["usage-error", {"status": 503, "message": "later"}]
    host.replace = None
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("events.length === 3")
    assert not page.locator("[part=error]").is_visible()


def test_network_failure(host, show):
    """A server that does not respond is an error with the status 0."""
    page = show()
    page.context.set_offline(True)
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("events.length === 2")
    kind, detail = events(page)[1]
    assert (kind, detail["status"]) == ("usage-error", 0)
    assert names(page)


def test_signed_out(host, show):
    """A 401 shows what the host has for it, and nothing else."""
    host.owner = None
    page = show()
    assert page.get_by_role("link", name="Sign in").is_visible()
    assert page.locator("[part=note]").inner_text() == ""
    assert not page.locator("[part=summary]").is_visible()
    assert events(page) == [["usage-unauthenticated", None]]


def test_session_that_ends(host, show):
    """A 401 takes all numbers off the screen, and out of the shadow tree."""
    host.fill_history({0: 5, 1: 100}, 2)
    page = show('history="7"')
    assert page.locator("[part=chart] > *").count() == 7
    host.owner = None
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("events.length === 2")
    assert not re.search(r"\d", text_of(page))
    assert not names(page)
    assert page.locator("[part=note]").text_content() == ""
    assert page.get_by_role("link", name="Sign in").is_visible()
    host.owner = "ada"
    page.evaluate("document.querySelector('usage-stats').refresh()")
    page.wait_for_function("events.length === 3")
    assert names(page)
    assert not page.get_by_role("link", name="Sign in").is_visible()


def test_status_at_the_event(host, show):
    """When a page hears that nobody is signed in, the status line is empty, and nothing is busy."""
    page = show()
    host.owner = None
    script = (
        "new Promise((done) => { element.addEventListener('usage-unauthenticated', () => done("
        "[root.querySelector('[role=status]').textContent, root.querySelector('[part=base]').ariaBusy]));"
        " element.refresh(); })"
    )
    assert run(page, script) == ["", "false"]


def test_redirect_to_a_login_page(host, show):
    """A redirect counts as signed out."""
    host.replace = lambda path: redirect("/login")
    page = show()
    assert events(page) == [["usage-unauthenticated", None]]
    assert page.get_by_role("link", name="Sign in").is_visible()


def test_default_text_for_signed_out(host, show):
    """Without anything in the slot, there is a sentence."""
    host.owner = None
    page = show(body="<usage-stats></usage-stats>")
    assert page.get_by_text("Sign in to see your usage.").is_visible()


def test_texts_while_loading(host, show):
    """Texts that are set while a request runs do not take "Loading…" away."""
    end = threading.Event()
    host.replace = lambda path: None if end.wait(10) else error_response(500)
    page = show(waits=False)
    page.locator("[aria-busy=true]").wait_for()
    run(page, "element.strings = { refresh: 'Again' }")
    assert page.locator("[part=note]").inner_text() == "Loading…"
    end.set()
    settle(page)


def test_time_of_the_numbers(host, show, page, clock):
    """The error names the time as HH:MM in every language, however often it fails."""
    clock.install(time="2026-03-01T09:05:10")
    show('lang="ar-EG"')
    host.replace = lambda path: error_response(500)
    for _ in range(2):
        clock.run_for(60_000)
        run(page, "element.refresh()")
    assert "09:05" in page.locator("[part=error]").inner_text()
