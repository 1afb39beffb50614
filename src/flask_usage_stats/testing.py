"""Tests for custom stores: a base class for test classes, to be run by pytest.

This is a complete test module, with a store that passes:

.. code-block:: python

    import pytest

    from flask_usage_stats.testing import UsageStoreContract


    class MemoryStore:
        def __init__(self, projects):
            self.projects = projects

        def iter_projects(self, owner, /):
            for project in self.projects:
                if project["owner"] == owner and project.get("status") != "deleted":
                    yield project


    class TestMemoryStore(UsageStoreContract):
        @pytest.fixture
        def make_store(self):
            return MemoryStore
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final, TypeAlias

import pytest
from flask import Flask

from ._http.blueprint import create_usage_blueprint
from .protocols import Owner, UsageStore
from .schemas import UsageSchema

__all__ = ["StoreFactory", "UsageStoreContract"]

#: The type of the function that the fixture ``make_store`` returns: it stores projects and returns a store for them.
#:
#: .. versionadded:: 0.1.0
StoreFactory: TypeAlias = Callable[[Sequence[Mapping[str, object]]], UsageStore]

_FIELDS: Final = ("name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt")
_MANY: Final = 2500  # projects: more than drivers fetch at once
_ABANDONED: Final = 20  # reads: more than connection pools usually hold


class UsageStoreContract:
    """Tests that a store follows :class:`~flask_usage_stats.UsageStore`.

    A subclass must define a fixture ``make_store``. It may use other fixtures, for example one that provides
    an empty database, and must return a function that stores projects and returns a store that reads them.
    Each test calls the function once. A project has an ``owner``, an ``_id`` and fields of the response;
    the store may assign other ids:

    .. code-block:: python

        [{"owner": "ada", "_id": 1, "name": "blog", "status": "live", "totalRequest": 12890},
         {"owner": "bob", "_id": 2, "name": "shop", "updatedAt": datetime(2024, 3, 14, tzinfo=UTC)}]

    Class attributes describe what the store supports; a subclass overrides those that do not apply.

    .. versionadded:: 0.1.0
    """

    #: The owner whose projects are read. If it is not a ``str``, tests with other strings as owners are skipped.
    owner: ClassVar[Owner] = "ada"
    #: Another owner, of the same type.
    other_owner: ClassVar[Owner] = "bob"
    #: An owner without projects, of the same type.
    unknown_owner: ClassVar[Owner] = "eve"
    #: Whether owners can also be integers, so that ``7`` and ``"7"`` are different owners.
    integer_owners: ClassVar[bool] = False
    #: The fields that the store supports. Without ``status``, the test of deleted projects is skipped. Add
    #: ``lastRequestAt`` if the blueprint has a *history*; without it, the test of latest requests is skipped.
    fields: ClassVar[Sequence[str]] = _FIELDS
    #: Strings that are stored as owners and as names. Omit those that the database cannot store,
    #: such as the one with a NUL character in PostgreSQL.
    texts: ClassVar[Sequence[str]] = (
        *("ada", "Ada", "ADA", "ada ", " ada", "a", "ad\u0430", "\u00e1da", "a\u0301da", "\uff41da", "\U0001f600"),
        *("7", "07", "7.0", "null", "None", "true", "0", "deleted"),
        *("'", '"', "\\", "' OR '1'='1", "ada'; DROP TABLE project; --", "a%", "_da", "*", ".*", "a\0b", "a\nb"),
        *("$ne", "$owner", "{'$ne': None}", '{"$ne": null}', '{"$regex": "."}', "ada.name", "[ada]"),
    )

    def test_only_projects_of_the_owner(self, make_store: StoreFactory) -> None:
        """A store yields the owner's projects and no others."""
        store = make_store(
            [
                {"owner": self.owner, "_id": 1, "name": "blog"},
                {"owner": self.other_owner, "_id": 2, "name": "shop"},
                {"owner": self.owner, "_id": 3, "name": "wiki"},
            ]
        )
        _check_names(store, self.owner, ["blog", "wiki"])
        _check_names(store, self.other_owner, ["shop"])

    def test_unknown_owner_has_no_projects(self, make_store: StoreFactory) -> None:
        """An unknown owner has no projects and is not an error."""
        _check_names(make_store([{"owner": self.owner, "_id": 1, "name": "blog"}]), self.unknown_owner, [])

    def test_empty_store(self, make_store: StoreFactory) -> None:
        """A store without projects is not an error."""
        _check_names(make_store([]), self.owner, [])

    def test_owners_are_compared_exactly(self, make_store: StoreFactory) -> None:
        """Strings are equal only if all characters are, and are never interpreted as patterns, operators or SQL."""
        if not isinstance(self.owner, str):
            pytest.skip("owner is not a string")
        store = make_store(
            [{"owner": text, "_id": number, "name": f"of {number}"} for number, text in enumerate(self.texts)]
        )
        for number, text in enumerate(self.texts):
            _check_names(store, text, [f"of {number}"])

    def test_integer_and_text_owners_are_different(self, make_store: StoreFactory) -> None:
        """The owners ``7`` and ``"7"`` are different."""
        if not self.integer_owners:
            pytest.skip("integer_owners is False")
        store = make_store(
            [{"owner": 7, "_id": 1, "name": "of the integer"}, {"owner": "7", "_id": 2, "name": "of the text"}]
        )
        _check_names(store, 7, ["of the integer"])
        _check_names(store, "7", ["of the text"])

    def test_deleted_projects_are_left_out(self, make_store: StoreFactory) -> None:
        """Only projects with the exact status "deleted" are excluded; missing, null and "Deleted" are not."""
        if "status" not in self.fields:
            pytest.skip("fields does not contain status")
        store = make_store(
            [
                {"owner": self.owner, "_id": 1, "name": "live", "status": "live"},
                {"owner": self.owner, "_id": 2, "name": "gone", "status": "deleted"},
                {"owner": self.owner, "_id": 3, "name": "missing"},
                {"owner": self.owner, "_id": 4, "name": "null", "status": None},
                {"owner": self.owner, "_id": 5, "name": "capital", "status": "Deleted"},
            ]
        )
        _check_names(store, self.owner, ["live", "missing", "null", "capital"])

    def test_missing_fields_are_absent_or_none(self, make_store: StoreFactory) -> None:
        """A field without a value is absent or ``None``, never an empty string; a count may be 0."""
        store = make_store([{"owner": self.owner, "_id": 1, "name": "blog"}])
        (project,) = _read(store, self.owner)
        for name in set(_FIELDS) - {"name", "totalRequest"}:
            assert project.get(name) is None, f"{name} was not stored but is {project[name]!r}"
        assert project.get("totalRequest") in {None, 0}, f"totalRequest was not stored but is {project!r}"

    def test_every_project_once(self, make_store: StoreFactory) -> None:
        """Every project is yielded exactly once, even if there are more than a driver fetches at once."""
        stored = [{"owner": self.owner, "_id": number, "name": f"project {number}"} for number in range(_MANY)]
        store = make_store(stored)
        _check_names(store, self.owner, [f"project {number}" for number in range(_MANY)])
        ids = Counter(repr(project.get("_id")) for project in _read(store, self.owner))
        assert len(ids) == _MANY, f"projects share an _id: {ids.most_common(3)}"

    def test_reads_are_repeatable(self, make_store: StoreFactory) -> None:
        """A second read returns the same as the first."""
        store = make_store(self._numbered(5))
        first, second = ({repr(sorted(project.items())) for project in _read(store, self.owner)} for _ in range(2))
        assert first == second, f"two reads differ: {sorted(first ^ second)[:5]}"

    def test_abandoned_reads_are_harmless(self, make_store: StoreFactory) -> None:
        """An abandoned read does not affect later reads."""
        store = make_store(self._numbered(50))
        for _ in range(_ABANDONED):
            iterator = iter(store.iter_projects(self.owner))
            next(iterator)
            del iterator
        _check_names(store, self.owner, [f"project {number}" for number in range(50)])

    def test_concurrent_reads_are_independent(self, make_store: StoreFactory) -> None:
        """Concurrent reads, for several owners and in several threads, do not affect each other."""
        store = make_store(
            [*self._numbered(50), *({"owner": self.other_owner, "_id": n, "name": f"other {n}"} for n in range(50, 99))]
        )
        pairs = list(zip(store.iter_projects(self.owner), store.iter_projects(self.other_owner), strict=False))
        for one, other in pairs:
            assert str(one.get("name")).startswith("project "), f"reads of two owners are mixed: {one}"
            assert str(other.get("name")).startswith("other "), f"reads of two owners are mixed: {other}"
        with ThreadPoolExecutor(4) as pool:
            for projects in pool.map(lambda _: _read(store, self.owner), range(8)):
                _check_equal_names(self.owner, projects, [f"project {number}" for number in range(50)])

    def test_response(self, make_store: StoreFactory) -> None:
        """The response is valid: the projects are ranked by count, and the total is exact."""
        counts = [3, 2**53 + 1, 0, 12890, 7]
        response = _get(make_store(self._numbered(len(counts), counts)), self.owner)
        rows = response["projectStats"]
        assert [row["totalRequest"] for row in rows] == sorted(counts, reverse=True), f"wrong counts: {rows}"
        assert [row["name"] for row in rows] == ["project 1", "project 3", "project 4", "project 0", "project 2"]
        assert response["totalRequests"] == sum(counts), f"totalRequests is not {sum(counts)}: {response}"

    def test_response_has_every_field(self, make_store: StoreFactory) -> None:
        """A row has the stored value of every field; a date is the same instant."""
        values = {
            "name": "blog",
            "projectType": "node",
            "status": "live",
            "plan": "pro",
            "totalRequest": 12890,
            "createdAt": datetime(2024, 1, 1, tzinfo=UTC),
            "updatedAt": datetime(2024, 3, 14, 10, 15, 30, 678000, tzinfo=UTC),
        }
        stored = {name: value for name, value in values.items() if name in self.fields}
        (row,) = _get(make_store([{"owner": self.owner, "_id": 1, **stored}]), self.owner)["projectStats"]
        for name, value in stored.items():
            found = datetime.fromisoformat(row[name]) if isinstance(value, datetime) else row.get(name)
            assert found == value, f"{name} was stored as {value!r} but returned as {row.get(name)!r}"

    def test_latest_requests(self, make_store: StoreFactory) -> None:
        """A project has the date of its latest request, and none or ``None`` if it had no request."""
        if "lastRequestAt" not in self.fields:
            pytest.skip("fields does not contain lastRequestAt")
        latest = datetime(2024, 3, 14, 10, 15, 30, 678000, tzinfo=UTC)
        store = make_store(
            [
                {"owner": self.owner, "_id": 1, "name": "used", "lastRequestAt": latest},
                {"owner": self.owner, "_id": 2, "name": "unused"},
            ]
        )
        found = {project.get("name"): project.get("lastRequestAt") for project in _read(store, self.owner)}
        used = found["used"]
        assert isinstance(used, datetime), f"lastRequestAt must be a datetime, not {used!r}"
        instant = used.replace(tzinfo=used.tzinfo or UTC)
        assert instant == latest, f"lastRequestAt was stored as {latest!r} but returned as {used!r}"
        assert found["unused"] is None, f"a project without a request has lastRequestAt {found['unused']!r}"

    def test_response_keeps_text(self, make_store: StoreFactory) -> None:
        """Names with quotes, operators or any Unicode characters are returned unchanged."""
        store = make_store(
            [{"owner": self.owner, "_id": number, "name": text} for number, text in enumerate(self.texts)]
        )
        rows = _get(store, self.owner)["projectStats"]
        _check_equal_names(self.owner, rows, self.texts)

    def test_pages(self, make_store: StoreFactory) -> None:
        """The pages contain every project once, even if counts are equal. This requires ids that do not change."""
        store, names, cursor = make_store(self._numbered(7, [5] * 7)), [], ""
        for _ in range(4):
            response = _get(store, self.owner, f"?limit=2{cursor}")
            names += [row["name"] for row in response["projectStats"]]
            cursor = f"&cursor={response['nextCursor']}"
        assert response["nextCursor"] is None, "the last page has a cursor"
        assert sorted(names) == [f"project {number}" for number in range(7)], f"pages have {names}"

    def test_response_to_an_unknown_owner(self, make_store: StoreFactory) -> None:
        """The response for an owner without projects has an empty list and a total of 0."""
        body = _get(make_store(self._numbered(1)), self.unknown_owner)
        assert body == {"success": True, "totalRequests": 0, "projectStats": []}, f"not empty: {body}"

    def _numbered(self, size: int, counts: Sequence[int] | None = None) -> list[dict[str, object]]:
        """Return projects of the owner that are called ``project 0``, ``project 1`` and so on."""
        return [
            {
                "owner": self.owner,
                "_id": number,
                "name": f"project {number}",
                "totalRequest": number if counts is None else counts[number],
            }
            for number in range(size)
        ]


def _read(store: UsageStore, owner: Owner) -> list[Mapping[str, object]]:
    projects = store.iter_projects(owner)
    assert isinstance(projects, Iterable), (
        f"iter_projects must return an iterable of mappings, got {type(projects).__name__}"
    )
    read = list(projects)
    for project in read:
        assert isinstance(project, Mapping), f"iter_projects must yield mappings, got {type(project).__name__}"
    return read


def _check_names(store: UsageStore, owner: Owner, names: Iterable[str]) -> None:
    _check_equal_names(owner, _read(store, owner), names)


def _check_equal_names(owner: Owner, projects: Iterable[Mapping[str, object]], names: Iterable[str]) -> None:
    found, expected = Counter(project.get("name") for project in projects), Counter[object](names)
    missing, unexpected = list((expected - found).elements()), list((found - expected).elements())
    assert not missing, f"projects of owner {owner!r} are missing: {missing[:5]}"
    assert not unexpected, f"owner {owner!r} has unexpected or repeated projects: {unexpected[:5]}"


def _get(store: UsageStore, owner: Owner, query: str = "") -> dict[str, Any]:
    app = Flask(__name__)
    app.register_blueprint(create_usage_blueprint(store, authenticate=lambda: owner))
    response = app.test_client().get(f"/api/usage{query}")
    assert response.status_code == HTTPStatus.OK, (
        f"GET /api/usage{query} has status {response.status_code}: {response.text!r}; the log has the cause"
    )
    body: dict[str, Any] = response.get_json()
    errors = UsageSchema().validate(body)
    assert not errors, f"the response is not valid: {errors}"
    return body
