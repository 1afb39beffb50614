"""Write the results as tables and a plot on the performance page."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

_PACKAGES = ("flask", "pymongo", "orjson", "flask-jwt-extended", "marshmallow", "eve", "gunicorn", "granian")
COUNTING_PACKAGES = ("flask", "pymongo", "prometheus-client")
HISTORY_PACKAGES = ("flask", "pymongo", "orjson")
PAGE_PACKAGES = ("flask", "playwright")
INGEST_PACKAGES = ("flask", "pymongo", "orjson")
_COLOURS = {
    "bare read": "#888888",
    "floor": "#bbbbbb",
    "ours": "#0b6e4f",
    "ours, JWT": "#6bbf59",
    "naive": "#d1495b",
    "Eve": "#edae49",
    "ours on granian": "#0b6e4f",
    "ours on gunicorn": "#6bbf59",
    "Express + Mongoose": "#30638e",
}
_HISTORY_COLOURS = ("#888888", "#0b6e4f", "#6bbf59", "#edae49", "#d1495b", "#30638e")
mpl.rcParams.update({"svg.hashsalt": "usage", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})


def machine(client, packages: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{int(memory) / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "database": f"MongoDB {client.server_info()['version']}, on the same machine",
        "load": f"{os.getloadavg()[1]:.1f} on average in the five minutes before, from other jobs",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def line(size: int, figures: dict[str, dict[str, float]]) -> str:
    bare = figures["bare read"]["cpu_min"]
    shown = (f"{name} {each['cpu_min'] * 1e3:.2f} ms ({each['cpu_min'] / bare:.2f})" for name, each in figures.items())
    return f"  CPU and ratio to the bare read: {'; '.join(shown)}"


def sections(found: dict[str, Any]) -> dict[str, str]:
    """Return the measured sections of the page by the names in their marks."""
    parts = {}
    if "in process" in found:
        parts["figures"] = f"{_stated(found['machine'])}\n\n{tables(found)}"
    if counting := found.get("counting"):
        parts["counting figures"] = f"{_stated(counting['machine'])}\n\n{counting_tables(counting)}"
    if history := found.get("history"):
        parts["history figures"] = f"{_stated(history['machine'])}\n\n{history_tables(history)}"
    if ingest := found.get("ingest"):
        parts["ingest figures"] = f"{_stated(ingest['machine'])}\n\n{ingest_tables(ingest)}"
    if platform_view := found.get("platform"):
        parts["platform figures"] = f"{_stated(platform_view['machine'])}\n\n{platform_tables(platform_view)}"
    if page_view := found.get("page"):
        facts = page_view["machine"] | {"browser": page_view["browser"]}
        parts["page figures"] = f"{_stated(facts)}\n\n{page_table(page_view)}"
    return parts


def _stated(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name.capitalize()}: {value}." for name, value in facts.items())


def tables(found: dict[str, Any]) -> str:
    parts = []
    names = list(next(iter(found["in process"].values())))
    for title, key, unit in (
        ("CPU per request, minimum", "cpu_min", "ms"),
        ("CPU per request, median", "cpu_median", "ms"),
        ("Wall time per request, minimum", "wall_min", "ms"),
        ("Wall time per request, median", "wall_median", "ms"),
    ):
        rows = []
        for size, figures in found["in process"].items():
            bare = figures["bare read"][key]
            cells = [f"{bare * 1e3:.2f} {unit}"]
            cells += [f"{figures[name][key] / bare:.2f}" for name in names[1:]]
            ours, floor, naive = (figures[name][key] for name in ("ours", "floor", "naive"))
            rows.append([f"{size:,}", *cells, f"{ours / floor:.1f}", f"{naive / ours:.1f}"])
        parts.append(_table(title, ["projects", *names, "ours / floor", "naive / ours"], rows))
    plain = found["queries"]["(plain)"]["cpu_min"]
    parts.append(
        _table(
            "Queries, 10,000 projects",
            ["query", "CPU, minimum", "plain = 1"],
            [
                [f"`{query}`", f"{each['cpu_min'] * 1e3:.1f} ms", f"{each['cpu_min'] / plain:.2f}"]
                for query, each in found["queries"].items()
            ],
        )
    )
    parts += [_floor_table(found["floor"]), _memory_table(found["memory"])]
    parts.append(
        _table(
            "100 projects next to projects of other owners",
            ["others' projects", "CPU, minimum", "wall, minimum"],
            [
                [f"{number:,}", f"{each['cpu_min'] * 1e3:.2f} ms", f"{each['wall_min'] * 1e3:.2f} ms"]
                for number, each in found["others"].items()
            ],
        )
    )
    if http := found.get("http"):
        names = list(next(iter(http.values())))
        rows = []
        for size, rates in http.items():
            express = rates.get("Express + Mongoose", {}).get("median")
            cells = [
                f"{rates[name]['median']:,.0f}" + (f" ({rates[name]['median'] / express:.2f})" if express else "")
                for name in names
            ]
            rows.append([f"{size:,}", *cells])
        parts.append(_table("Requests per second over HTTP, with a JWT, one worker each", ["projects", *names], rows))
    return "\n\n".join(parts)


def _floor_table(floor: dict[str, Any]) -> str:
    sizes = list(next(iter(floor.values())))
    rows = [
        [
            f"{int(size):,}",
            *(f"{mix[size]['ours']['cpu_min'] / mix[size]['floor']['cpu_min']:.2f}" for mix in floor.values()),
        ]
        for size in sizes
    ]
    return _table("CPU per request, floor = 1, by how counts are stored", ["projects", *floor], rows)


def _memory_table(memory: dict[str, Any]) -> str:
    rows = [
        [
            what,
            f"{each['response'] / 2**20:.1f} MiB",
            f"{each['growth'] / 2**20:.0f} MiB",
            f"{each['growth'] / each['response']:.1f}" if each["response"] > 2**20 else "",
            f"{each['left'] / 2**20:.0f} MiB",
        ]
        for what, each in memory.items()
    ]
    head = ["documents", "response", "growth of the peak", "ratio", "growth left"]
    return _table("Memory of a process, 100,000 projects", head, rows)


def counting_tables(found: dict[str, Any]) -> str:
    makers = {"calls": _calls_table, "flushes": _flushes_table, "requests": _requests_table, "memory": _waiting_table}
    return "\n\n".join(make(found[part]) for part, make in makers.items())


def _calls_table(calls: dict[str, Any]) -> str:
    empty = calls["empty call"]["one thread"]["wall_median"]
    rows = []
    for name, threads in calls.items():
        one, many = (each["wall_median"] for each in threads.values())
        minimum = threads["one thread"]["wall_min"]
        rate, rate_of_many = f"{_rounded(1 / one):,}", f"{_rounded(1 / many):,}"
        rows.append([name, _microseconds(minimum), _microseconds(one), f"{one / empty:.1f}", rate, rate_of_many])
    head = ["call", "minimum", "median", "empty call = 1", "calls per second", "calls per second, 8 threads"]
    return _table("Counting: time per call", head, rows)


def _flushes_table(flushes: dict[int, Any]) -> str:
    rows = [
        [
            f"{int(size):,}",
            name,
            *(_milliseconds(each[key]) if key in each else "" for key in keys),
            f"{_rounded(int(size) / each['wall_median']):,}",
        ]
        for keys in [("wall_min", "wall_median", "cpu_median", "server_median")]
        for size, flushes_of_size in flushes.items()
        for name, each in flushes_of_size.items()
    ]
    head = ["projects", "flush", "wall, minimum", "wall, median", "CPU", "CPU of the server", "updates per second"]
    return _table("Counting: a flush", head, rows)


def _requests_table(requests: dict[str, Any]) -> str:
    rows = [
        [name, *(_microseconds(each[key]) for key in ("cpu_min", "cpu_median")), *differences]
        for name, each in requests.items()
        for differences in [
            [_microseconds(each[key] - requests["not counted"][key]) for key in ("cpu_min", "cpu_median")]
        ]
    ]
    head = ["requests", "CPU, minimum", "CPU, median", "difference of the minima", "difference of the medians"]
    return _table("Counting: CPU of a trivial request", head, rows)


def _waiting_table(memory: dict[str, Any]) -> str:
    rows = [
        [
            name,
            *(
                f"{each[part] / 2**20:.0f} MiB ({each[part] / each['projects']:,.0f} B each)"
                for part in ("queued", "merged", "peak", "left")
            ),
        ]
        for name, each in memory.items()
    ]
    number = next(iter(memory.values()))["projects"]
    head = ["ids", "recorded", "merged", "peak of a flush", "left after it"]
    return _table(f"Counting: growth of a process with {number:,} pending projects", head, rows)


def history_tables(found: dict[str, Any]) -> str:
    ages = [
        [age, _milliseconds(each["wall_min"]), _milliseconds(each["wall_median"])] for age, each in found["age"].items()
    ]
    sizes = [[quarters, f"{size} B"] for quarters, size in found["size"].items()]
    return "\n\n".join(
        [
            _history_table(found["requests"]),
            _table(
                "History: 100 projects, 30 Berlin days, by the age of the collection",
                ["stored", "wall, minimum", "wall, median"],
                ages,
            ),
            _table("History: size of a day of a project", ["quarters of an hour with requests", "BSON"], sizes),
        ]
    )


def _history_table(requests: dict[str, Any]) -> str:
    names = [name for name in next(iter(requests.values())) if name != "bare read"]
    rows = []
    for what, figures in requests.items():
        bare = figures["bare read"]["wall_median"]
        ratios = [
            f"{_milliseconds(figures[name]['wall_median'])} ({figures[name]['wall_median'] / bare:.2f})"
            if name in figures
            else ""
            for name in names
        ]
        rows.append([what, _milliseconds(bare), *ratios])
    return _table("History: wall time per request, median (bare read = 1)", ["read", "bare read", *names], rows)


def ingest_tables(found: dict[str, Any]) -> str:
    parsing = [
        [name, *(f"{_rounded(rate):,}" for rate in each.values()), f"{each['`orjson.loads`'] / each['ours']:.1f}"]
        for name, each in found["parsing"].items()
    ]
    command = [
        [
            name,
            f"{each['bytes']:.0f} B",
            *(f"{_rounded(each['lines'] / each[way]['wall']):,}" for way in ("wc -l", "loads", "ours")),
            f"{each['ours']['wall']:.0f} s",
            f"{each['ours']['cpu']:.0f} s",
            f"{each['ours']['peak'] / 2**20:.0f} MiB",
            f"{each['first']['peak'] / 2**20:.0f} MiB",
        ]
        for name, each in found["command"].items()
    ]
    number = next(iter(found["command"].values()))["lines"]
    head = ["format", "line", "`wc -l`", "`orjson.loads`", "ours", "wall", "CPU", "peak memory", "with 100,000 lines"]
    return "\n\n".join(
        [
            _table(
                "Ingest: lines parsed per second of CPU",
                ["format", "`orjson.loads`", "ours", "ratio of the times"],
                parsing,
            ),
            _table(f"Ingest: lines per second, {number:,} lines through a pipe", head, command),
        ]
    )


def platform_tables(found: dict[str, Any]) -> str:
    """Return the tables of the platform view."""
    rows = []
    for size, each in found["sizes"].items():
        measured = each["requests"]
        for name, by_hand in (
            ("totals and labels", "labels by hand"),
            ("owners", "owners by hand"),
            ("projects", "projects by hand"),
        ):
            ours, bare = measured[name], measured[by_hand]
            server = ours.get("server_median")
            rows.append(
                [
                    f"{int(size):,}",
                    name,
                    f"{bare['wall_median']:.2f} s",
                    f"{ours['wall_median']:.2f} s ({ours['wall_median'] / bare['wall_median']:.1f})",
                    "" if server is None else f"{server:.2f} s",
                    _milliseconds(ours["cpu_median"]),
                ]
            )
    head = ["projects", "read", "by hand", "ours (by hand = 1)", "CPU of the server", "CPU of the worker"]
    kept = [
        [f"{int(size):,}", _milliseconds(each["requests"]["kept"]["wall_median"]), f"{each['memory'] / 2**20:.1f} MiB"]
        for size, each in found["sizes"].items()
    ]
    return "\n\n".join(
        [
            _table("Platform view: wall time of a read, median", head, rows),
            _table(
                "Platform view: a kept response, and the memory of a worker",
                ["projects", "kept response, wall, median", "growth of the worker with all reads"],
                kept,
            ),
        ]
    )


def page_table(found: dict[str, Any]) -> str:
    """Return the table of the element, and the size of its script."""
    rows = [
        [f"{int(size):,}", _milliseconds(each["first"]), _milliseconds(each["again"])]
        for size, each in found["rows"].items()
    ]
    table = _table("Element: time to rows in the tree, median", ["rows", "first", "again, in place"], rows)
    sizes = f"The script has {found['script'] / 1000:.1f} kB, and {found['compressed'] / 1000:.1f} kB with gzip."
    return f"{table}\n\n{sizes}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.{1 if seconds < 0.1 else 0}f} ms"


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs"


def _rounded(number: float) -> int:
    """Return a number with three digits other than 0."""
    return int(float(f"{number:.3g}"))


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def written(cells: list[str]) -> str:
        return "| " + " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
    return "\n".join([f"### {title}", "", written(head), rule, *map(written, rows)])


def page(found: dict[str, Any], folder: Path) -> None:
    """Write the measured sections between their marks in ``performance.md``, and draw the plot if it was measured."""
    path = folder / "performance.md"
    text = path.read_text()
    for name, section in sections(found).items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{section}\n\n{end}{rest.split(end)[1]}"
    path.write_text(text)
    if "in process" in found:
        plot(found, folder / "performance.svg")
    if "history" in found:
        plot_history(found["history"]["requests"], folder / "performance-history.svg")


def plot(found: dict[str, Any], path: Path) -> None:
    http = found.get("http")
    figure, axes = plt.subplots(1, 2 if http else 1, figsize=(11 if http else 6, 4.2), squeeze=False, facecolor="white")
    _draw_ratios(axes[0][0], found["in process"])
    if http:
        _draw_rates(axes[0][1], http)
    _save(figure, path)


def plot_history(requests: dict[str, Any], path: Path) -> None:
    """Draw the wall time of each kind of request next to the bare read."""
    figure, axis = plt.subplots(figsize=(11, 4.2), facecolor="white")
    names = list(next(iter(requests.values())))
    width = 0.85 / len(names)
    for index, name in enumerate(names):
        shown = [(place, figures[name]) for place, figures in enumerate(requests.values()) if name in figures]
        places = [place + index * width for place, _ in shown]
        bars = axis.bar(
            places,
            [each["wall_median"] * 1e3 for _, each in shown],
            width * 0.92,
            color=_HISTORY_COLOURS[index],
            label=name,
        )
        axis.bar_label(bars, [f"{each['wall_median'] * 1e3:,.0f}" for _, each in shown], fontsize=8, padding=2)
    axis.set_xticks([place + 0.42 - width / 2 for place in range(len(requests))], list(requests))
    axis.set(yscale="log", ylabel="milliseconds", title="Wall time of a request for the history, median")
    axis.grid(axis="y", color="#dddddd")
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=9, ncols=3)
    axis.margins(y=0.25)
    _save(figure, path)


def _save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_ratios(axis, in_process: dict[int, Any]) -> None:
    names = list(next(iter(in_process.values())))
    for name in names:
        ratios = [figures[name]["cpu_min"] / figures["bare read"]["cpu_min"] for figures in in_process.values()]
        axis.plot(list(map(int, in_process)), ratios, marker="o", color=_COLOURS[name], label=name)
    axis.set(xscale="log", yscale="log", xlabel="projects of the owner", title="CPU of a request, bare read = 1")
    ticks = [1, 1.5, 2, 3, 5, 10, 20]
    axis.set_yticks(ticks, list(map(str, ticks)))
    axis.minorticks_off()
    axis.set_xticks(list(map(int, in_process)), [f"{int(size):,}" for size in in_process])
    axis.set_ylim(0.9, 50)  # room for the legend
    axis.grid(axis="y", color="#dddddd")
    axis.legend(frameon=False, fontsize=9, ncols=3, loc="upper left")


def _draw_rates(axis, http: dict[int, Any]) -> None:
    names = list(next(iter(http.values())))
    base = {size: rates[names[-1]]["median"] for size, rates in http.items()}
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        places = [place + index * width for place in range(len(http))]
        heights = [rates[name]["median"] / base[size] for size, rates in http.items()]
        bars = axis.bar(places, heights, width * 0.92, color=_COLOURS[name], label=name)
        rates = [f"{each[name]['median']:,.0f}/s" for each in http.values()]
        axis.bar_label(bars, rates, fontsize=8, padding=2)
    axis.set_xticks([place + 0.4 - width / 2 for place in range(len(http))], [f"{int(size):,}" for size in http])
    axis.set(xlabel="projects of the owner", title=f"Requests per second over HTTP, {names[-1]} = 1")
    axis.grid(axis="y", color="#dddddd")
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=9)
    axis.margins(y=0.25)
