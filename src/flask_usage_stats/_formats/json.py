"""The JSON format. It does not use the application's ``app.json``, whose settings would change the output."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from bson import ObjectId

from .._core.calendar import format_instant
from .._core.fields import (
    ALL_FIELDS,
    AS_OF,
    BUCKETS,
    FROM,
    GROUP_SIZE,
    GROUPS,
    NEXT_CURSOR,
    OTHERS,
    PARTIAL,
    PROJECTS,
    SINCE,
    SUCCESS,
    TIME_ZONE,
    TO,
    TOTAL,
    TOTAL_PROJECTS,
    UNUSED,
    WINDOW,
    Kind,
)
from .._core.groups import GroupKey
from .._core.history_query import HistoryQuery
from .._core.output import Report
from .._core.platform_query import PlatformQuery
from .._core.platform_report import PlatformReport
from .._core.query import UsageQuery
from .._core.rows import Row, RowBatch
from .._core.timeline import Bucket, Timeline
from .._core.values import format_datetime

_UTC_DATES: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_POINT: Final = ord(".")
#: For each date, the number of bytes from the end of the previous date's milliseconds to the end of its own.
_DATE_SPANS: Final = {
    name: len(f'Z","{name}":"2024-03-14T10:15:00.000') for name, kind in ALL_FIELDS if kind is Kind.DATE
}


class JSONFormat:
    """Encodes reports as JSON; an :class:`~flask_usage_stats._core.output.OutputFormat`."""

    has_rows_with_groups = True

    def encode_rows(self, batch: RowBatch) -> list[bytes]:
        """Encode each row as a JSON object.

        :raises ValueError: a string has invalid Unicode, or an aware datetime cannot be encoded as it is.
        """
        try:
            if batch.trailing_dates:
                return _encode_with_dates(batch)
            return [_copy(orjson.dumps(row, ObjectId.__str__)) for row in batch.rows]
        except orjson.JSONEncodeError:  # an integer beyond 64 bits, or rejected by orjson or _truncate_fraction
            return [_encode_slowly(row) for row in batch.rows]

    def encode_body(self, report: Report, query: UsageQuery, next_cursor: str | None) -> bytes:
        """Encode the total and the rows, then the groups, and the number of projects and the next cursor of a page."""
        extra: dict[str, Any] = {}
        if report.groups is not None:
            extra[GROUPS] = report.groups
        if query.limit is not None:
            extra[TOTAL_PROJECTS] = report.matching
            extra[NEXT_CURSOR] = next_cursor
        # The encoded rows are inserted between the brackets of the empty list: the head ends before "]}",
        # and the tail continues the object after the opening brace of the extra fields.
        head = encode_json({SUCCESS: True, TOTAL: report.total, PROJECTS: []})[:-2]
        tail = b"]," + encode_json(extra)[1:] if extra else b"]}"
        return b"".join([head, b",".join(report.encoded_rows), tail])

    def encode_timeline(self, timeline: Timeline, query: HistoryQuery) -> bytes:
        """Encode the range, the total and the buckets, with the requests of each group in each bucket."""
        since = timeline.since
        return encode_json(
            {
                SUCCESS: True,
                FROM: format_instant(query.windows[0][0], query.zone),
                TO: format_instant(query.windows[-1][1], query.zone),
                WINDOW: query.window,
                TIME_ZONE: query.zone.key,
                SINCE: None if since is None else format_datetime(since.replace(tzinfo=None)),
                TOTAL: timeline.total,
                BUCKETS: [_build_bucket(bucket, timeline.groups, query) for bucket in timeline.buckets],
            }
        )

    def encode_platform(self, report: PlatformReport, query: PlatformQuery) -> bytes:
        """Encode the totals, then the groups, the others and the projects that the query asks for."""
        body: dict[str, Any] = {
            SUCCESS: True,
            TOTAL: report.total,
            GROUP_SIZE: report.projects,
            UNUSED: report.unused,
            AS_OF: format_datetime(report.as_of.replace(tzinfo=None)),
        }
        if report.groups is not None:
            body[GROUPS] = report.groups
        if report.others is not None:
            body[OTHERS] = report.others
        if not query.limit:
            return encode_json(body)
        # As in encode_body.
        head = encode_json(body | {PROJECTS: []})[:-2]
        return b"".join([head, b",".join(self.encode_rows(report.rows)), b"]}"])


JSON: Final = JSONFormat()


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Encode text, numbers, booleans, ``None``, lists and dictionaries as UTF-8 JSON, with keys in the order given.

    Numbers must be finite and values of other types converted before: orjson encodes NaN and infinities as null,
    and a few other types, such as datetimes, in its own format.

    .. code-block:: pycon

        >>> encode_json({"totalRequest": 2**64})
        b'{"totalRequest":18446744073709551616}'

    :raises ValueError: a string has invalid Unicode.
    :raises TypeError: a value has a type that orjson does not support.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, which JSON allows
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _build_bucket(bucket: Bucket, groups: Sequence[GroupKey] | None, query: HistoryQuery) -> dict[str, Any]:
    built: dict[str, Any] = {
        FROM: format_instant(bucket.start, query.zone),
        TO: format_instant(bucket.end, query.zone),
        TOTAL: bucket.total,
        PARTIAL: bucket.is_partial,
    }
    if groups is not None:
        built[GROUPS] = [
            {**dict(zip(query.group_by, group, strict=True)), TOTAL: requests}
            for group, requests in zip(groups, bucket.groups, strict=False)  # a bucket without a total has no groups
        ]
    if bucket.others is not None:
        built[OTHERS] = bucket.others
    return built


def _encode_with_dates(batch: RowBatch) -> list[bytes]:
    """Encode rows that end with one to three datetimes, each with the same fields.

    Raises orjson.JSONEncodeError, which ``encode_rows`` handles, for a datetime that is not in UTC.

    orjson formats datetimes several times faster than ``isoformat``, but with six fractional digits
    (none for whole seconds). Dates are the last fields of a row, so their fractions can be cut to
    milliseconds at known offsets.
    """
    spans = _get_date_spans(batch)
    if len(spans) > 1:
        return _encode_with_three_dates(batch.rows, *spans)
    two_dates, span = bool(spans), sum(spans)
    point, end, rest = -span - 13, -span - 9, -span - 6
    dumps, to_hex = orjson.dumps, ObjectId.__str__  # local names are faster in a loop
    encoded = []
    for row in batch.rows:
        text = dumps(row, to_hex, _UTC_DATES)
        if two_dates and text[-10] == _POINT == text[point]:  # neither is a whole second
            encoded.append(text[:end] + text[rest:-6] + b'Z"}')
        else:
            encoded.append(_fix_milliseconds(text, spans))
    return encoded


def _encode_with_three_dates(rows: Iterable[Row], middle: int, last: int) -> list[bytes]:
    encoded = []
    for row in rows:
        text = orjson.dumps(row, ObjectId.__str__, _UTC_DATES)
        if text[-10] == _POINT == text[-last - 13] and text[-middle - last - 16] == _POINT:
            parts = text[: -middle - last - 12], text[-middle - last - 9 : -last - 9], text[-last - 6 : -6], b'Z"}'
            encoded.append(b"".join(parts))
        else:
            encoded.append(_fix_milliseconds(text, (middle, last)))
    return encoded


def _get_date_spans(batch: RowBatch) -> tuple[int, ...]:
    """Return the spans of the dates that each row of a batch ends with, except for the first date."""
    if batch.trailing_dates == 1 or not batch.rows:
        return ()
    names = list(batch.rows[0])[1 - batch.trailing_dates :]
    return tuple(map(_DATE_SPANS.__getitem__, names))


def _fix_milliseconds(text: bytes, spans: Sequence[int]) -> bytes:
    text, end = _truncate_fraction(text[:-3], text[-3:]), b'Z"}'
    for span in reversed(spans):
        text, end = _truncate_fraction(text[:-span], text[-span:]), text[-span:] + end
    return text + end


def _truncate_fraction(text: bytes, tail: bytes) -> bytes:
    """Truncate the datetime that *text* ends with to three fractional digits; *tail* is what follows it."""
    if not tail.startswith(b'Z"'):
        raise orjson.JSONEncodeError("a datetime is not in UTC")
    return text[:-3] if text[-7] == _POINT else text + b".000"


def _encode_slowly(row: Row) -> bytes:
    return _copy(encode_json({name: _to_json(value) for name, value in row.items()}))


def _copy(encoded: bytes) -> bytes:
    """Copy an encoded row, because each result of orjson keeps its complete write buffer alive."""
    return bytes(memoryview(encoded))


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return format_datetime(value)
    return str(value) if isinstance(value, ObjectId) else value
