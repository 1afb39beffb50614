"""Change the code with mutmut, and compare the changes that no test notices with ``survivors.toml``.

``python tests/mutation/run.py`` tests all mutants, or those that an interrupted run has left, and updates the page.
``python tests/mutation/run.py _core.values _formats`` tests those of some modules or packages again.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

FOLDER = Path(__file__).parent
PAGE = Path("docs/reliability.md")
SOURCE = "src/flask_usage_stats/"
MINIMUM = 90  # per cent

sys.path.append(str(FOLDER.parent))
from servers import mongodb  # noqa: E402 # after the path


def read_results():
    """Return the exit codes of the tests by module, such as ``_core/values.py``, and name of the mutant."""
    results = {}
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        if data.exit_code_by_key:
            results[str(path).removeprefix(SOURCE)] = data.exit_code_by_key
    return results


def is_finished(results):
    return bool(results) and not any(None in codes.values() for codes in results.values())


def is_killed(code):
    # mutmut uses 255 both for a timeout and for tests that it could not run.
    return code != 255 and status_by_exit_code[code] in {"killed", "timeout"}


def describe(module, name):
    """Return what identifies a mutant as long as its function and the changed lines stay the same."""
    function, class_name = orig_function_and_class_names_from_key(name)
    title = f"{module} {class_name}.{function}" if class_name else f"{module} {function}"
    changes = get_diff_for_mutant(name, path=SOURCE + module).splitlines()[2:]
    return "\n".join([title, *(f"{line[0]} {line[1:].strip()}" for line in changes if line[0] in "-+")])


def run_mutmut(modules):
    # One at a time, because a fail point of the server applies to all of its clients with the same name.
    command = ["mutmut", "run", "--max-children", "1", *(f"flask_usage_stats.{module}.*" for module in modules)]
    with mongodb() as uri, contextlib.suppress(KeyboardInterrupt):
        environment = {**os.environ, "MONGODB_URI": uri, "PYTHONPATH": str(FOLDER)}
        subprocess.run(command, check=True, env=environment)


def find_area(module):
    package = module.partition("/")[0]
    return f"`{package}`" if package in {"_core", "_formats"} else "numbered batches"


def count_by_area(results):
    """Return the numbers of mutants, and of those that were killed, in each area and in total."""
    mutants, killed = Counter(), Counter()
    for module, codes in results.items():
        for area in (find_area(module), "total"):
            mutants[area] += len(codes)
            killed[area] += sum(map(is_killed, codes.values()))
    return mutants, killed


def build_table(mutants, killed):
    lines = ["| Code | Mutants | Killed | Score |", "| --- | ---: | ---: | ---: |"]
    for area in sorted(mutants):
        score = 100 * killed[area] / mutants[area]
        lines.append(f"| {area} | {mutants[area]:,} | {killed[area]:,} | {score:.1f} % |")
    return "\n".join(lines)


def find_survivors(results):
    """Return the descriptions of the mutants that were not killed."""
    return {
        describe(module, name)
        for module, codes in results.items()
        for name, code in codes.items()
        if not is_killed(code)
    }


def main(modules):
    if not modules and is_finished(read_results()):
        shutil.rmtree("mutants")
    run_mutmut(modules)
    selected = tuple(f"{module}." for module in modules) or ""
    results = {path: codes for path, codes in read_results().items() if path.replace("/", ".").startswith(selected)}
    if not is_finished(results):
        return "interrupted; the next run without arguments continues"
    mutants, killed = count_by_area(results)
    table = build_table(mutants, killed)
    print(table)
    survivors = find_survivors(results)
    groups = tomllib.loads((FOLDER / "survivors.toml").read_text(encoding="utf-8"))["group"]
    listed = {mutant.strip() for group in groups for mutant in group["mutants"]}
    for survivor in sorted(survivors - listed):
        print(f"\nsurvived, and is not in survivors.toml:\n{survivor}")
    if modules:
        return None if survivors <= listed else 1
    for mutant in sorted(listed - survivors):
        print(f"\nis in survivors.toml, but was killed, or does not exist:\n{mutant}")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(r"\| Code \| Mutants .*\|\n(\|.*\n)+", table + "\n", text), encoding="utf-8")
    is_enough = all(100 * killed[area] >= MINIMUM * mutants[area] for area in mutants)
    return None if survivors <= listed and is_enough else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
