"""The built wheel contains what a user installs, and its description is complete on a package index."""

import re
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
from support import ROOT


def run_module(*arguments):
    subprocess.run([sys.executable, "-m", *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def pip(*arguments):
    run_module("pip", "--quiet", "--isolated", *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the source distribution, and return the path of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run_module("hatchling", "build", "-t", "sdist", "-d", str(folder))
    (source,) = folder.glob("flask_usage_stats-*.tar.gz")
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (path,) = folder.glob("flask_usage_stats-*.whl")
    return path


def test_wheel(wheel, tmp_path):
    """The wheel contains the typed package and its license, and can be imported after installation."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {"flask_usage_stats/py.typed", "flask_usage_stats/_page/usage-stats.js"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith("flask_usage_stats") for name in names)
    pip("install", "--no-deps", "--no-index", "--target", str(tmp_path / "site"), str(wheel))
    site = tmp_path / "site"
    program = f"import sys; sys.path.insert(0, {str(site)!r}); import flask_usage_stats as it; print(it.__file__)"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == str(site / "flask_usage_stats" / "__init__.py")


def test_description(wheel):
    """The description is the README, and its links lead to a page of the documentation or a file of the repository."""
    (name,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    description = Parser().parsestr(zipfile.ZipFile(wheel).read(name).decode()).get_payload()
    links, readme = r"(?<=\]\()[^)]+|(?<=src=\")[^\"]+", (ROOT / "README.md").read_text()
    assert re.sub(links, "", description) == re.sub(links, "", readme)
    expected = []
    for link in re.findall(links, readme):
        path, hash_sign, anchor = link.partition("#")
        if path.endswith(".png"):
            expected.append(f"https://raw.githubusercontent.com/flask-usage-stats/flask-usage-stats/main/{path}")
        elif path.startswith("docs/"):
            page = path.removeprefix("docs/").rpartition(".")[0]
            expected.append(f"https://flask-usage-stats.readthedocs.io/page/{page}.html{hash_sign}{anchor}")
        else:
            expected.append(f"https://github.com/flask-usage-stats/flask-usage-stats/blob/main/{path}")
    assert re.findall(links, description) == expected
