"""axe, the keyboard, names for screen readers, narrow pages, print and forced colors."""

import contextlib

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.hosted import ROOT, error_response, hold_responses, names, run, wait_for_events

DARK = "<style>.dark { background: #111; color: #eee; } .dark a { color: #8cf; }</style>"
LOOKS = {  # the class and the direction of the page, and its width
    "light": ("", "ltr", 1100),
    "dark": ("dark", "ltr", 1100),
    "narrow": ("", "ltr", 390),
    "right to left": ("", "rtl", 1100),
}


def violations(page):
    """Return what axe finds."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [(each["id"], node["html"][:120], node.get("failureSummary")) for each in found for node in each["nodes"]]


def prepare(host, state):
    """Bring the host into a state."""
    if state == "empty":
        host.fill([])
    elif state == "signed out":
        host.owner = None
    elif state == "error":
        host.replace = lambda path: error_response(500)


def reach(host, page, state):
    """Bring the loaded element into a state."""
    if state == "stale":
        host.replace = lambda path: error_response(500)
        run(page, "element.refresh()")
    elif state == "filtered":
        page.get_by_role("button", name="pro", exact=True).click()
        page.get_by_role("button", name="Show all").wait_for()
    elif state == "no match":
        page.get_by_role("searchbox").fill("nothing")
        page.get_by_text("No project matches.").wait_for()
    elif state == "table":
        page.get_by_text("As a table").click()
    elif state == "loading":
        page.locator("[aria-busy=true]").wait_for()


@pytest.fixture
def loading():
    """Yield a stack for what lasts until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "state", ["loaded", "table", "filtered", "no match", "stale", "empty", "signed out", "error", "loading"]
)
def test_axe(host, show, page, state, loading):
    """Axe finds nothing in any state, light, dark, narrow and from right to left."""
    host.fill_history({0: 5, 1: 2100, 3: 800}, 4)
    prepare(host, state)
    if state == "loading":
        loading.enter_context(hold_responses(host))
    show('history="7" project-url="/projects/{_id}"', head=DARK, waits=state != "loading")
    reach(host, page, state)
    for look, (name, direction, width) in LOOKS.items():
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(
            "([name, dir]) => Object.assign(document.documentElement, { className: name, dir })", [name, direction]
        )
        assert violations(page) == [], look


def test_axe_finds_a_spoilt_color(show, page):
    """Axe does look into the shadow tree: a color without contrast is found."""
    show(head="<style>usage-stats::part(total) { color: #ddd; }</style>")
    assert [each[0] for each in violations(page)] == ["color-contrast"]


def test_keyboard(host, show, page):
    """Every control can be reached by the keyboard, in the order in which they are seen."""
    host.fill([*((f"p{n}", "node", "live", "pro", n) for n in range(30))])
    host.fill_history({0: 5}, 2)
    show('history="3" limit="2" project-url="/projects/{_id}"')
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"(({ROOT}).activeElement ?? document.activeElement).textContent.slice(0, 20)"))
    assert reached == [
        *("Refresh", "As a table", "Plan", "Type", "Status", "pro", ""),
        *("Most requestsFewest ", "Only unused", "Download CSV", "p29", "p28", "Show more"),
        reached[-1],
    ]


def test_focus_can_be_seen(show, page):
    """A focused control has an outline."""
    show()
    for name in ("Refresh", "pro"):
        page.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Shift")  # so that the focus counts as the keyboard's
        style = page.evaluate(f"getComputedStyle({ROOT}.activeElement).outlineStyle")
        assert style == "solid"


def test_focus_of_controls_that_go_away(host, show, page):
    """If a control goes away, another one gets the focus."""
    show()
    page.get_by_role("button", name="pro", exact=True).click()
    button = page.get_by_role("button", name="Show all")
    button.wait_for()
    button.press("Enter")
    page.wait_for_function("events.length === 3")
    assert page.evaluate(f"{ROOT}.activeElement.textContent") == "Plan"
    host.replace = lambda path: error_response(500)
    page.evaluate("document.querySelector('usage-stats').refresh()")
    host.replace = None
    page.get_by_role("button", name="Try again").press("Enter")
    page.wait_for_function("events.length === 5")
    assert page.evaluate(f"{ROOT}.activeElement.textContent") == "Refresh"


def test_focus_of_projects_that_go_away(host, show, page):
    """If the project or the group with the focus is gone, the one in its place gets it."""
    show('project-url="/projects/{_id}"')
    for role, name, gone, expected in (
        ("link", "blog", {"name": "blog"}, "docs-site"),
        ("link", "test-app", {"name": "test-app"}, "auth"),
        ("button", "business", {"plan": "business"}, "pro"),
    ):
        page.get_by_role(role, name=name, exact=True).focus()
        host.projects.delete_many(gone)
        run(page, "element.refresh()")
        assert run(page, "root.activeElement.textContent") == expected


@pytest.mark.parametrize("name", ["Refresh", "blog"])
def test_focus_of_numbers_that_go_away(host, show, page, name):
    """A 401 leaves the focus in the element, also after an error."""
    show('project-url="/projects/{_id}"')
    page.get_by_text(name, exact=True).focus()
    host.owner = None
    run(page, "element.refresh()")
    assert run(page, "root.activeElement.getAttribute('part')") == "base"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Sign in"


def test_focus_of_an_error_that_goes_away(host, show, page):
    """If "Try again" finds that the session has ended, the focus stays in the element."""
    show()
    host.replace = lambda path: error_response(500)
    run(page, "element.refresh()")
    host.replace, host.owner = None, None
    page.get_by_role("button", name="Try again").press("Enter")
    wait_for_events(page, 3)
    assert run(page, "root.activeElement.getAttribute('part')") == "base"


def test_the_last_project_goes_away(host, show, page):
    """If no project is left, the focus stays in the element."""
    show('project-url="/projects/{_id}"')
    page.get_by_role("link", name="blog").focus()
    host.projects.delete_many({})
    run(page, "element.refresh()")
    assert run(page, "root.activeElement.getAttribute('part')") == "base"


def test_screen_reader(host, show, page):
    """Readers hear tables with headings, names of controls, and no bars."""
    host.fill_history({0: 5}, 2)
    show('history="3" project-url="/projects/{_id}"')
    page.get_by_text("As a table").click()
    for name in ("Requests per day", "Breakdown", "Projects"):
        assert page.get_by_role("table", name=name).is_visible()
    assert page.get_by_role("columnheader").all_inner_texts() == [
        *("Day", "Requests"),
        *("Plan", "Projects", "Requests", "Share"),
        *("#", "Project", "Requests", "Share", "Changed"),
    ]
    assert page.get_by_role("rowheader", name="api-service").count() == 1
    assert page.get_by_role("searchbox", name="Search by name").is_visible()
    assert page.get_by_role("combobox", name="Order").is_visible()
    for hidden in ("[part=chart]", "[part=track]"):
        assert page.locator(hidden).first.get_attribute("aria-hidden") == "true"
    assert page.get_by_role("link", name="blog", exact=True).inner_text() == "blog"


def test_one_status_line(host, show, page):
    """There is one polite status line, which has the error as well, and does not repeat the time."""
    show()
    assert page.locator("[role=status], [role=alert], [aria-live]").count() == 1
    status = page.get_by_role("status")
    assert status.inner_text() == "7 of 7 shown"
    host.replace = lambda path: error_response(500)
    page.evaluate("document.querySelector('usage-stats').refresh()")
    assert status.text_content() == page.locator("[part=error] span").inner_text()
    assert status.bounding_box()["width"] <= 1  # it is seen once
    host.replace = None
    run(page, "element.refresh()")
    assert status.bounding_box()["width"] > 50


def test_narrow(host, show, page):
    """On 320 pixels, nothing has to be scrolled sideways."""
    host.fill([("a-project-with-a-rather-long-name-" * 3, "node", "live", "business", 10**12), *many()])
    host.fill_history({0: 5}, 2)
    page.set_viewport_size({"width": 320, "height": 800})
    for days in (60, 366):
        show(f'history="{days}" project-url="/projects/{{_id}}"')
        assert page.locator("[part=chart] > *").count() == days
        assert run(page, "root.querySelector('[part=chart] > :last-child').getBoundingClientRect().right") <= 320
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        widths = page.locator("[part=base]").evaluate("(node) => [node.scrollWidth, node.clientWidth]")
        assert widths[0] <= widths[1]


def many():
    return [(f"project {n}", "node", "live", "pro", n) for n in range(30)]


def test_print(host, show, page):
    """On paper, there are numbers and bars, but no controls."""
    show()
    page.get_by_role("button", name="pro", exact=True).click()
    page.get_by_role("button", name="Show all").wait_for()
    host.replace = lambda path: error_response(500)
    run(page, "element.refresh()")
    page.emulate_media(media="print")
    assert page.locator("[part=total]").is_visible()
    assert names(page)
    assert not [control for control in page.locator("button:not(.plain), input, select").all() if control.is_visible()]
    assert page.locator("[part=bar]").first.evaluate("(node) => getComputedStyle(node).printColorAdjust") == "exact"


def test_forced_colors(host, show, page):
    """With forced colors, bars and the pressed button can still be seen."""
    page.emulate_media(forced_colors="active")
    show()
    bar = page.locator("[part=bar]").first.evaluate("(node) => getComputedStyle(node).backgroundColor")
    canvas = page.locator("[part=track]").first.evaluate("(node) => getComputedStyle(node).backgroundColor")
    assert bar != canvas
    widths = page.locator("[part=group-by] button").evaluate_all(
        "(nodes) => nodes.map((node) => getComputedStyle(node).borderTopWidth)"
    )
    assert widths[0] != widths[1]
    with hold_responses(host):
        run(page, "(element.refresh(), null)")
        progress = run(page, "getComputedStyle(root.querySelector('[part=progress]'), '::before').backgroundColor")
    assert progress != run(page, "getComputedStyle(document.documentElement).backgroundColor")
    assert progress == bar


def test_reduced_motion(host, show, page):
    """With reduced motion, nothing moves while it loads."""
    page.emulate_media(reduced_motion="reduce")
    with hold_responses(host):
        show(waits=False)
        page.locator("[aria-busy=true]").wait_for()
        animation = f"getComputedStyle({ROOT}.querySelector('[part=progress]'), '::before').animationName"
        assert page.evaluate(animation) == "none"
        page.emulate_media(reduced_motion="no-preference")
        assert page.evaluate(animation) == "slide"
