"""The rows of a response: all of them or a page."""

import pytest
from bson import ObjectId

from flask_usage_stats._core.query import CursorPosition, UsageQuery
from flask_usage_stats._core.ranking import build_ranking
from flask_usage_stats._core.rows import Adjustments, RowBatch, get_content_key
from flask_usage_stats._formats.json import JSON


class CountingFormat:
    """Counts the rows that it encodes."""

    def __init__(self, *, has_rows_with_groups=True):
        self.encoded = 0
        self.has_rows_with_groups = has_rows_with_groups

    def encode_rows(self, batch):
        self.encoded += len(batch.rows)
        return JSON.encode_rows(batch)


def batch_of(*numbers):
    rows = [{"_id": number, "totalRequest": number // 2} for number in numbers]
    return RowBatch([row["totalRequest"] for row in rows], [bytes([n]) for n in numbers], rows, 0)


def rank(query, *batches, output=JSON):
    ranking = build_ranking(query, output, Adjustments())
    for batch in batches:
        ranking.add(batch)
    return ranking.finish()


def encoded(*numbers):
    return [f'{{"_id":{number},"totalRequest":{number // 2}}}'.encode() for number in numbers]


ORDER = [10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1]


def test_all_rows_are_in_order():
    """Without a limit, all rows are returned in order, and there is no next page."""
    assert rank(UsageQuery(), batch_of(*range(0, 12, 2)), batch_of(*range(1, 12, 2))) == (encoded(*ORDER), None)


@pytest.mark.parametrize("limit", range(14))
@pytest.mark.parametrize("start", [None, 0, 5, 11])
def test_pages_are_slices_of_all_rows(limit, start):
    """A page begins after the position; the last page and an empty one have no position."""
    after = None if start is None else CursorPosition(ORDER[start] // 2, bytes([ORDER[start]]))
    rest = ORDER if start is None else ORDER[start + 1 :]
    page, position = rank(UsageQuery(limit=limit, position=after), *(batch_of(n, n + 1, n + 2) for n in (9, 3, 6, 0)))
    assert page == encoded(*rest[:limit])
    if 0 < limit < len(rest):
        assert position == CursorPosition(rest[limit - 1] // 2, bytes([rest[limit - 1]]))
    else:
        assert position is None


@pytest.mark.parametrize("limit", range(1, 12))
@pytest.mark.parametrize("descending", [True, False])
def test_pages_of_rows_without_ids_have_each_row_once(limit, descending):
    """Rows with the same keys are told apart by their content, and those that are alike in everything are counted."""
    rows = [{"name": name, "totalRequest": n} for n in (3, 9) for name in "aaabbcaabb"] + [{"totalRequest": 5}]
    batches = [RowBatch([row["totalRequest"]], [b""], [row], 0) for row in rows]
    expected, _ = rank(UsageQuery(descending=descending), *batches)
    pages, position = [], None
    for number in range(30):
        batches = batches[7:] + batches[:7]
        page, position = rank(UsageQuery(limit=limit, position=position, descending=descending), *batches)
        pages += page
        assert position is None or len(page) == limit, number
        if position is None:
            break
    assert pages == expected
    assert sorted(pages) == sorted(JSON.encode_rows(RowBatch([], [], rows, 0)))


def test_positions_within_equal_rows():
    """A position names the content only if rows with the same keys follow, and counts those alike that came before."""
    rows = [{"name": name, "totalRequest": 1} for name in "aaab"]
    batch = RowBatch([1] * 4, [b""] * 4, rows, 0)
    keys = {name: get_content_key({"name": name, "totalRequest": 1}) for name in "ab"}
    order = "aaab" if keys["a"] < keys["b"] else "baaa"
    position = None
    for name, returned in zip(order[:3], (1, 2, 3) if order == "aaab" else (1, 1, 2), strict=True):
        _, position = rank(UsageQuery(limit=1, position=position), batch)
        assert position == CursorPosition(1, b"", keys[name], returned)
    assert rank(UsageQuery(limit=1, position=position), batch)[1] is None


def test_positions_before_another_id():
    """A position does not name the content if the row that follows has another id."""
    rows = [{"_id": name, "totalRequest": 1} for name in "aab"]
    _, position = rank(UsageQuery(limit=2), RowBatch([1] * 3, [b"a", b"a", b"b"], rows, 0))
    assert position == CursorPosition(1, b"a")


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_only_rows_of_the_page_are_encoded(limit):
    """Rows that are not returned are neither encoded nor kept."""
    output = CountingFormat()
    query = UsageQuery(limit=limit)
    ranking = build_ranking(query, output, Adjustments())
    for _ in range(20):
        ranking.add(batch_of(*range(12)))
        assert len(ranking._rows) <= 2 * limit + 2
    ranking.finish()
    assert output.encoded == limit


@pytest.mark.parametrize("limit", [None, 3])
def test_no_row_is_encoded_for_groups_alone(limit):
    """A format whose body has groups instead of rows neither encodes nor keeps rows, and there is no next page."""
    output = CountingFormat(has_rows_with_groups=False)
    assert rank(UsageQuery(limit=limit, group_by=("plan",)), batch_of(*range(12)), output=output) == ([], None)
    assert output.encoded == 0


def test_rows_of_a_page_may_have_been_read_in_different_ways():
    """Rows with and without datetimes are encoded with their own batch, and returned in order."""
    ids = [ObjectId(f"{number:024}") for number in range(3)]
    rows = [{"_id": ids[n], "totalRequest": n, "name": "a\ud800" if n == 1 else "b"} for n in range(3)]
    batches = [RowBatch([n], [bytes([n])], [rows[n]], 0) for n in range(3)]
    page, _ = rank(UsageQuery(limit=2), *batches)
    assert page == [
        f'{{"_id":"{ids[2]}","name":"b","totalRequest":2}}'.encode(),
        f'{{"_id":"{ids[1]}","name":"a\ufffd","totalRequest":1}}'.encode(),
    ]
