"""The program in the README runs unchanged, and its response, links and figures are those of the documentation."""

import json
import re
import sys
from types import ModuleType

import pytest
from support import KEY, ROOT, bearer

README = (ROOT / "README.md").read_text()
PAGES = {
    page: (ROOT / "docs" / f"{page}.md").read_text() for page in ("index", "performance", "quickstart", "reliability")
}


def blocks(language, page=README):
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.usefixtures("local_mongodb")
def test_program(monkeypatch, capsys):
    """The program returns the documented response after the steps of the quickstart."""
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    saved = ModuleType("app")
    names = vars(saved)
    monkeypatch.setitem(sys.modules, "app", saved)
    (program,) = blocks("python")
    _, steps = blocks("python", PAGES["quickstart"])
    exec(program, names)
    with names["app"].app_context():
        exec(steps, {})
    token = capsys.readouterr().out.strip()
    body = names["app"].test_client().get("/api/usage", headers=bearer(token)).json
    (documented,) = blocks("json")
    assert json.dumps(body) == json.dumps(json.loads(documented))


@pytest.mark.parametrize("page", ["index", "quickstart"])
def test_same_program(page):
    """The documentation begins with the same program and response."""
    assert blocks("python")[0] == blocks("python", PAGES[page])[0]
    assert blocks("json") == blocks("json", PAGES[page])


def test_same_introduction():
    """The documentation begins with the same sentence."""
    assert README.splitlines()[:4] == PAGES["index"].splitlines()[:4]


def test_links():
    """Every link is relative, and its file and heading exist."""
    links = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", README)
    for path, _, anchor in (("".join(link)).partition("#") for link in links):
        target = ROOT / path
        assert target.is_file(), path
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else []
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in slugs, anchor


def test_commands():
    """The README names the command of the demo, and the command of the tests as CI runs it."""
    *setup, run = re.findall(r"^(?:python3 -m venv|\.venv/bin/).*", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    tests = " && ".join([*setup, run]).replace("--quiet ", "")
    demo, *_ = blocks("console")
    assert blocks("console") == [f"{tests} -e demo\n", f"{tests}\n"]
    assert demo in blocks("console", PAGES["quickstart"])


def test_figures():
    """The figures are those of the pages to which they are linked."""
    faults, cost = PAGES["reliability"], PAGES["performance"]
    ((tests, requests),) = re.findall(r"The (\d+) tests sent ([\d,]+) requests", faults)
    assert int(tests) == len(set(re.findall(r"`(test_\w+)` \|$", faults, re.MULTILINE)))
    (lost,) = re.findall(r"([\d,]+) lost", faults)
    (counted,) = re.findall(r"counted ([\d,]+) requests during faults, each of them once", faults)
    table = cost.partition("### CPU per request, minimum\n")[2].partition("\n#")[0]
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()]
    ratios = [float(row[head.index("ours / floor")]) for row in rows]
    assert f"[{tests} fault tests](docs/reliability.md)" in README
    assert f"sent {requests} requests" in README
    assert f"{counted} requests were [counted]" in README
    assert f"lost {lost} that" in README
    assert f"For {rows[0][0]} to {rows[-1][0]} projects" in README
    assert f"[{min(ratios):.1f} to {max(ratios):.1f} times the CPU time]" in README
