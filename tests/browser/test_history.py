"""The chart of days, and its requests."""

import re
import threading
from datetime import timedelta

import pytest
from browser.hosted import error_response, get_today, names, run, settle, stop_clock, wait_for_events
from flask import Response


def test_days(host, show):
    """A child per day: no data, zero and today look different, and the table has words for them."""
    host.fill_history({0: 5, 1: 2100, 3: 800}, 4)
    page = show('history="7"')
    days = page.locator("[part=chart] > *")
    assert days.count() == 7
    assert page.locator("[part=chart] > :not(div)").count() == 0
    backgrounds = days.evaluate_all("(nodes) => nodes.map((node) => getComputedStyle(node).backgroundImage)")
    heights = days.evaluate_all("(nodes) => nodes.map((node) => node.getBoundingClientRect().height)")
    colors = days.evaluate_all("(nodes) => nodes.map((node) => getComputedStyle(node).backgroundColor)")
    assert "gradient" in backgrounds[0]  # no data
    assert (backgrounds[4], heights[4]) == ("none", 0)  # zero
    assert "gradient" in backgrounds[6]  # today
    assert backgrounds[0] != backgrounds[6]
    assert backgrounds[5] == "none"
    assert colors[5] != "rgba(0, 0, 0, 0)"
    assert heights[5] > heights[3] > heights[6] > 0
    titles = days.evaluate_all("(nodes) => nodes.map((node) => node.title.split(': ')[1])")
    assert titles == ["no data", "no data", "0", "800", "0", "2,100", "5"]
    page.get_by_text("As a table").click()
    cells = page.locator("[part=history] tbody td").all_inner_texts()
    assert not re.search(r"\d", cells[0])
    assert (cells[0], cells[4], cells[5], cells[6]) == ("no data", "0", "2,100", "5 so far")
    assert (
        page.locator("[part=history] tbody th").last.inner_text()
        == f"{get_today():%b} {get_today().day}, {get_today().year}"
    )


def test_at_most_once_a_minute(host, show, page, clock):
    """The history is asked for once a minute, whatever ``refresh`` says."""
    stop_clock(clock)
    host.fill_history({0: 5}, 4)
    show('history="7" refresh="5"')
    for number in range(2, 14):  # 60 seconds
        assert len(host.queries("/api/usage/history")) == 1
        clock.run_for(5_000)
        wait_for_events(page, number)
        settle(page)
    assert len(host.queries("/api/usage")) == 13
    assert len(host.queries("/api/usage/history")) == 2


def test_order_keeps_the_history(host, show):
    """Another order, which shows other projects, does not ask for the history again."""
    page = show('history="7" limit="1"')
    page.locator("select").select_option("Fewest requests")
    wait_for_events(page, 2)
    settle(page)
    assert names(page) == ["test-app"]
    assert len(host.queries("/api/usage/history")) == 1


def test_missing(host, show):
    """Without a history at the host, there is no chart, and no error."""
    host.replace = lambda path: error_response(404) if path.endswith("history") else None
    page = show('history="7"')
    assert names(page)
    assert not page.locator("[part=history]").is_visible()
    assert not page.locator("[part=error]").is_visible()
    assert [event[0] for event in page.evaluate("events")] == ["usage-load"]


def fail_history(path):
    return error_response(500, "x") if path.endswith("history") else None


def test_first_failure(host, show):
    """If only the history fails, the rest is shown, and "Try again" asks for it at once."""
    host.fill_history({0: 5}, 4)
    host.replace = fail_history
    page = show('history="7"')
    assert names(page)
    assert page.locator("[part=error] span").inner_text() == "The requests per day could not be loaded."
    assert wait_for_events(page, 2) == ["usage-load", "usage-error"]
    run(page, "element.refresh()")  # within the minute: nothing was asked, so nothing has failed
    assert wait_for_events(page, 3) == ["usage-load", "usage-error", "usage-load"]
    assert page.locator("[part=error]").is_visible()
    host.replace = None
    page.get_by_role("button", name="Try again").click()
    wait_for_events(page, 4)
    settle(page)
    assert page.locator("[part=chart] > *").count() == 7
    assert not page.locator("[part=error]").is_visible()
    assert len(host.queries("/api/usage/history")) == 2


def test_later_failure(host, show, page, clock):
    """If the history fails later, its bars stay, and the error names the time from which they are."""
    clock.install(time=get_today().replace(hour=12, minute=25, second=10))
    host.fill_history({0: 5}, 4)
    show('history="7" lang="fi"')
    host.replace = fail_history
    clock.run_for(61_000)
    run(page, "element.refresh()")
    settle(page)
    assert page.locator("[part=error] span").inner_text() == (
        "The requests per day could not be refreshed. They are from 12:25."
    )
    assert page.locator("[part=chart] > *").count() == 7
    host.replace = None
    clock.run_for(61_000)
    run(page, "element.refresh()")
    settle(page)
    assert not page.locator("[part=error]").is_visible()


def test_unanswered(host, show):
    """A history without a response does not keep the rest from being shown."""
    end = threading.Event()
    host.replace = lambda path: end.wait(10) and None if path.endswith("history") else None
    page = show('history="7"', waits=False)
    page.locator("[part=row]").first.wait_for()
    assert page.locator("[part=base]").get_attribute("aria-busy") == "true"
    end.set()
    settle(page)


def test_another_user(host, show):
    """If the cookie becomes another user's without a 401, the history of the former one is not shown."""
    host.fill_history({0: 777}, 4)
    page = show('history="7"')
    chart = page.locator("[part=history]")
    assert "777" in chart.text_content()
    host.owner = "grace"
    host.projects.insert_one({"_id": 99, "owner": "grace", "name": "hers", "totalRequest": 3})
    end = threading.Event()
    host.replace = lambda path: end.wait(10) and None if path.endswith("history") else None
    run(page, "(element.refresh(), null)")
    wait_for_events(page, 2)
    assert names(page) == ["hers"]
    assert "777" not in chart.text_content()
    end.set()
    settle(page)
    assert "777" not in chart.text_content()
    assert len(host.queries("/api/usage/history")) == 2


def test_another_user_after_a_move(host, show):
    """The same is true if the element has moved in the page."""
    host.fill_history({0: 777}, 4)
    page = show('history="7"')
    host.owner = "grace"
    host.projects.insert_one({"_id": 99, "owner": "grace", "name": "hers", "totalRequest": 3})
    run(page, "(element.remove(), document.querySelector('main').append(element))")
    wait_for_events(page, 2)
    settle(page)
    assert names(page) == ["hers"]
    assert "777" not in page.locator("[part=history]").text_content()


@pytest.mark.parametrize("body", ['{"success":true}', "null", "<h1>Log in</h1>"])
def test_body_that_is_no_history(host, show, body):
    """Another response than that of the API is a failure of the history."""
    host.replace = lambda path: Response(body, mimetype="text/plain") if path.endswith("history") else None
    page = show('history="7"')
    assert page.evaluate("events[1]") == [
        "usage-error",
        {"status": 200, "message": "The response is not one of the API."},
    ]
    assert page.locator("[part=error] span").inner_text() == "The requests per day could not be loaded."


def test_another_session(host, show):
    """After a 401, the history of the former session is not shown to the next user."""
    host.fill_history({0: 777}, 4)
    page = show('history="7"')
    for owner in (None, "grace"):
        host.owner = owner
        run(page, "element.refresh()")
        settle(page)
    assert wait_for_events(page, 3) == ["usage-load", "usage-unauthenticated", "usage-load"]
    assert "777" not in page.locator("[part=history]").text_content()


@pytest.mark.parametrize(("value", "days"), [("365", 364), ("400", 365), ("2.9", 1)])
def test_number_of_days(host, show, value, days):
    """The number of days is whole, and at most 366."""
    show(f'history="{value}"')
    assert host.queries("/api/usage/history")[0]["from"] == f"{get_today() - timedelta(days=days):%Y-%m-%d}"


def test_asked_again_after_a_minute(host, show, page, clock):
    """After 59 seconds, the history is kept; after 60, it is asked for again."""
    stop_clock(clock)
    show('history="7"')
    for seconds, number in ((59, 1), (1, 2)):
        clock.run_for(seconds * 1000)
        run(page, "element.refresh()")
        assert len(host.queries("/api/usage/history")) == number


def test_changed_number_of_days(host, show):
    """Without days, the chart goes away; with others, it is loaded at once."""
    page = show('history="7"')
    for value, number, asked in (("null", 0, 1), ("3", 3, 2), ("7", 7, 3)):
        run(page, f"element.{'removeAttribute' if value == 'null' else 'setAttribute'}('history', {value})")
        page.wait_for_function(
            "(n) => document.querySelector('usage-stats').shadowRoot.querySelectorAll('[part=chart] > *').length === n",
            arg=number,
        )
        assert len(host.queries("/api/usage/history")) == asked
        assert page.locator("[part=history]").is_visible() is bool(number)


def test_partial_days(host, show):
    """Only the last day is today, and a day that was counted in part is a bar like any other."""
    host.fill_history({0: 5, 1: 7, 3: 9}, 3)
    since = get_today().replace(tzinfo=None) - timedelta(days=2, hours=12)
    host.days.update_one({"_id": "since"}, {"$set": {"at": since}})
    host.days.update_one({"n": 9}, {"$set": {"q": {"60": 9}}})  # at 15 o'clock
    page = show('history="5"')
    assert page.locator("[part=chart] > .today").count() == 1
    assert page.locator("[part=chart] > :last-child").get_attribute("class") == "today"
