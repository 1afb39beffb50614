"""The query parameters of ``GET /api/usage/history``."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from marshmallow import EXCLUDE, Schema

from ..errors import InvalidParametersError
from .calendar import (
    DAY,
    MAX_WINDOWS,
    TooManyWindowsError,
    build_windows,
    find_default_end,
    find_default_start,
    load_zone,
    parse_instant,
)
from .fields import PROJECT
from .history_query import HistoryQuery
from .parameter_types import (
    MultiValue,
    Names,
    SingleValue,
    build_choice,
    build_filters,
    build_format,
    collect_filters,
    find_misspelled,
    load_parameters,
)
from .parameters import PARAMETER_NAMES
from .query import UsageQuery

_MAX_ID_LENGTH: Final = 1024  # characters
_UTC: Final = "UTC"
_INSTANT: Final = (
    "a date or an instant with offset, such as 2026-03-28 or 2026-03-28T00:00:00+01:00",
    {"type": "string", "examples": ["2026-03-28", "2026-03-28T00:00:00+01:00"]},
)


def _parse_any_instant(text: str) -> str:
    """Check the format of an instant; its value depends on the time zone."""
    parse_instant(text, load_zone(_UTC))
    return text


#: The parameters, each loaded from a list of strings.
#: Their order is that of the parameter table of the HTTP API documentation.
HistoryParametersSchema: Final[type[Schema]] = Schema.from_dict(
    {
        "from": SingleValue(
            "The start, by default that of the 30 dates that end with to", _parse_any_instant, *_INSTANT
        ),
        "to": SingleValue("The end (exclusive), by default that of the current day", _parse_any_instant, *_INSTANT),
        "window": build_choice(f"The size of the windows, {DAY} by default", *MAX_WINDOWS),
        "tz": SingleValue(
            f"The time zone whose calendar the windows follow, {_UTC} by default",
            load_zone,
            "an IANA time zone, such as Europe/Berlin",
            {"type": "string", "examples": ["Europe/Berlin"]},
        ),
        PROJECT: MultiValue("Only projects with one of these ids", _MAX_ID_LENGTH, is_exact=True),
        **build_filters(),
        "groupBy": Names("Adds the requests of projects grouped by these fields to each window", alone=PROJECT),
        "format": build_format(),
    },
    name="HistoryParameters",
)
_PARAMETERS: Final = HistoryParametersSchema(unknown=EXCLUDE)
_NAMES: Final = frozenset(_PARAMETERS.fields)


def parse_history_parameters(arguments: Mapping[str, Sequence[str]], now: datetime) -> HistoryQuery:
    """Parse the query parameters of one request.

    :param arguments: maps parameter names to lists of strings. Unknown names are ignored, but neither those of a
        parameter in another case or with brackets, nor the other parameters of the list of projects: ignoring them
        would count too much.
    :param now: the current time, aware.
    :raises InvalidParametersError: one or more parameters are invalid, or there are too many windows.
    """
    data, errors = load_parameters(_PARAMETERS, arguments)
    for name, message in _find_unsupported(arguments):
        errors.setdefault(name, []).append(message)
    windows: list[tuple[datetime, datetime]] = []
    zone, window = data.get("tz") or load_zone(_UTC), data.get("window", DAY)
    if not errors.keys() & {"from", "to", "tz", "window"}:
        try:
            start, end = _parse_range(data, zone, now)
            windows = build_windows(start, end, window, zone)
        except TooManyWindowsError as error:
            errors["window"] = [str(error)]
        except ValueError as error:
            errors["from"] = [str(error)]
    if errors:
        raise InvalidParametersError({name: errors[name] for name in (*_PARAMETERS.fields, *errors) if name in errors})
    return HistoryQuery(
        windows=windows,
        window=window,
        zone=zone,
        projects=UsageQuery(**collect_filters(data)),
        ids=data.get(PROJECT),
        group_by=data.get("groupBy", ()),
        format=data.get("format"),
    )


def _parse_range(data: Mapping[str, Any], zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """Return the start and the end of the range.

    :raises ValueError: the range is empty.
    """
    end = parse_instant(data["to"], zone) if "to" in data else find_default_end(now, zone)
    start = parse_instant(data["from"], zone) if "from" in data else find_default_start(end, zone)
    if start >= end:
        raise ValueError("from must be before to")
    return start, end


def _find_unsupported(arguments: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    yield from find_misspelled(arguments, _NAMES)
    foreign = PARAMETER_NAMES - _NAMES
    for name in sorted((foreign & arguments.keys()) | {name for name, _ in find_misspelled(arguments, foreign)}):
        yield name, f"{name} is not a parameter of the history"
