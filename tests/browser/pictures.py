"""Take the pictures of the documentation from the demo: ``tox run -e pictures``."""

import shutil
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/support.py

from browser.conftest import ARGUMENTS
from playwright.sync_api import sync_playwright
from support import ROOT, import_example
from werkzeug.serving import make_server

#: The color scheme, and the width and the height in pixels.
PICTURES = {"light": ("light", 1000, 1080), "dark": ("dark", 1000, 640), "narrow": ("light", 390, 844)}


def main():
    demo = import_example("demo")
    database = demo.open_database(None)
    demo.fill(database)
    server = make_server("127.0.0.1", 0, demo.create_app(database), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for name, (scheme, width, height) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                device_scale_factor=2,
                timezone_id="UTC",
            )
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.get_by_role("button", name="Sign in as demo").click()
            page.locator("[part=chart] > *").first.wait_for()
            path = ROOT / "docs" / f"page-{name}.png"
            page.screenshot(path=path)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB", flush=True)
            page.close()
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
