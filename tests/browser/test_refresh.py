"""Polling, refreshes, and what stays in place."""

import time

import pytest
from browser.hosted import (
    ROOT,
    error_response,
    hold_responses,
    names,
    run,
    stop_clock,
    wait_for_events,
    wait_for_requests,
)


def test_polling(host, show, page, clock):
    """``refresh`` polls, at least 5 seconds apart, and not while the page is hidden."""
    stop_clock(clock)
    show('refresh="1"')
    assert len(host.requests) == 1
    clock.run_for(4_000)
    page.wait_for_timeout(100)
    assert len(host.requests) == 1
    clock.run_for(1_500)
    page.wait_for_function("events.length === 2")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.away });"
        "window.away = true; document.dispatchEvent(new Event('visibilitychange'))"
    )
    clock.run_for(60_000)
    page.wait_for_timeout(150)
    assert len(host.requests) == 2
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function("events.length === 3")
    clock.run_for(5_500)
    page.wait_for_function("events.length === 4")
    assert len(host.requests) == 4


def test_hidden_while_it_loads(host, show, page, clock):
    """If the page is hidden while a request runs, no other follows."""
    clock.install()
    with hold_responses(host):
        show('refresh="5"', waits=False)
        page.locator("[aria-busy=true]").wait_for()
        page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    wait_for_events(page, 1)
    clock.run_for(20_000)
    page.wait_for_timeout(150)
    assert len(host.requests) == 1


def test_polling_goes_on_after_a_failure(host, show, page, clock):
    """After a failure, the element recovers by itself."""
    clock.install()
    show('refresh="5"')
    host.replace = lambda path: error_response(500)
    clock.run_for(5_500)
    page.wait_for_function("events.length === 2")
    host.replace = None
    clock.run_for(5_500)
    page.wait_for_function("events.length === 3")
    assert not page.locator("[part=error]").is_visible()


@pytest.mark.parametrize("seconds", ["2147484", "1e9", "Infinity"])
def test_long_intervals(host, show, page, seconds):
    """An interval that is too long for a timer does not flood the server."""
    show(f'refresh="{seconds}"')
    page.wait_for_timeout(300)
    assert len(host.requests) == 1


def test_status_line_is_quiet(show, page):
    """If nothing has changed, the status line does not change either."""
    show()
    page.evaluate(
        f"window.changes = 0; new MutationObserver((all) => changes += all.length).observe("
        f"{ROOT}.querySelector('[role=status]'), {{ childList: true, characterData: true, subtree: true }})"
    )
    page.evaluate("document.querySelector('usage-stats').refresh()")
    assert page.evaluate("new Promise((done) => setTimeout(() => done(changes), 50))") == 0


def test_changed_attributes_while_the_server_fails(host, show, page):
    """If an attribute changes, what was loaded stays right, even if the next request fails."""
    show('project-url="/projects/{_id}"')
    host.replace = lambda path: error_response(500)
    element = "document.querySelector('usage-stats')"
    page.evaluate(f"{element}.setAttribute('group-by', 'status'); {element}.removeAttribute('project-url')")
    page.wait_for_function("events.length === 2")
    assert len(names(page)) == 7
    assert page.locator("[part=group] > :first-child").all_inner_texts() == ["business", "pro", "free", "none"]


def test_nothing_changed(host, show):
    """A refresh is a conditional request, and a 304 keeps the nodes and the focus."""
    page = show('project-url="/projects/{_id}"')
    page.get_by_role("link", name="blog").focus()
    page.evaluate(f"window.rows = [...{ROOT}.querySelectorAll('[part=row], [part=row] *')]")
    page.evaluate("document.querySelector('usage-stats').refresh()")
    assert host.requests[1][2]["If-None-Match"]
    assert page.evaluate(
        f"rows.every((node, index) => node === [...{ROOT}.querySelectorAll('[part=row], [part=row] *')][index])"
    )
    assert page.evaluate(f"{ROOT}.activeElement.textContent") == "blog"
    assert page.evaluate("events.length") == 2


def test_order_changed(host, show):
    """If projects change places, their nodes move, and the focus stays."""
    page = show('project-url="/projects/{_id}"')
    page.get_by_role("link", name="blog").focus()
    page.evaluate(f"window.row = {ROOT}.activeElement")
    host.projects.update_one({"name": "blog"}, {"$set": {"totalRequest": 10**6}})
    page.evaluate("document.querySelector('usage-stats').refresh()")
    assert names(page)[0] == "blog"
    assert page.evaluate(f"{ROOT}.activeElement === row && row.isConnected")


def test_removed_and_added(host, show):
    """An element that comes back to the page loads."""
    page = show()
    run(page, "(element.remove(), document.querySelector('main').append(element))")
    wait_for_events(page, 2)
    assert len(host.requests) == 2


def test_several_on_a_page(host, show):
    """Several elements do not disturb each other."""
    page = show(body='<usage-stats limit="1"></usage-stats><usage-stats limit="2"></usage-stats>')
    page.wait_for_function("events.length === 2")
    assert names(page) == ["api-service", "api-service", "my-portfolio"]


def test_two_at_once(host, show):
    """Of two refreshes at once, both promises wait for the last response."""
    page = show()
    host.replace = lambda path: time.sleep(0.2)
    host.projects.update_one({"_id": 0}, {"$set": {"name": "renamed"}})
    first = "root.querySelector('[part=link]').textContent"
    assert run(page, f"await Promise.race([element.refresh(), element.refresh()]).then(() => {first})") == "renamed"


def test_interval(host, show, page, clock):
    """Less than 5 seconds are 5 seconds: nothing is asked after 4.9."""
    stop_clock(clock)
    show('refresh="1"')
    clock.run_for(4_900)
    page.wait_for_timeout(150)
    assert len(host.requests) == 1
    clock.run_for(200)
    wait_for_events(page, 2)


def test_an_own_refresh_begins_the_interval_again(host, show, page, clock):
    """After ``refresh()``, the next request is an interval later."""
    stop_clock(clock)
    show('refresh="10"')
    clock.run_for(8_000)
    run(page, "element.refresh()")
    clock.run_for(8_000)
    page.wait_for_timeout(150)
    assert len(host.requests) == 2


@pytest.mark.parametrize("attributes", ['refresh="5"', ""])
def test_signed_out(host, show, page, attributes, clock):
    """A 401 stops polling until the page is shown again."""
    stop_clock(clock)
    host.owner = None
    show(attributes)
    clock.run_for(30_000)
    page.wait_for_timeout(150)
    assert len(host.requests) == 1
    host.owner = "ada"
    run(page, "document.dispatchEvent(new Event('visibilitychange'))")
    assert wait_for_events(page, 2) == ["usage-unauthenticated", "usage-load"]
    run(page, "document.dispatchEvent(new Event('visibilitychange'))")
    if attributes:
        wait_for_events(page, 3)
    else:
        page.wait_for_timeout(150)
        assert len(host.requests) == 2


def test_removed(host, show, page, clock):
    """An element that was removed asks for nothing: no timer, no search, no return to the page."""
    stop_clock(clock)
    show('refresh="5"')
    page.get_by_role("searchbox").fill("x")
    run(page, "(window.gone = element, element.remove(), document.body.append(document.createElement('usage-stats')))")
    wait_for_events(page, 2)
    clock.run_for(20_000)
    run(page, "document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(100)
    assert len(host.requests) == 2
    page.evaluate("gone.refresh()")  # a call is obeyed, but begins no polling
    clock.run_for(20_000)
    page.wait_for_timeout(100)
    assert len(host.requests) == 3


@pytest.mark.parametrize("method", ["remove", "refresh"])
def test_requests_are_aborted(host, show, method):
    """A request whose response is not wanted any more is aborted."""
    page = show()
    host.projects.update_one({"_id": 0}, {"$set": {"name": "renamed"}})  # Chromium calls a 304 aborted
    with hold_responses(host), page.expect_event("requestfailed") as failed:
        page.evaluate("void document.querySelector('usage-stats').refresh()")
        wait_for_requests(host, 2)
        page.evaluate(f"void document.querySelector('usage-stats').{method}()")
    assert failed.value.failure == "net::ERR_ABORTED"


def test_browser_cache(host, show):
    """The cache of the browser is not used, whatever caching the host allows."""
    host.maximum_age = 60
    page = show()
    run(page, "document.body.append(document.createElement('usage-stats'))")
    wait_for_events(page, 2)
    assert len(host.requests) == 2


def test_attributes_together(host, show):
    """Several attributes at once are one request."""
    page = show()
    run(
        page,
        "(element.setAttribute('limit', 3), element.setAttribute('group-by', 'type'), element.setAttribute('refresh', 60))",
    )
    wait_for_events(page, 2)
    page.wait_for_timeout(100)
    assert len(host.requests) == 2
