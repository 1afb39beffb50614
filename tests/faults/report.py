"""Write docs/reliability.md from the results of a run: ``python tests/faults/report.py RESULTS PAGE``."""

import json
import platform
import re
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

PAGE = """\
# Reliability

This page states what the package guarantees when the database, the network or the data fail, and lists the tests of these guarantees.
`.venv/bin/tox run -e faults` runs all of the tests and generates this page.
The figures are from {python}, PyMongo {pymongo} and MongoDB 6.0.5, all on one machine, with tests running in parallel.

## Guarantees

- Every response is either complete or the documented error: status 500 and `{{"success": false, "message": "Failed to fetch usage stats"}}`, or `"Failed to fetch platform usage"` from the platform view.
  Partial results and other servers' error pages never reach the client.
- The response is sent within the store's `timeout` plus one second.
  Most tests that expect the error use a `timeout` of 1 second, and most that expect complete responses use the default of 5 seconds.
- The first request after a fault succeeds, except during a replica-set election, which takes a few seconds.
- No thread, connection or operation on the server is left behind.
- Each error is logged once, with its cause.
- The platform view keeps no error, and its totals count each project once, with every request that was counted before `asOf`.
- A [recorder](counting.md) counts each request once or says why it does not; what a process that is killed has not written is lost.
- `flask usage ingest` counts each line of an access log once, also if its process is killed.

Each test below injects a fault and verifies these guarantees.

## Results

The {tests} tests sent {answers} requests during faults; {errors} of the responses were the error, and every response met the guarantees.
Recorders and ingests counted {counted} requests during faults, each of them once.
For requests that are listed as "in doubt", it is not known whether they were counted.
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


RESPONSES = """\
| Fault | Expected | Responses | Longest | Limit | Test |
| --- | --- | ---: | ---: | ---: | --- |"""

COUNTS = """\
"Recorded" is the number of requests that the recorders were told during the fault, and "Counted" by how much the stored counts have grown.
"Failed flushes" are repeated by the recorder.

| Fault | Expected | Recorded | Counted | Others | Failed flushes | Test |
| --- | --- | ---: | ---: | --- | ---: | --- |"""

INGESTS = """\
"Logged" is the number of requests of known hosts in the log during the fault, with those of the recorder if there is one, and "Counted" by how much the stored counts have grown; both are compared for each project and quarter of an hour.
"Interruptions" are the processes that were killed, stopped or refused, and the outages of the database.

| Fault | Expected | Logged | Counted | Others | Interruptions | Test |
| --- | --- | ---: | ---: | --- | ---: | --- |"""


def tables(results):
    """Yield the lines of one table per group, with one row per test that covers all of its cases and rounds."""
    tests = {}
    for result in results:
        tests.setdefault((result["group"], result["test"]), []).append(result)
    group = None
    for (name, test), cases in sorted(tests.items(), key=lambda entry: entry[0]):
        is_count = "counted" in cases[0]
        if name != group:
            group = name
            head = {"Ingest": INGESTS}.get(group, COUNTS if is_count else RESPONSES)
            yield f"\n### {group}\n\n{head}"
        cells = count_cells(cases) if is_count else response_cells(cases)
        yield f"| {cases[0]['what']} | {cases[0]['promise']} | {' | '.join(cells)} | `{test}` |"


def response_cells(cases):
    worst = max(cases, key=lambda case: case["longest"] - case["bound"])
    return f"{total(cases, 'answers'):,}", f"{worst['longest']:.2f} s", f"{worst['bound']:g} s"


def count_cells(cases):
    others = Counter()
    for case in cases:
        others.update(case["others"])
    texts = ", ".join(f"{number:,} {cause}" for cause, number in others.items() if number)
    numbers = [f"{total(cases, name):,}" for name in ("recorded", "counted", "failures")]
    return *numbers[:2], texts, numbers[2]


def total(results, name):
    """Add up a number of the results that have it."""
    return sum(result.get(name, 0) for result in results)


def page(results, previous):
    """Build the page. The section of another run stays as it is in the previous one."""
    (mutation,) = re.findall(r"^## Mutation testing\n.*?(?=^## )", previous, re.MULTILINE | re.DOTALL)
    return "\n".join(
        [
            PAGE.format(
                python=f"Python {platform.python_version()}",
                pymongo=version("pymongo"),
                tests=len({result["test"] for result in results}),
                **{name: f"{total(results, name):,}" for name in ("answers", "errors", "counted")},
            ).rstrip(),
            *tables(results),
            "",
            mutation + LIMITS.format(rounds=5),
        ]
    )


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    path = Path(sys.argv[2])
    path.write_text(page([json.loads(line) for line in lines], path.read_text(encoding="utf-8")), encoding="utf-8")
