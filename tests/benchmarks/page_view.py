"""Measure the element in Chromium: the time from the text of a response to rows in the tree."""

import gzip
import logging
import shutil
import statistics
import threading
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import mongomock
from flask import Flask
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from flask_usage_stats import ProjectStore, create_usage_blueprint

SIZES = (25, 100, 1_000)
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
_CLOCKS = """
const read = Response.prototype.text;
Response.prototype.text = async function () {
  const text = await read.call(this);
  window.received = performance.now();
  return text;
};
addEventListener('usage-load', () => { window.times = [...(window.times ?? []), performance.now() - window.received]; });
"""
_RENDER_AGAIN = """() => {
  const begin = performance.now();
  document.querySelector('usage-stats').strings = {};
  return performance.now() - begin;
}"""


def _build_app() -> Flask:
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many(
        {
            "_id": number,
            "owner": "ada",
            "name": f"project-{number}",
            "projectType": ("node", "static", "docker")[number % 3],
            "status": "live",
            "plan": ("free", "pro", "business", None)[number % 4],
            "totalRequest": (number * 7919) % 100_003,
            "updatedAt": datetime(2024, 1, 1) + timedelta(hours=number),
        }
        for number in range(SIZES[-1])
    )
    app = Flask("benchmark")
    blueprint = create_usage_blueprint(ProjectStore(projects), authenticate=lambda: "ada", element=True)
    app.register_blueprint(blueprint)
    script = '<script type="module" src="/api/usage/usage-stats.js"></script>'
    for size in SIZES:
        body = f'<!doctype html>{script}<usage-stats limit="{size}" project-url="/p/{{_id}}"></usage-stats>'
        app.add_url_rule(f"/{size}", f"page{size}", lambda body=body: body)
    return app


def _measure(page: Page, address: str, size: int, rounds: int) -> dict[str, float]:
    first, again = [], []
    for _ in range(rounds):
        page.goto(f"{address}/{size}")
        page.wait_for_function("window.times?.length === 1")
        assert page.locator("[part=row]").count() == size
        first.append(page.evaluate("times[0]"))
        again.append(page.evaluate(_RENDER_AGAIN))
    return {"first": statistics.median(first) / 1e3, "again": statistics.median(again) / 1e3}


def measure_rows(*, quick: bool) -> dict[str, Any]:
    """Time the first rows, and rendering them again in their places; with the size of the script in bytes."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, _build_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = files("flask_usage_stats").joinpath("_page", "usage-stats.js").read_bytes()
    found: dict[str, Any] = {"script": len(script), "compressed": len(gzip.compress(script)), "rows": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        found["browser"] = f"Chromium {browser.version}"
        page = browser.new_page()
        page.add_init_script(_CLOCKS)
        for size in SIZES:
            found["rows"][size] = _measure(page, f"http://127.0.0.1:{server.server_port}", size, 3 if quick else 5)
        browser.close()
    server.shutdown()
    return found
