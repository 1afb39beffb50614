"""The built wheel contains what a user installs."""

import subprocess
import sys
import zipfile

from support import ROOT


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--isolated", *arguments], check=True, cwd=ROOT)


def test_wheel(tmp_path):
    """The wheel contains the typed package and its license, and can be imported after installation."""
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("flask_usage_stats-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"flask_usage_stats/py.typed", "flask_usage_stats/_page/usage-stats.js"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith("flask_usage_stats") for name in names)
    pip("install", "--no-deps", "--no-index", "--target", str(tmp_path / "site"), str(wheel))
    site = tmp_path / "site"
    program = f"import sys; sys.path.insert(0, {str(site)!r}); import flask_usage_stats as it; print(it.__file__)"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == str(site / "flask_usage_stats" / "__init__.py")
