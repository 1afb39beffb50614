"""Draw the pictures of docs/structure.md: ``PYTHONPATH=tests python tests/project/drawings.py``.

The levels, the arrows and the libraries of the packages follow from the table in ``tests/test_layering.py``.
"""

from html import escape
from typing import NamedTuple

from support import ROOT

HEIGHT, PITCH = 44, 72  # of a box, and of a row

#: The column of each package in the picture.
COLUMNS = {
    "__init__": 1, "testing": 2, "_http": 1.5, "_cli": 1.5, "_recording": 0, "openapi": 3, "_mongodb": 0,
    "_formats": 1, "_log": 2, "schemas": 3, "jwt": 4, "_core": 2, "protocols": 2, "errors": 2,
}  # fmt: skip

LIBRARY_NAMES = {"flask_jwt_extended": "flask-jwt-extended", "jwt": "PyJWT"}

#: The stations of the data: a package or something outside, what happens there, and the column and row in the picture.
STATIONS = {
    "client": ("browser, curl", "GET /api/usage", 0, 0),
    "terminal": ("terminal", "flask usage report", 0, 1),
    "response": ("response", "JSON or CSV", 0, 2),
    "views": ("your application", "serves projects", 0, 3),
    "log": ("access log", "of a proxy", 0, 4),
    "view": ("_http", "authenticate, parse", 1, 0),
    "command": ("_cli", "parse options", 1, 1),
    "encoder": ("_formats", "encode", 1, 2),
    "recorder": ("_recording", "count in memory", 1, 3),
    "ingest": ("_cli", "flask usage ingest", 1, 4),
    "reader": ("_mongodb", "read projects, history", 2, 0.5),
    "report": ("_core", "filter, sort, add up", 2, 2),
    "writer": ("_mongodb", "add each count once", 2, 3),
    "database": ("MongoDB", "projects, usage_history", 3, 0.5),
}
DATABASE_ROWS = 2.5
WAYS = [
    ("client", "view"), ("view", "reader"), ("terminal", "command"), ("command", "reader"), ("reader", "database"),
    ("database", "reader"), ("reader", "report"), ("report", "encoder"), ("encoder", "response"),
    ("views", "recorder"), ("log", "ingest"), ("ingest", "recorder"), ("recorder", "writer"), ("writer", "database"),
]  # fmt: skip

#: The background belongs to the picture, so that it can be read on a light and on a dark page.
STYLE = """
  .page { fill: #fff } .inside { fill: #e7f3ee; stroke: #0b6e4f } .outside { fill: #f4f4f4; stroke: #767676 }
  .arrow { fill: none; stroke: #555; stroke-width: 1.5 } marker path { fill: #555 }
  text { font-family: system-ui, sans-serif; font-size: 12px; text-anchor: middle; fill: #444 }
  .name { font-weight: 600; font-size: 14px; fill: #111 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #16191c } .inside { fill: #12362b; stroke: #5fd3a6 } .outside { fill: #2a2e32; stroke: #9a9a9a }
    .arrow { stroke: #b5b5b5 } marker path { fill: #b5b5b5 }
    text { fill: #c8c8c8 } .name { fill: #f2f2f2 }
  }
"""


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    name: str
    text: str
    kind: str = "inside"

    def draw(self):
        x, y = self.x + self.width / 2, self.y + self.height / 2
        return (
            f'<rect class="{self.kind}" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}"'
            f' rx="6"/>\n<text class="name" x="{x:g}" y="{y - 3 if self.text else y + 5:g}">{escape(self.name)}</text>'
            + (f'\n<text x="{x:g}" y="{y + 14:g}">{escape(self.text)}</text>' if self.text else "")
        )


def find_level(rules, package):
    """Return the level of a package: one more than the highest level of what it may import."""
    return max((find_level(rules, other) + 1 for other in rules[package][0]), default=0)


def find_implied(rules, package):
    """Return the packages that are reached through others that a package may import."""
    allowed = rules[package][0]
    return set().union(*(rules[other][0] | find_implied(rules, other) for other in allowed))


def draw_packages(rules):
    """Draw the packages, the highest level first, with an arrow for each import that does not follow from others."""
    boxes, arrows, top = {}, [], find_level(rules, "__init__")
    for package, column in COLUMNS.items():
        libraries = set().union(*(used for name, (_, used) in rules.items() if name.split("/")[0] == package))
        text = ", ".join(sorted((LIBRARY_NAMES.get(library, library) for library in libraries), key=str.lower))
        y = 20 + PITCH * (top - find_level(rules, package))
        boxes[package] = Box(20 + 152 * column, y, max(136, 6.5 * len(text) + 12), HEIGHT, package, text)
    for package, box in boxes.items():
        for other in sorted(rules[package][0] - find_implied(rules, package)):
            end = boxes[other]
            arrows.append((box.x + box.width / 2, box.y + HEIGHT, end.x + end.width / 2, end.y - 2))
    return draw(boxes.values(), arrows)


def draw_data():
    """Draw the stations of the data and the ways between them."""
    boxes, arrows = {}, []
    for key, (name, text, column, row) in STATIONS.items():
        kind = "inside" if name.startswith("_") else "outside"
        height = HEIGHT + PITCH * DATABASE_ROWS if key == "database" else HEIGHT
        boxes[key] = Box(20 + 206 * column, 20 + PITCH * row, 164, height, name, text, kind)
    for start, end in WAYS:
        box, other = boxes[start], boxes[end]
        if box.x == other.x:
            down = box.y < other.y
            y, other_y = (box.y + HEIGHT, other.y - 2) if down else (box.y, other.y + HEIGHT + 2)
            arrows.append((box.x + box.width / 2, y, box.x + box.width / 2, other_y))
            continue
        right = box.x < other.x
        x, other_x = (box.x + box.width, other.x - 2) if right else (box.x, other.x + other.width + 2)
        y, other_y = box.y + HEIGHT / 2, other.y + HEIGHT / 2
        if "database" in (start, end):
            y = other_y = (y if end == "database" else other_y) + (-7 if start == "reader" else 7)
        arrows.append((x, y, other_x, other_y))
    return draw(boxes.values(), arrows)


def draw(boxes, arrows):
    width, height = max(box.x + box.width for box in boxes) + 20, max(box.y + box.height for box in boxes) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">',
        f"<style>{STYLE}</style>",
        '<marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto"><path d="M0,1L7,4L0,7z"/></marker>',
        f'<rect class="page" width="{width:g}" height="{height:g}" rx="8"/>',
    ]
    lines += [
        f'<path class="arrow" marker-end="url(#head)" d="M{x:g},{y:g}L{to_x:g},{to_y:g}"/>'
        for x, y, to_x, to_y in arrows
    ]
    return "\n".join([*lines, *(box.draw() for box in boxes), "</svg>\n"])


if __name__ == "__main__":
    from test_layering import RULES

    (ROOT / "docs" / "packages.svg").write_text(draw_packages(RULES))
    (ROOT / "docs" / "data.svg").write_text(draw_data())
