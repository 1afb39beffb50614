"""What several test modules share."""

import json
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
#: The rows of the API page's sample.
SAMPLE_ROWS = json.loads((TESTS / "data" / "sample_rows.json").read_text())


def strict_json(response):
    """Read a body as strict JSON: no NaN, no infinities, no doubled keys."""

    def refuse(constant):
        raise AssertionError(constant)

    def once(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(response.get_data(), parse_constant=refuse, object_pairs_hook=once)
