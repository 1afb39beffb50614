"""Cookies and bearer tokens."""

import threading
import time

import pytest
from browser.hosted import (
    error_response,
    hold_responses,
    names,
    run,
    serve,
    settle,
    stop_clock,
    wait_for_events,
    wait_for_requests,
)
from flask import request

SET = "(token) => { document.querySelector('usage-stats').token = token; }"


def events(page):
    return page.evaluate("events.map(([type]) => type)")


def authorizations(host, path="/api/usage"):
    return [headers.get("Authorization") for each, _, headers in host.requests if each == path]


def test_cookies(host, show):
    """Without a token, a request has the cookies of the page, and no more."""
    host.cookie = "session=ada"
    page = show(waits=False)
    page.wait_for_function("events.length === 1")
    assert events(page) == ["usage-unauthenticated"]
    page.context.add_cookies([{"name": "session", "value": "ada", "url": host.origin, "httpOnly": True}])
    page.evaluate("document.querySelector('usage-stats').refresh()")
    page.wait_for_function("events.length === 2")
    assert names(page)
    assert authorizations(host) == [None, None]


def test_nothing_is_asked_before_there_is_a_token(host, show):
    """With ``auth="token"``, the element waits until a token is set, without any words."""
    host.tokens = {"secret"}
    page = show('auth="token" history="7"')
    page.wait_for_timeout(300)
    assert not host.requests
    assert not page.get_by_role("link", name="Sign in").is_visible()
    page.evaluate(SET, "secret")
    wait_for_events(page, 1)
    settle(page)
    assert names(page)
    assert authorizations(host) == ["Bearer secret"]
    assert authorizations(host, "/api/usage/history") == ["Bearer secret"]


def test_token_is_nowhere(host, show):
    """A token is neither in the markup nor in an address nor in a storage, and cannot be read."""
    host.tokens = {"secret"}
    page = show('auth="token"')
    page.evaluate(SET, "secret")
    page.wait_for_function("events.length === 1")
    element = "document.querySelector('usage-stats')"
    html = page.evaluate(f"document.documentElement.outerHTML + {element}.shadowRoot.querySelector('div').outerHTML")
    assert "secret" not in html
    assert "secret" not in page.evaluate("JSON.stringify([location.href, {...localStorage}, {...sessionStorage}])")
    assert page.evaluate(f"{element}.token") is None
    assert "secret" not in page.evaluate(f"JSON.stringify(Object.entries({element}))")


def test_token_of_another_user(host, show):
    """A new token takes the numbers of the former user off the screen at once; none signs out."""
    host.tokens = {"one", "two"}
    page = show('auth="token"')
    page.evaluate(SET, "one")
    page.wait_for_function("events.length === 1")
    assert page.evaluate(
        "() => { const element = document.querySelector('usage-stats'); element.token = 'two';"
        " return element.shadowRoot.querySelectorAll('[part=row]').length; }"
    ) == 0  # fmt: skip
    page.wait_for_function("events.length === 2")
    assert names(page)
    assert "If-None-Match" not in host.requests[-1][2]
    page.evaluate(SET, None)
    page.get_by_role("link", name="Sign in").wait_for()
    assert not names(page)
    assert len(host.requests) == 2


FUNCTION = """(plan) => {
  window.calls = [];
  document.querySelector('usage-stats').token = async (rejected) => {
    calls.push(rejected);
    const step = plan[Math.min(calls.length - 1, plan.length - 1)];
    if (step === 'throw') throw new Error('no network');
    return step;
  };
}"""


@pytest.mark.parametrize(
    ("plan", "calls", "event", "sent"),
    [
        (["secret"], [False], "usage-load", ["Bearer secret"]),
        (["old", "secret"], [False, True], "usage-load", ["Bearer old", "Bearer secret"]),
        (["old", "older"], [False, True], "usage-unauthenticated", ["Bearer old", "Bearer older"]),
        (["throw"], [False], "usage-error", []),
        (["old", "throw"], [False, True], "usage-error", ["Bearer old"]),
    ],
    ids=["good", "refreshed", "refused", "throws", "throws later"],
)
def test_token_function(host, show, plan, calls, event, sent):
    """A function is called once per request, and once more with ``true`` after a 401."""
    host.tokens = {"secret"}
    page = show('auth="token"')
    page.evaluate(FUNCTION, plan)
    page.wait_for_function("events.length === 1")
    assert page.evaluate("calls") == calls
    assert events(page) == [event]
    assert authorizations(host) == sent
    if "throw" in plan:
        assert page.evaluate("events[0][1]") == {"status": 0, "message": "no network"}


def test_function_that_throws_nothing(show):
    """A function that throws no error at all is one failure, also with a history."""
    page = show('auth="token" history="7"')
    run(page, "(element.token = async () => { throw undefined; }, null)")
    wait_for_events(page, 1)
    settle(page)
    assert page.evaluate("events") == [["usage-error", {"status": 0, "message": "undefined"}]]


def test_function_without_a_user(host, show):
    """If the function returns nothing, nobody is signed in, and nothing is asked."""
    host.tokens = {"secret"}
    page = show('auth="token"')
    page.evaluate(FUNCTION, [None])
    page.wait_for_function("events.length === 1")
    assert events(page) == ["usage-unauthenticated"]
    assert not host.requests


def test_other_origins_get_no_token(host, show):
    """A token goes to the origin of the page or of the script only."""
    host.tokens = {"secret"}
    with serve() as other:
        other.fill()
        other.cross = True
        page = show(f'auth="token" src="{other.origin}/api/usage"')
        page.evaluate(SET, "secret")
        page.wait_for_function("events.length === 1")
        assert authorizations(other) == [None]


def test_the_origin_of_the_script_gets_the_token(host, page):
    """A page of another origin than the script and the API may send its token there."""
    with serve() as other:
        host.tokens, host.cross = {"secret"}, True
        host.fill()
        other.html = (
            '<!doctype html><html lang="en"><title>x</title>'
            f'<script type="module" src="{host.origin}/api/usage/usage-stats.js"></script>'
            '<usage-stats auth="token"></usage-stats></html>'
        )
        page.goto(f"{other.origin}/page")
        page.wait_for_function("!!customElements.get('usage-stats')")
        page.evaluate(SET, "secret")
        page.wait_for_function("events.length === 1")
        assert names(page)
        assert authorizations(host) == ["Bearer secret"]


def test_late_history_of_another_user(host, show):
    """A history that arrives after the token has changed is never shown, even if the list had failed before."""
    host.tokens = {"one", "two"}
    host.fill_history({0: 777}, 5)

    def replace(path):
        is_first = request.headers["Authorization"].endswith("one")
        if is_first and path.endswith("history"):
            time.sleep(0.8)
        if not is_first and path.endswith("history"):
            return error_response(404)
        return error_response(500) if is_first and not path.endswith("history") else None

    host.replace = replace
    page = show('auth="token" history="7"')
    page.evaluate(SET, "one")
    wait_for_requests(host, 2)
    page.evaluate(SET, "two")
    page.wait_for_function("events.some(([type]) => type === 'usage-load')")
    page.wait_for_timeout(1000)
    page.evaluate("document.querySelector('usage-stats').refresh()")
    assert names(page)
    assert not page.locator("[part=history]").is_visible()


@pytest.mark.parametrize("status", [None, 503])
def test_unauthenticated_history(host, show, status):
    """A 401 of the history counts, whatever the list returns."""
    host.replace = lambda path: error_response(401) if path.endswith("history") else status and error_response(status)
    page = show('history="7"')
    assert events(page)[-1] == "usage-unauthenticated"  # perhaps after the list was shown
    assert not names(page)
    assert page.get_by_role("link", name="Sign in").is_visible()


def test_a_list_after_an_unauthenticated_history(host, show):
    """A list that arrives after the 401 of the history is not shown."""
    end = threading.Event()
    host.replace = lambda path: error_response(401) if path.endswith("history") else end.wait(10) and None
    page = show('history="7"', waits=False)
    wait_for_events(page, 1)
    end.set()
    page.wait_for_timeout(200)
    assert events(page) == ["usage-unauthenticated"]
    assert not names(page)


def test_download_of_another_user(host, show):
    """A download that is not finished when the token changes is neither saved nor an error."""
    host.tokens = {"one", "two"}
    page = show('auth="token"')
    page.evaluate(SET, "one")
    page.wait_for_function("events.length === 1")
    downloads = []
    page.on("download", lambda download: downloads.append(download))  # noqa: PLW0108 # not a built-in
    with hold_responses(host, lambda path: request.args.get("format")):
        page.get_by_role("button", name="Download CSV").click()
        wait_for_requests(host, 2)
        page.evaluate(SET, "two")
        page.wait_for_function("events.length === 2")
    page.wait_for_timeout(200)
    assert not downloads
    assert names(page)
    assert events(page) == ["usage-load", "usage-load"]


def test_nothing_of_another_user_is_kept(host, show):
    """After a new token, neither tags nor filters nor a search of the former user are sent."""
    host.tokens = {"one", "two"}
    page = show('auth="token" limit="2"')
    page.evaluate(SET, "one")
    page.wait_for_function("events.length === 1")
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function("events.length === 2")
    page.get_by_role("button", name="pro", exact=True).click()
    page.wait_for_function("events.length === 3")
    page.get_by_role("searchbox").fill("blog")
    page.wait_for_function("events.length === 4")
    page.evaluate(SET, "two")
    page.wait_for_function("events.length === 5")
    assert host.queries()[-1] == {"groupBy": "plan", "limit": "2"}
    assert "If-None-Match" not in host.requests[-1][2]
    assert page.get_by_role("searchbox").input_value() == ""


def test_a_later_attribute(host, show):
    """If ``auth="token"`` is set later, the numbers of the cookie's user go away."""
    page = show()
    run(page, "element.setAttribute('auth', 'token')")
    page.wait_for_timeout(100)
    assert not names(page)
    assert len(host.requests) == 1


def test_more_of_the_former_user(host, show):
    """After "Show more", a new token begins with the first rows."""
    host.tokens = {"one", "two"}
    page = show('auth="token" limit="2"')
    page.evaluate(SET, "one")
    wait_for_events(page, 1)
    page.get_by_role("button", name="Show more").click()
    wait_for_events(page, 2)
    page.evaluate(SET, "two")
    wait_for_events(page, 3)
    assert host.queries()[-1]["limit"] == "2"


def test_typing_before_another_user(host, show, page, clock):
    """What was typed before a new token is not searched for."""
    host.tokens = {"one", "two"}
    stop_clock(clock)
    show('auth="token"')
    page.evaluate(SET, "one")
    wait_for_events(page, 1)
    page.get_by_role("searchbox").fill("secret project")
    page.evaluate(SET, "two")
    wait_for_events(page, 2)
    clock.run_for(1000)
    page.wait_for_timeout(150)
    assert len(host.requests) == 2
    assert page.get_by_role("searchbox").input_value() == ""


def test_the_origin_of_the_page_gets_the_token(host, show, page):
    """With a script from another origin, a token may go to the API of the page."""
    host.tokens = {"secret"}
    with serve() as other:
        other.cross = True
        script = f'<script type="module" src="{other.origin}/api/usage/usage-stats.js"></script>'
        host.html = f'<!doctype html><title>x</title>{script}<usage-stats auth="token" src="/api/usage"></usage-stats>'
        page.goto(f"{host.origin}/page")
        page.wait_for_function("!!customElements.get('usage-stats')")
        page.evaluate(SET, "secret")
        wait_for_events(page, 1)
        assert authorizations(host) == ["Bearer secret"]
