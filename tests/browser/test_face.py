"""The element's attributes, properties, events, slots, parts and CSS properties."""

from datetime import timedelta

import pytest
from browser.hosted import PAGE, get_today, names, run, serve, settle, wait_for_events
from flask import Response


class TestAttributes:
    def test_src(self, host, show):
        """``src`` is where the API is; by default, it is next to the script."""
        page = show('src="/v2/usage/"', waits=False)
        page.wait_for_function("events.length === 1")
        assert page.evaluate("events[0]") == ["usage-error", {"status": 404, "message": "NOT FOUND"}]
        assert page.evaluate("document.querySelector('usage-stats').src") == "/v2/usage"
        page.evaluate("document.querySelector('usage-stats').src = '/api/usage'")
        page.wait_for_function("events.length === 2")
        assert names(page)
        assert page.evaluate("document.querySelector('usage-stats').getAttribute('src')") == "/api/usage"

    def test_another_source(self, show):
        """The numbers of the former source go away at once, also if the new one fails."""
        page = show()
        assert run(page, "(element.src = '/nothing', root.querySelectorAll('[part=row]').length)") == 0
        wait_for_events(page, 2)
        assert page.locator("[part=error] span").inner_text() == "The usage could not be loaded."

    def test_prefix(self, show, page):
        """Behind a prefix, everything is found without an attribute."""
        with serve("/app/v1") as host:
            host.fill()
            show(at=host)
            assert names(page)
            assert page.evaluate("document.querySelector('usage-stats').src") == f"{host.origin}/app/v1/api/usage"

    @pytest.mark.parametrize(
        ("value", "pressed"), [("type", "Type"), ("projectType", "Type"), ("status", "Status"), ("x", "Plan")]
    )
    def test_group_by(self, show, value, pressed):
        """``group-by`` says what the breakdown is by at first."""
        page = show(f'group-by="{value}"')
        assert page.locator("[part=group-by] [aria-pressed=true]").inner_text() == pressed

    @pytest.mark.parametrize(("value", "sent"), [("3", "3"), ("0", "25"), ("-5", "1"), ("x", "25"), ("2.9", "2")])
    def test_limit(self, host, show, value, sent):
        """``limit`` is the number of projects that are shown at first."""
        page = show(f'limit="{value}"')
        assert host.queries()[0]["limit"] == sent
        assert len(names(page)) == min(int(sent), 7)

    def test_project_url(self, host, show):
        """``project-url`` makes links, in which fields are encoded."""
        host.fill([("a/b?c", "node", "live", "pro", 5)])
        page = show('project-url="/projects/{name}?id={_id}&x={missing}"')
        link = page.locator("[part=link]")
        assert link.get_attribute("href") == "/projects/a%2Fb%3Fc?id=0&x="
        page.evaluate("document.querySelector('usage-stats').removeAttribute('project-url')")
        page.wait_for_function("events.length === 2")
        assert link.evaluate("(node) => node.localName") == "span"
        assert link.inner_text() == "a/b?c"

    def test_history(self, host, show):
        """``history`` is the number of days, in the browser's time zone."""
        page = show('history="30"')
        (query,) = host.queries("/api/usage/history")
        assert query == {"from": f"{get_today() - timedelta(days=29):%Y-%m-%d}", "tz": "UTC"}
        page.evaluate("document.querySelector('usage-stats').setAttribute('history', '7')")
        settle(page)
        assert host.queries("/api/usage/history")[1]["from"] == f"{get_today() - timedelta(days=6):%Y-%m-%d}"

    @pytest.mark.parametrize("attributes", ["", 'history=""', 'history="0"', 'history="x"'])
    def test_no_history(self, host, show, attributes):
        """Without days, the history is never asked for."""
        page = show(attributes)
        assert not host.queries("/api/usage/history")
        assert not page.locator("[part=history]").is_visible()

    def test_language(self, host, show):
        """Numbers and dates have the form of the nearest ancestor's language."""
        page = show(body='<div lang="de-DE"><usage-stats></usage-stats></div>')
        assert page.locator("[part=total]").inner_text() == "129.626"
        assert page.locator("[part=row] td").last.inner_text() == "07.03.2024"
        assert run(page, "(element.lang = 'en', root.querySelector('[part=total]').textContent)") == "129,626"
        page.wait_for_timeout(100)
        assert len(host.requests) == 1

    @pytest.mark.parametrize("language", ["x", "not a language", "zz", "12"])
    def test_language_that_does_not_exist(self, show, language):
        """Another value is English."""
        page = show(body=f'<div lang="{language}"><usage-stats></usage-stats></div>')
        assert page.locator("[part=total]").inner_text() == "129,626"

    def test_language_in_a_shadow_tree(self, show):
        """The language is found through the shadow trees around the element."""
        script = (
            "<script>addEventListener('DOMContentLoaded', () => document.getElementById('outer')"
            ".attachShadow({mode: 'open'}).append(document.createElement('usage-stats')))</script>"
        )
        page = show(body='<div lang="de"><div id="outer"></div></div>', head=script, waits=False)
        page.locator("[part=total]", has_text="129.626").wait_for()

    def test_direction(self, show):
        """The layout follows the direction of the nearest ancestor."""
        page = show(body='<div dir="rtl"><usage-stats></usage-stats></div>')
        box = page.locator("[part=row]").first.bounding_box()
        number = page.locator("[part=row] [part=link]").first.bounding_box()
        assert number["x"] > box["x"] + box["width"] / 2

    def test_negative_counts_from_right_to_left(self, host, show):
        """A minus is on the left of its number, whatever the direction."""
        host.projects.update_one({"_id": 6}, {"$set": {"totalRequest": -7}})
        page = show(body='<div dir="rtl"><usage-stats></usage-stats></div>')
        text = "root.querySelector('[part=row]:last-child .bars > span').firstChild"
        left = run(
            page,
            f"[0, 1].map((at) => {{ const range = new Range(); range.setStart({text}, at); range.setEnd({text}, at + 1);"
            " return range.getBoundingClientRect().left; })",
        )
        assert left[0] < left[1]

    def test_standalone(self, show):
        """``standalone`` has margins, a background, a color and a font of its own, light and dark."""
        page = show("standalone")
        style = "getComputedStyle(document.querySelector('usage-stats'))"
        assert run(page, "getComputedStyle(root.querySelector('[part=base]')).maxWidth") == "1024px"
        assert run(page, "getComputedStyle(root.querySelector('[part=base]')).paddingLeft") == "16px"
        colors = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            colors.add((page.evaluate(f"{style}.backgroundColor"), page.evaluate(f"{style}.color")))
        assert len(colors) == 2
        assert "rgba(0, 0, 0, 0)" not in str(colors)


class TestProperties:
    def test_before_the_definition(self, host, show):
        """Properties that a page sets before the script has loaded are used, and leave no trace."""
        host.tokens = {"secret"}
        script = "const e = document.querySelector('usage-stats'); e.token = 'secret'; e.src = '/api/usage/';"
        script += " e.strings = { refresh: 'Again' };"
        page = show(body=f'<usage-stats auth="token" src="/x"></usage-stats><script>{script}</script>')
        wait_for_events(page, 1)
        assert len(names(page)) == 7
        assert page.get_by_role("button", name="Again").is_visible()
        assert run(page, "[Object.keys(element).length, element.token, element.getAttribute('src')]") == [
            *(0, None, "/api/usage/"),
        ]

    def test_strings(self, show):
        """``strings`` replaces texts, and the static ones are those of a language."""
        page = show(body='<div lang="de-AT"><usage-stats></usage-stats></div>')
        page.evaluate(
            "async () => { const { UsageStats } = await import('/api/usage/usage-stats.js');"
            " UsageStats.strings.de = { refresh: 'Aktualisieren', more: 'Mehr' };"
            " document.querySelector('usage-stats').strings = { csv: 'CSV' }; }"
        )
        buttons = page.get_by_role("button").all_inner_texts()
        assert {"Aktualisieren", "CSV", "Only unused"} <= set(buttons)
        page.evaluate("document.querySelector('usage-stats').strings = null")
        assert "Download CSV" in page.get_by_role("button").all_inner_texts()

    @pytest.mark.parametrize(
        ("language", "expected"),
        [
            ("de", "neu"),
            ("DE", "neu"),
            ("de-AT", "frisch"),
            ("de-CH", "neu"),
            ("eo", "denove"),
            ("en", "Refresh"),
            ("deu", "Refresh"),
        ],
    )
    def test_strings_of_a_language(self, show, language, expected):
        """The most exact language has the texts, whatever its case, and also if the browser does not know it."""
        page = show(f'lang="{language}"')
        run(
            page,
            "Object.assign(UsageStats.strings, { 'de-AT': { refresh: 'frisch' }, de: { refresh: 'neu' }, eo: { refresh: 'denove' } })",
        )
        run(page, "element.refresh()")
        assert page.locator(".actions button").inner_text() == expected

    def test_refresh(self, host, show):
        """``refresh()`` returns a promise that is fulfilled when the response is shown."""
        page = show()
        host.projects.update_one({"_id": 0}, {"$set": {"name": "renamed"}})
        page.evaluate("document.querySelector('usage-stats').refresh()")
        assert names(page)[0] == "renamed"

    def test_export(self, show):
        """The script exports the class, and can be loaded from two addresses, with one set of texts."""
        page = show()
        page.evaluate("import('/api/usage/usage-stats.js?again').then((m) => { m.UsageStats.strings.en.csv = 'CSV'; })")
        run(page, "element.refresh()")
        assert page.get_by_role("button", name="CSV", exact=True).is_visible()
        assert page.evaluate(
            "async () => (await import('/api/usage/usage-stats.js')).UsageStats === customElements.get('usage-stats')"
        )


class TestEvents:
    def test_open(self, host, show):
        """A click on a project can be taken over by a router."""
        page = show('project-url="/projects/{name}"')
        page.evaluate("addEventListener('usage-open', (event) => event.preventDefault())")
        page.get_by_role("link", name="blog").click()
        kind, detail = page.evaluate("events.at(-1)")
        assert (kind, detail["project"]["name"], detail["project"]["_id"]) == ("usage-open", "blog", 2)
        assert page.url.endswith("/page")
        page.get_by_role("link", name="blog").press("Enter")
        assert page.evaluate("events.filter(([type]) => type === 'usage-open').length") == 2

    def test_open_by_the_browser(self, host, show):
        """Without a listener, the browser follows the link; a click with a modifier is always the browser's."""
        page = show('project-url="/projects/{name}"')
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="blog").click(modifiers=["ControlOrMeta"])
        opened.value.close()
        assert page.evaluate("events.length") == 1
        page.get_by_role("link", name="blog").click()
        page.wait_for_url("**/projects/blog")

    def test_large_totals(self, host, show):
        """Counts beyond 2**53 are exact, and a total is a BigInt then."""
        host.projects.insert_one({"owner": "ada", "name": "huge", "totalRequest": 2**60 + 1})
        page = show()
        number = f"{2**60 + 1:,}"
        assert page.locator("[part=row] .bars").first.inner_text() == number
        assert page.evaluate("typeof events[0][1].totalRequests") == "bigint"
        assert page.locator("[part=total]").inner_text() == f"{2**60 + 1 + 129_626:,}"

    def test_events_leave_shadow_trees(self, show):
        """Events bubble through the shadow trees around the element."""
        page = show()
        assert page.evaluate(
            "() => new Promise((done) => { setTimeout(() => done(false), 5000); const outer = document.createElement('div'); document.body.append(outer);"
            " outer.addEventListener('usage-load', (event) => done(event.composed && event.bubbles));"
            " outer.attachShadow({mode: 'open'}).append(document.createElement('usage-stats')); })"
        )


class TestSlotsAndParts:
    def test_slots(self, host, show):
        """Each slot has its place, and replaces what is there."""
        host.fill([])
        body = "<usage-stats>" + "".join(
            f'<b slot="{name}">my {name}</b>' for name in ("heading", "summary", "actions", "empty", "unauthenticated")
        )
        page = show(body=f"{body}</usage-stats>")
        for name in ("heading", "summary", "actions", "empty"):
            assert page.get_by_text(f"my {name}").is_visible()
        assert not page.get_by_text("my unauthenticated").is_visible()
        assert not page.get_by_text("No projects yet.").is_visible()
        assert not page.get_by_role("heading", name="Usage").is_visible()
        host.owner = None
        page.get_by_role("button", name="Refresh").click()
        page.get_by_text("my unauthenticated").wait_for()
        assert not page.get_by_text("my summary").is_visible()

    def test_parts(self, host, show):
        """A host can style every part from outside."""
        host.fill([(f"p{n}", "node", "live", "pro", n) for n in range(30)])
        parts = [
            "base",
            "progress",
            "note",
            "error",
            "summary",
            "total",
            "projects",
            "history",
            "chart",
            "groups",
            "group-by",
            "group",
            "toolbar",
            "table",
            "ranking",
            "row",
            "link",
            "track",
            "bar",
            "button",
            "select",
            "empty",
        ]
        style = "".join(
            f"usage-stats::part({part}) {{ outline-color: rgb({index}, 2, 3); }}" for index, part in enumerate(parts)
        )
        page = show('history="3"', head=f"<style>{style}</style>")
        for index, part in enumerate(parts):
            found = page.locator(f"[part~={part}]").first.evaluate("(node) => getComputedStyle(node).outlineColor")
            assert found == f"rgb({index}, 2, 3)", part

    def test_css_properties(self, show):
        """The CSS properties set the colors, the corners and the font."""
        style = "usage-stats { --usage-accent: rgb(1, 2, 3); --usage-track: rgb(4, 5, 6); --usage-line: rgb(7, 8, 9);"
        style += " --usage-muted: rgb(10, 11, 12); --usage-radius: 13px; --usage-font: monospace; }"
        page = show(head=f"<style>{style}</style>")

        def get(selector, name):
            return page.locator(selector).first.evaluate(f"(node) => getComputedStyle(node).{name}")

        assert get("[part=bar]", "backgroundColor") == "rgb(1, 2, 3)"
        assert get("[part=track]", "backgroundColor") == "rgb(4, 5, 6)"
        assert get("[part=row]", "borderBlockEndColor") == "rgb(7, 8, 9)"
        assert get("[part=note]", "color") == "rgb(10, 11, 12)"
        assert get("[part~=button]", "borderTopLeftRadius") == "13px"
        assert get("[part=total]", "fontFamily") == "monospace"

    @pytest.mark.parametrize(
        "style", ["display: flex", "display: grid; justify-items: start", "float: left; width: 60%"]
    )
    def test_width(self, show, style):
        """The element is as wide as its place, also in boxes that fit their content."""
        page = show(body=f'<div style="{style}"><usage-stats></usage-stats></div>')
        assert page.locator("[part=base]").bounding_box()["width"] > 600

    def test_bars(self, host, show):
        """A bar is as long as its share of the longest; a small one can be seen, and one of nothing cannot."""
        host.fill([(f"p{count}", "node", "live", f"plan {count}", count) for count in (1_000_000, 250_000, 1, 0)])
        page = show()
        for part in ("group", "row"):
            widths = page.locator(f"[part={part}] [part=bar]").evaluate_all(
                "(bars) => bars.map((bar) => [bar.offsetWidth, bar.offsetWidth / bar.parentNode.offsetWidth])"
            )
            assert widths[0][1] == 1
            assert widths[1][1] == pytest.approx(0.25, abs=0.01)
            assert [width for width, _ in widths[2:]] == [3, 0]

    def test_shares(self, host, show):
        """A share has one decimal, and one that would be rounded to nothing says so."""
        host.fill([(f"p{count}", "node", "live", f"plan {count}", count) for count in (987_654, 12_345, 500, 50, 0)])
        page = show()
        expected = ["98.7%", "1.2%", "< 0.1%", "< 0.1%", "0%"]
        for part, column in (("group", 4), ("row", 4)):
            cells = page.locator(f"[part={part}] > :nth-child({column})").all_inner_texts()
            assert [cell.strip("\u2066\u2069") for cell in cells] == expected

    def test_rows_that_look_alike(self, host, show):
        """Projects without an id, or with the same one, are one row each, also after a refresh."""
        row = '{"name":"a","totalRequest":1}'
        body = f'{{"success":true,"totalRequests":2,"totalProjects":2,"groups":[],"projectStats":[{row},{row}]}}'
        host.replace = lambda path: Response(body, mimetype="application/json")
        page = show()
        for _ in range(2):
            run(page, "element.refresh()")
        assert names(page) == ["a", "a"]

    def test_names_are_text(self, host, show):
        """Markup in a name is text."""
        evil = '<img src=x onerror="window.hacked=1"><script>hacked=1</script>'
        host.projects.insert_one(
            {"owner": "ada", "name": evil, "plan": evil, "totalRequest": 10**6, "projectType": evil}
        )
        page = show()
        assert names(page)[0] == evil
        assert page.locator("[part=group] > :first-child").first.inner_text() == evil.casefold()
        assert page.evaluate("window.hacked") is None

    def test_odd_values(self, host, show):
        """Missing and null values, dates as text, fractions and negative counts are shown."""
        host.projects.delete_many({})
        host.projects.insert_many(
            [
                {"_id": 1, "owner": "ada"},
                {"_id": "x" * 300, "owner": "ada", "name": "", "totalRequest": 2.5, "updatedAt": "week 12"},
                {"_id": 3, "owner": "ada", "name": None, "totalRequest": -7, "plan": "p" * 150, "updatedAt": None},
                {"_id": 4, "owner": "ada", "name": "n" * 500, "totalRequest": 10**6},
                {"_id": 5, "owner": "ada", "name": "  ", "totalRequest": -9},
            ]
        )
        page = show(body='<div style="width: 400px"><usage-stats></usage-stats></div>')
        assert names(page) == ["n" * 500, "x" * 300, "1", "3", "5"]
        numbers = page.locator("[part=row] .bars").all_inner_texts()
        assert numbers == ["1,000,000", "2.5", "0", "-7", "-9"]
        assert page.locator("[part=row] > :last-child").all_text_contents()[1] == "week 12"
        assert page.locator("[part=group] button").all_inner_texts() == ["none"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 1100
        width = page.locator("[part=base]").evaluate("(node) => [node.scrollWidth, node.clientWidth]")
        assert width[0] <= width[1]


def test_strict_policy(host, page):
    """Under a strict policy with trusted types, and behind a prefix, everything works."""
    with serve("/app") as strict:
        strict.fill()
        strict.fill_history({0: 5, 1: 100}, 3)
        strict.headers = {"Content-Security-Policy": "default-src 'self'; require-trusted-types-for 'script'"}
        strict.html = PAGE.format(
            head="", body='<usage-stats history="5" project-url="/p/{_id}"></usage-stats>', prefix="/app"
        )
        messages = []
        page.on("console", lambda message: messages.append(message.text))
        page.goto(f"{strict.origin}/app/page")
        page.locator("[part=row]").last.wait_for()
        page.get_by_role("button", name="pro", exact=True).click()
        page.get_by_role("button", name="Show all").wait_for()  # a policy without eval allows no other wait
        page.locator("[part=note]", has_text="2 of 2").wait_for()
        assert names(page) == ["my-portfolio", "blog"]
        assert page.locator("[part=bar]").first.bounding_box()["width"] > 100
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        assert download.value.path()
        assert not [text for text in messages if "favicon" not in text and "404" not in text]
