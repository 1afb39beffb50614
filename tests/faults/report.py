"""Write docs/reliability.md from the results of a run: ``python tests/faults/report.py RESULTS PAGE``."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

PAGE = """\
# Reliability

This page states what the package guarantees when the database, the network or the data fail, and lists the tests of these guarantees.
`.venv/bin/tox run -e faults` runs all of the tests and generates this page.
The figures are from {python}, PyMongo {pymongo} and MongoDB 6.0.5, all on one machine, with tests running in parallel.

## Guarantees

- Every response is either complete or the documented error: status 500 and `{{"success": false, "message": "Failed to fetch usage stats"}}`.
  Partial results and other servers' error pages never reach the client.
- The response is sent within the store's `timeout` plus one second.
  Most tests that expect the error use a `timeout` of 1 second, and most that expect complete responses use the default of 5 seconds.
- The first request after a fault succeeds, except during a replica-set election, which takes a few seconds.
- No thread, connection or operation on the server is left behind.
- Each error is logged once, with its cause.

Each test below injects a fault and verifies these guarantees.

## Results

The tests sent {answers} requests during faults; {errors} of the responses were the error, and every response met the guarantees.
"Expected" is the response during the fault and, after "then", the response when the fault is over.
"The error" is the 500 response.
"Responses" is the number of requests sent during the fault, "Longest" is the longest response time, and "Limit" is the timeout of the test plus one second.
"""

LIMITS = """\
## Limitations

- If a bit of a value or a name flips on its way from the server, the response may be valid but contain a wrong value: MongoDB's protocol has a checksum, but the driver does not verify it.
  TLS between the application and the database prevents this, because it rejects modified bytes.
- If the database contains a wrong value, so does the response.
- The time limit begins when the store has the collection: a function that connects, resolves a DNS name (`mongodb+srv://`) or waits for a lock before it returns the collection adds to the response time.
- The tests run on one machine, where the network is fast unless a test slows it down, and with MongoDB 6.0.5 only.

## Run the tests

```shell
.venv/bin/tox run -e faults
```

`USAGE_STATS_FAULT_ROUNDS` sets how often each test runs ({rounds} by default).
`.venv/bin/tox run -e faults-quick` runs each test once and does not update this page.
"""


def tables(results):
    """Yield the lines of one table per group, with one row per test that covers all of its cases and rounds."""
    tests = {}
    for result in results:
        tests.setdefault((result["group"], result["test"]), []).append(result)
    group = None
    for (name, test), cases in sorted(tests.items(), key=lambda entry: entry[0]):
        if name != group:
            group = name
            yield f"\n### {group}\n"
            yield "| Fault | Expected | Responses | Longest | Limit | Test |"
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
