"""Expressions with which the server adds up counts exactly.

``$sum`` rounds the sum of doubles to 53 bits, and that of decimals to 34 digits. Every count is a whole number times a
power of two, though (or of ten, for large decimals). So the counts with the same power are a group, in which the whole
numbers are added up in a high and a low part, neither of which overflows.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final, TypeAlias

from bson import Decimal128, Int64

from .._core.platform_report import Totals
from .mapping import Document

Expression: TypeAlias = Any

_SMALL: Final = Int64(2**36)  # 2**27 of them can be added up
_LARGE: Final = Int64(2**62)
_BASE: Final = 2**31
_DECIMAL_BASE: Final = 10**17
# Powers of two are a multiple of 8 exponents apart, so that there are few groups. Logarithms may be rounded, hence the
# whole numbers have 53 to 62 bits, or 34 to 36 digits.
_STEP: Final = 8
_DOUBLE_BITS: Final = 53
_DECIMAL_DIGITS: Final = 34
# The largest decimals whose nearest doubles are finite, and 0.
_MAX_DECIMAL: Final = "1.797693134862315807937289714053034E+308"
_MAX_ZERO: Final = "2.470328229206232720882843964341106E-324"


def build_switch(branches: Iterable[tuple[Expression, Expression]], default: Expression) -> Expression:
    """Return an expression with the value of the first condition that is true."""
    return {"$switch": {"branches": [{"case": case, "then": then} for case, then in branches], "default": default}}


def is_between(value: Expression, first: object, last: object) -> Expression:
    """Return the condition that a number is in a range, including both ends."""
    return {"$and": [{"$gte": [value, first]}, {"$lte": [value, last]}]}


def is_whole(value: Expression) -> Expression:
    """Return the condition that a finite number is whole."""
    return {"$eq": [value, {"$trunc": value}]}


def build_count(path: str) -> Expression:
    """Return the expression for the count at a path: the number as ``to_count`` converts it, or 0."""
    value, value_type = f"${path}", {"$type": f"${path}"}
    is_finite = {"$and": [{"$gt": [value, float("-inf")]}, {"$lt": [value, float("inf")]}]}  # NaN is below all numbers
    is_in_range = is_between(value, Decimal128(f"-{_MAX_DECIMAL}"), Decimal128(_MAX_DECIMAL))
    # The server does not convert decimals near 0.
    tiny = {"$cond": [{"$gt": [{"$abs": value}, Decimal128(_MAX_ZERO)]}, value, 0]}
    nearest_double = {"$convert": {"input": value, "to": "double", "onError": tiny}}
    return build_switch(
        [
            ({"$in": [value_type, ["int", "long"]]}, value),
            ({"$and": [{"$eq": [value_type, "double"]}, is_finite]}, value),
            (
                {"$and": [{"$eq": [value_type, "decimal"]}, is_in_range]},
                {"$cond": [is_whole(value), value, nearest_double]},
            ),
        ],
        default=0,
    )


def _build_split_stages() -> list[Document]:
    count = "$count"
    exponent = {"$floor": {"$log": [{"$abs": count}, 2]}}
    binary_scale = {
        "$toInt": {
            "$subtract": [{"$multiply": [_STEP, {"$floor": {"$divide": [exponent, _STEP]}}]}, _DOUBLE_BITS],
        }
    }
    decimal_scale = {
        "d": {"$toInt": {"$subtract": [{"$floor": {"$log10": {"$abs": count}}}, _DECIMAL_DIGITS]}},
    }
    scale = build_switch(
        [
            ({"$in": [{"$type": count}, ["int", "long"]]}, 0),
            ({"$and": [is_between(count, -_LARGE, _LARGE), is_whole(count)]}, 0),
            ({"$eq": [{"$type": count}, "decimal"]}, decimal_scale),
        ],
        default=binary_scale,
    )
    # In two steps, since a power of two may be beyond the range of a double, although the result is not.
    half = {"$trunc": {"$divide": ["$scale", -2]}}
    rest = {"$subtract": [{"$multiply": ["$scale", -1]}, half]}
    whole = build_switch(
        [
            ({"$eq": ["$scale", 0]}, {"$toLong": count}),
            ({"$eq": [{"$type": "$scale"}, "object"]}, {"$divide": [count, _build_power_of_ten("$scale.d")]}),
        ],
        default={"$toLong": {"$multiply": [count, {"$pow": [2.0, half]}, {"$pow": [2.0, rest]}]}},
    )
    return [{"$set": {"scale": scale}}, {"$set": {"whole": whole}}]


def _build_parts() -> tuple[Expression, Expression]:
    """Return the expressions for the high and the low part of a whole number."""
    is_small, is_decimal = is_between("$whole", -_SMALL, _SMALL), {"$eq": [{"$type": "$whole"}, "decimal"]}
    base, decimal_base = Int64(_BASE), Decimal128(str(_DECIMAL_BASE))
    low, decimal_low = {"$mod": ["$whole", base]}, {"$mod": ["$whole", decimal_base]}
    high = {"$toLong": {"$divide": [{"$subtract": ["$whole", low]}, base]}}
    decimal_high = {"$divide": [{"$subtract": ["$whole", decimal_low]}, decimal_base]}
    return (
        build_switch([(is_small, 0), (is_decimal, decimal_high)], default=high),
        build_switch([(is_small, "$whole"), (is_decimal, decimal_low)], default=low),
    )


def _build_power_of_ten(exponent: Expression) -> Expression:
    return {"$toDecimal": {"$concat": ["1E", {"$toString": exponent}]}}


#: Split the field ``count`` of documents into ``whole`` and ``scale``: the exponent of a power of two, or
#: ``{"d": exponent}`` for a power of ten.
SPLIT_STAGES: Final = _build_split_stages()

_HIGH, _LOW = _build_parts()
#: The totals of a group of split documents that have the same scale.
SPLIT_SUMS: Final[Mapping[str, Expression]] = {
    "projects": {"$sum": 1},
    "unused": {"$sum": {"$cond": [{"$eq": ["$count", 0]}, 1, 0]}},
    "high": {"$sum": _HIGH},
    "low": {"$sum": _LOW},
}
#: The totals of groups with the same scale.
MERGED_SUMS: Final[Mapping[str, Expression]] = {
    name: {"$sum": f"${name}"} for name in ("projects", "unused", "high", "low")
}

#: The total of a group with the field ``scale``, as a decimal of 34 digits.
APPROXIMATE_TOTAL: Final = build_switch(
    [
        ({"$eq": ["$scale", 0]}, {"$add": [{"$multiply": [{"$toDecimal": "$high"}, _BASE]}, "$low"]}),
        (
            {"$eq": [{"$type": "$scale"}, "object"]},
            {
                "$multiply": [
                    {"$add": [{"$multiply": [{"$toDecimal": "$high"}, Int64(_DECIMAL_BASE)]}, "$low"]},
                    _build_power_of_ten("$scale.d"),
                ]
            },
        ),
    ],
    default={
        "$multiply": [
            {"$add": [{"$multiply": [{"$toDecimal": "$high"}, _BASE]}, "$low"]},
            {"$pow": [Decimal128("2"), "$scale"]},
        ]
    },
)


def read_totals(groups: Iterable[Document]) -> Totals:
    """Return the totals of groups with the fields ``scale``, ``projects``, ``unused``, ``high`` and ``low``."""
    projects, unused, requests = 0, 0, Fraction()
    for group in groups:
        projects, unused = projects + group["projects"], unused + group["unused"]
        requests += _read_sum(group["scale"], group["high"], group["low"])
    return Totals(projects, unused, requests)


def _read_sum(scale: int | Mapping[str, int], high: object, low: object) -> Fraction:
    base, exponent, bound = (2, scale, _BASE) if isinstance(scale, int) else (10, scale["d"], _DECIMAL_BASE)
    unit = Fraction(base**exponent) if exponent >= 0 else Fraction(1, base**-exponent)
    return (_read_number(high) * bound + _read_number(low)) * unit


def _read_number(number: Any) -> Fraction:  # noqa: ANN401 # a number of the driver
    return Fraction(number.to_decimal() if isinstance(number, Decimal128) else number)
