"""Write docs/reliability.md from the results of a run: ``python tests/faults/report.py RESULTS PAGE``."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

PAGE = """\
# Reliability

What this package promises on a bad day, and what was done to it to see whether it keeps the promise.
This page is written by the tests themselves: `tox run -e faults` repeats every one of them and writes it anew.
Figures are from {python}, PyMongo {pymongo} and MongoDB 6.0.5, all on one machine, with tests running side by side.

## What is promised

- An answer is whole, or it is the documented error: status 500 and `{{"success": false, "message": "Failed to fetch usage stats"}}`.
  It is never some of the projects, and never a page of somebody else's.
- It comes within the store's `timeout` plus one second.
  Where the error is expected, most tests use a `timeout` of 1 second, so that they are quick; elsewhere the default of 5.
- The first request after a fault is over is answered whole, but for the seconds that three servers take to elect one of them.
- No thread, no connection and no operation on the server is left behind.
- Each error is in the log once, with its cause.

Each test below checks all of these after each thing that it breaks.

## What was done

{answers} answers were asked for under a fault; {errors} of them were the error, and all were as promised.
"Answers" is how many were asked for while the fault lasted, "longest" the one that took the longest, and "limit" what it is held to.
"""

LIMITS = """\
## What cannot be seen

- A bit that flips inside a value, or in a name, on its way from the server is a valid answer with a wrong value: MongoDB's protocol has a checksum, but the driver does not check it.
  TLS between the application and the database closes this hole, for it refuses every byte that was changed.
- What a server stores wrongly, it answers wrongly.
- The limit begins when the collection is in hand: a callable that connects, looks a name up in DNS (`mongodb+srv://`) or waits for a lock takes its own time.
- The tests run on one machine, where a network is quick unless it is broken on purpose, and with MongoDB 6.0.5.

## How to repeat it

```shell
tox run -e faults
```

`USAGE_STATS_FAULT_ROUNDS` says how often each test runs ({rounds} by default); `tox run -e faults-quick` runs each once and leaves this page alone.
"""


def tables(results):
    """Write a table for each group: a line a test, over all of its cases and rounds."""
    tests = {}
    for result in results:
        tests.setdefault((result["group"], result["test"]), []).append(result)
    group = None
    for (name, test), cases in sorted(tests.items(), key=lambda entry: entry[0]):
        if name != group:
            group = name
            yield f"\n### {group}\n"
            yield "| Injected | Promised | Answers | Longest | Limit | Test |"
            yield "| --- | --- | ---: | ---: | ---: | --- |"
        count = sum(case["answers"] for case in cases)
        worst = max(cases, key=lambda case: case["longest"] - case["bound"])
        yield (
            f"| {cases[0]['what']} | {cases[0]['promise']} | {count:,}"
            f" | {worst['longest']:.2f} s | {worst['bound']:g} s | `{test}` |"
        )


def page(results):
    return "\n".join(
        [
            PAGE.format(
                python=f"Python {platform.python_version()}",
                pymongo=version("pymongo"),
                answers=f"{sum(result['answers'] for result in results):,}",
                errors=f"{sum(result['errors'] for result in results):,}",
            ).rstrip(),
            *tables(results),
            "",
            LIMITS.format(rounds=5),
        ]
    )


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    Path(sys.argv[2]).write_text(page([json.loads(line) for line in lines]), encoding="utf-8")
