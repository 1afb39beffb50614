"""Filters, search, order, pages and the download."""

import csv
import io
import re
import time
from pathlib import Path

import pytest
from browser.hosted import (
    PROJECTS,
    error_response,
    hold_responses,
    names,
    run,
    settle,
    stop_clock,
    wait_for_events,
    wait_for_requests,
)
from flask import Response, request


def click(page, name, **options):
    """Click a button, and wait for the response."""
    number = page.evaluate("events.length")
    page.get_by_role("button", name=name, exact=True, **options).click()
    page.wait_for_function("(number) => events.length > number", arg=number)
    settle(page)


def groups(page):
    return page.locator("[part=group] > :first-child").all_inner_texts()


def test_group_by(host, show):
    """The buttons choose what the breakdown is by, and say which is pressed."""
    page = show()
    buttons = page.locator("[part=group-by] button")
    assert buttons.all_inner_texts() == ["Plan", "Type", "Status"]
    for name, expected in (("Type", ["node", "static", "docker"]), ("Status", ["live", "stopped"])):
        click(page, name)
        assert groups(page) == expected
        assert page.locator("[part=group-by] [aria-pressed=true]").all_inner_texts() == [name]
        assert page.locator("[part=groups] th").first.inner_text() == name


def test_groups_filter(host, show):
    """The first control of a group filters, also the one without a value; the total and the groups follow."""
    page = show()
    assert not page.get_by_role("button", name="Show all").is_visible()
    click(page, "pro")
    assert names(page) == ["my-portfolio", "blog"]
    assert page.locator("[part=total]").inner_text() == "38,320"
    assert page.locator("[part=group] button").get_attribute("aria-pressed") == "true"
    click(page, "Show all")
    assert len(names(page)) == len(PROJECTS)
    click(page, "none")
    assert names(page) == ["worker", "auth"]
    assert host.queries()[-1]["without"] == "plan"
    click(page, "Type")
    click(page, "docker")
    assert names(page) == ["worker"]
    click(page, "docker")
    assert names(page) == ["worker", "auth"]
    click(page, "Show all")
    assert len(names(page)) == len(PROJECTS)


def test_history_follows_the_filters(host, show):
    """The chart is that of the filtered projects."""
    host.fill_history({1: 100}, 5)
    page = show('history="5"')
    highest = page.locator("[part=history] small").first
    assert highest.inner_text() == "highest: 100"
    click(page, "pro")
    assert highest.inner_text() == "highest: 0"
    assert host.queries("/api/usage/history")[-1]["plan"] == "pro"


def test_history_of_the_unused(host, show):
    """The chart stays as it is with "Only unused", which the history does not know."""
    page = show('history="5"')
    click(page, "Only unused")
    assert len(host.queries("/api/usage/history")) == 1
    assert not page.locator("[part=error]").is_visible()


def test_search(host, show, page, clock):
    """What is typed selects projects by their names, after a pause."""
    stop_clock(clock)
    show()
    page.get_by_role("searchbox").press_sequentially("APP")
    clock.run_for(300)
    page.wait_for_function("events.length === 2")
    clock.resume()
    assert names(page) == ["test-app"]
    assert [query.get("search") for query in host.queries()] == [None, "APP"]
    page.get_by_role("searchbox").fill("nothing")
    page.wait_for_function("events.length === 3")
    assert page.locator("[part=empty]").inner_text() == "No project matches."
    page.get_by_role("searchbox").fill("")
    page.wait_for_function("events.length === 4")
    assert len(names(page)) == len(PROJECTS)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("Fewest requests", "test-app"),
        ("Name", "api-service"),
        ("Newest", "test-app"),
        ("Most requests", "api-service"),
    ],
)
def test_order(host, show, order, first):
    """The one select has four orders; the newest are shown with the date of creation."""
    page = show()
    select = page.locator("select")
    assert select.locator("option").all_inner_texts() == ["Most requests", "Fewest requests", "Name", "Newest"]
    if order == "Most requests":
        select.select_option("Name")
        page.wait_for_function("events.length === 2")
    select.select_option(order)
    page.wait_for_function("(n) => events.length === n", arg=3 if order == "Most requests" else 2)
    assert names(page)[0] == first
    day = page.locator("[part=row] > :last-child").first.inner_text()
    heading = page.locator("[part=ranking] thead th").last.inner_text()
    assert (heading, day[:3]) == (("Created", "Jan") if order == "Newest" else ("Changed", "Mar"))


def test_only_unused(host, show):
    """The button selects projects without requests, and says whether it is pressed."""
    page = show()
    button = page.get_by_role("button", name="Only unused")
    assert button.get_attribute("aria-pressed") == "false"
    click(page, "Only unused")
    assert button.get_attribute("aria-pressed") == "true"
    assert names(page) == ["test-app"]
    assert page.locator("[part=total]").inner_text() == "0"
    click(page, "Only unused")
    assert len(names(page)) == len(PROJECTS)


def many(number):
    return [(f"project-{index:04}", "node", "live", "pro", number - index) for index in range(number)]


def test_show_more(host, show):
    """The button adds as many rows, keeps the old ones, and goes away at the end. A refresh shows as many as before."""
    host.fill(many(60))
    page = show('project-url="/projects/{_id}"')
    assert len(names(page)) == 25
    page.evaluate("window.first = document.querySelector('usage-stats').shadowRoot.querySelector('[part=row]')")
    click(page, "Show more")
    assert names(page) == [name for name, *_ in many(60)][:50]
    click(page, "Refresh")
    assert len(names(page)) == 50
    click(page, "Show more")
    assert len(names(page)) == 60
    assert not page.get_by_role("button", name="Show more").is_visible()
    assert page.evaluate("first.isConnected")
    assert page.evaluate("document.querySelector('usage-stats').shadowRoot.activeElement.textContent") == "project-0059"
    click(page, "Only unused")
    click(page, "Only unused")
    assert len(names(page)) == 25


def test_more_than_a_page_of_the_api(host, show):
    """Beyond the largest page of the API, rows come from several requests."""
    host.fill(many(1100))
    page = show('limit="1050"')
    assert names(page) == [name for name, *_ in many(1100)][:1050]
    assert [query["limit"] for query in host.queries()] == ["1000", "50"]
    assert page.locator("[part=note]").inner_text().startswith("1,050 of 1,100 shown")


def test_download(host, show):
    """The file has exactly the filtered projects in their order, after a byte order mark."""
    host.fill([*PROJECTS, ("müller", "node", "live", "pro", 5)])
    page = show('limit="1"')
    click(page, "pro")
    page.locator("select").select_option("Fewest requests")
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename.startswith("usage-20")
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf_id,name,")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert [row["name"] for row in rows] == ["müller", "blog", "my-portfolio"]


def test_download_with_a_token(host, show):
    """The download works with tokens, which are in no address."""
    host.tokens = {"secret"}
    page = show('auth="token"')
    page.evaluate("document.querySelector('usage-stats').token = 'secret'")
    page.wait_for_function("events.length === 1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert "secret" not in download.value.url
    assert b"my-portfolio" in Path(download.value.path()).read_bytes()


def test_download_that_fails(host, show):
    """A failure is shown like any other."""
    page = show()
    host.owner = None
    page.get_by_role("button", name="Download CSV").click()
    page.wait_for_function("events.length === 2")
    assert page.evaluate("events[1][0]") == "usage-unauthenticated"
    assert not names(page)


def test_the_last_choice_wins(host, show):
    """If responses come in another order than their requests, the last choice is shown."""
    host.replace = lambda path: time.sleep(0.6 if request.args.get("order") == "asc" else 0)
    page = show()
    page.locator("select").select_option("Fewest requests")
    page.locator("select").select_option("Name")
    page.wait_for_function("events.length === 2")
    page.wait_for_timeout(800)
    assert names(page) == sorted(name for name, *_ in PROJECTS)
    assert page.evaluate("events.length") == 2


def test_a_slow_response_of_the_former_user(host, show):
    """A response that arrives after the token has changed is not shown."""
    host.tokens = {"one", "two"}
    page = show('auth="token"')
    with hold_responses(host):
        page.evaluate("document.querySelector('usage-stats').token = 'one'")
        wait_for_requests(host, 1)
        page.evaluate("document.querySelector('usage-stats').token = null")
        page.get_by_role("link", name="Sign in").wait_for()
    page.wait_for_timeout(200)
    assert not names(page)
    assert page.evaluate("events.length") == 0


def test_removed_while_it_loads(host, show):
    """An element that is removed while it loads shows nothing of that response, and loads when it comes back."""
    with hold_responses(host):
        page = show(waits=False)
        wait_for_requests(host, 1)
        page.evaluate("window.element = document.querySelector('usage-stats'); element.remove()")
    page.wait_for_timeout(200)
    assert page.evaluate("events.length") == 0
    page.evaluate("document.querySelector('main').append(element)")
    page.wait_for_function("events.length === 1")
    assert names(page)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (502, "<h1>Bad Gateway</h1>", "BAD GATEWAY"),
        (200, "<h1>Log in</h1>", "The response is not one of the API."),
        (200, '{"success":true}', "The response is not one of the API."),
        (200, '{"projectStats":[]}', "The response is not one of the API."),
        (200, "null", "The response is not one of the API."),
    ],
)
def test_pages_instead_of_json(host, show, status, body, message):
    """A page of a proxy, or of a login, is an error."""
    host.replace = lambda path: Response(body, status)
    page = show()
    kind, detail = page.evaluate("events[0]")
    assert kind == "usage-error"
    assert detail == {"status": status, "message": message}
    assert page.locator("[part=error]").is_visible()


def choose(page, choice):
    """Make a choice that changes what is shown."""
    if choice == "order":
        page.locator("select").select_option("Name")
    elif choice == "search":
        page.get_by_role("searchbox").fill("blog")
    else:
        page.get_by_role("button", name=choice, exact=True).click()


def get_controls(page):
    """Return what is chosen, and what is shown."""
    pressed = page.locator("[aria-pressed=true]").all_inner_texts()
    fields = [page.get_by_role("searchbox").input_value(), page.locator("select").input_value()]
    return [pressed, fields, names(page), groups(page), page.locator("[part=history]").text_content()]


@pytest.mark.parametrize("choice", ["pro", "Status", "Only unused", "order", "search", "Show more"])
def test_choice_that_fails(host, show, choice):
    """If a choice cannot be loaded, the controls agree with what is shown, and "Try again" makes it again."""
    host.fill_history({0: 5}, 2)
    page = show('limit="3" history="3"')
    before = get_controls(page)
    host.replace = lambda path: None if path.endswith("history") else error_response(500)
    choose(page, choice)
    wait_for_events(page, 2)
    settle(page)
    assert get_controls(page) == before
    host.replace = None
    with page.expect_download():
        page.get_by_role("button", name="Download CSV").click()
    assert host.queries()[-1] == {"format": "csv"}
    page.get_by_role("button", name="Try again").click()
    wait_for_events(page, 3)
    settle(page)
    assert get_controls(page) != before
    assert host.queries()[-1] == host.queries()[1]


def test_search_before_a_removal(host, show, page, clock):
    """What was typed just before the element moves is searched for in its new place."""
    stop_clock(clock)
    show()
    page.get_by_role("searchbox").fill("blog")
    run(page, "(element.remove(), document.querySelector('main').append(element))")
    wait_for_events(page, 2)
    assert names(page) == ["blog"]
    clock.run_for(1000)
    page.wait_for_timeout(150)
    assert len(host.queries()) == 2


def test_typing_while_a_response_comes(host, show, page, clock):
    """A response does not change the text that is being typed."""
    stop_clock(clock)
    show()
    page.get_by_role("searchbox").fill("bl")
    assert run(page, "(await element.refresh(), root.querySelector('input').value)") == "bl"
    clock.run_for(1000)
    wait_for_events(page, 3)
    assert names(page) == ["blog"]


def test_download_that_fails_once(host, show):
    """A failure of the download is not one of the numbers; "Try again" downloads again."""
    page = show()
    host.replace = lambda path: error_response(500)
    page.get_by_role("button", name="Download CSV").click()
    assert wait_for_events(page, 2) == ["usage-load", "usage-error"]
    message = page.locator("[part=error] span").inner_text()
    assert re.fullmatch(r"The file could not be downloaded. These numbers are from \d\d:\d\d.", message)
    host.replace = None
    with page.expect_download():
        page.get_by_role("button", name="Try again").click()
    page.locator("[part=error]").wait_for(state="hidden")
    assert [query.get("format") for query in host.queries()] == [None, "csv", "csv"]


def test_download_of_a_login_page(host, show):
    """A page instead of a CSV file is an error, and is not saved."""
    page = show()
    downloads = []
    page.on("download", lambda download: downloads.append(download))  # noqa: PLW0108 # not a built-in
    host.replace = lambda path: Response("<h1>Log in</h1>", mimetype="text/html")
    page.get_by_role("button", name="Download CSV").click()
    assert wait_for_events(page, 2) == ["usage-load", "usage-error"]
    page.wait_for_timeout(200)
    assert not downloads


def test_download_has_every_filter(host, show):
    """Values, projects without one, the search and "Only unused" are in the request for the file."""
    host.fill([*PROJECTS, ("app-2", "node", "live", None, 0)])
    page = show()
    click(page, "none")
    click(page, "Status")
    click(page, "live")
    click(page, "Only unused")
    page.get_by_role("searchbox").fill("app")
    wait_for_events(page, 6)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert host.queries()[-1] == {
        "without": "plan", "status": "live", "search": "app", "maxRequests": "0", "format": "csv"
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert [row["name"] for row in rows] == names(page) == ["app-2"]


def test_projects_without_two_values(host, show):
    """Projects without a plan and without a type are those that lack both."""
    host.fill([("a", "node", "live", None, 3), ("b", None, "live", "pro", 2), ("c", None, "live", None, 1)])
    page = show()
    click(page, "none")
    click(page, "Type")
    click(page, "none")
    assert names(page) == ["c"]
    assert host.requests[-1][1]["without"] == ["plan", "projectType"]


@pytest.mark.parametrize(
    ("choice", "limit"), [("order", "10"), ("search", "10"), ("Only unused", "10"), ("Status", "20")]
)
def test_first_page(host, show, choice, limit):
    """A filter, an order and a search begin with the first rows; another breakdown keeps what is shown."""
    host.fill(many(60))
    page = show('limit="10"')
    click(page, "Show more")
    choose(page, choice)
    wait_for_events(page, 3)
    assert host.queries()[-1]["limit"] == limit
