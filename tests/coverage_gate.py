"""Combine the coverage of all environments that measure it, and check it unless tests were skipped without MongoDB."""

import subprocess
import sys
from pathlib import Path

missing = Path(__file__).parent.parent / ".mongodb-missing"
subprocess.run([sys.executable, "-m", "coverage", "combine", "--quiet", sys.argv[1]], check=True)
if missing.exists():
    print(f"The coverage was not checked, no MongoDB: {missing.read_text().strip()}")
else:
    subprocess.run([sys.executable, "-m", "coverage", "report"], check=True)
