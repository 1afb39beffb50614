"""CollectionMapping: paths, filters and the projection of a collection."""

import re

import mongomock
import pytest

from flask_usage_stats import ConfigurationError, ProjectStore
from flask_usage_stats._mongodb.mapping import CollectionMapping


def mapping(
    fields=None, owner_filter=None, owner_type=None, excluded_statuses=("deleted",), writers_field="usageWriters"
):
    return CollectionMapping(fields, owner_filter, owner_type, excluded_statuses, writers_field)


@pytest.mark.parametrize(
    ("argument", "fix"),
    [
        ({"fields": [("owner", "x")]}, "fields must map"),
        ({"fields": {"nmae": "x"}}, "unknown name 'nmae': the names are _id, name,"),
        ({"fields": {"name": "$name"}}, "no part may be empty or begin with"),
        ({"fields": {"name": "a.$b"}}, "no part may be empty or begin with"),
        ({"fields": {"name": ""}}, "no part may be empty or begin with"),
        ({"fields": {"name": "a..b"}}, "no part may be empty or begin with"),
        ({"fields": {"name": "a\0b"}}, "no part may be empty or begin with"),
        ({"fields": {"name": 5}}, "must be a path"),
        ({"writers_field": ""}, "writers_field must be a path such as 'usageWriters', or None"),
        ({"writers_field": 5}, "writers_field must be a path"),
        (
            {"writers_field": "totalRequest.x"},
            "writers_field overlaps 'totalRequest', which is stored at 'totalRequest'",
        ),
        ({"writers_field": "owner"}, "writers_field overlaps 'owner'"),
        ({"fields": {"lastRequestAt": "owner"}}, "fields overlap: 'lastRequestAt'"),
        ({"fields": {"lastRequestAt": "totalRequest"}}, "fields overlap"),
        ({"fields": {"name": "plan"}}, "fields overlap: 'name' is stored at 'plan' and 'plan' at 'plan'"),
        ({"fields": {"name": "a", "plan": "a.b"}}, "fields overlap"),
        ({"fields": {"plan": "a", "name": "a.b"}}, "fields overlap"),
        ({"owner_filter": {"team": 1}}, "owner_filter must be a function"),
        ({"owner_filter": {}.get, "fields": {"owner": "x"}}, 'remove "owner" from fields'),
        (
            {"owner_filter": lambda: {"team": 1}},
            "owner_filter is called with the owner id as its only argument, but: too many",
        ),
        ({"owner_type": float}, "owner_type must be str, int, ObjectId or UUID"),
        ({"owner_type": "int"}, "owner_type must be"),
        ({"excluded_statuses": "deleted"}, 'such as ("deleted",)'),
        ({"excluded_statuses": None}, "or () for none"),
        ({"excluded_statuses": [None]}, "an iterable of strings"),
    ],
)
def test_an_invalid_argument_is_rejected(argument, fix):
    """An invalid argument of a store is rejected at construction, with the fix."""
    with pytest.raises(ConfigurationError, match=re.escape(fix)):
        ProjectStore(mongomock.MongoClient().platform.projects, **argument)


def test_the_last_request_may_be_returned_as_the_last_change():
    """A platform may have mapped its own time of the last request before it counts with a recorder."""
    paths = mapping({"updatedAt": "lastRequestAt"})
    assert paths.last_request_path == "lastRequestAt"
    assert paths.rows.rename_fields([{"lastRequestAt": 5}]) == [{"updatedAt": 5}]


def test_the_last_request_is_only_in_the_full_rows():
    """Only a query that needs the time of the latest request reads it."""
    paths = mapping({"lastRequestAt": "stats.at"})
    assert paths.full_rows.projection == paths.rows.projection | {"stats.at": 1}
    stored = [{"_id": 1, "stats": {"at": 5}}]
    assert paths.rows.rename_fields(stored) == stored
    assert paths.full_rows.rename_fields(stored) == [{"_id": 1, "lastRequestAt": 5}]
    assert (paths.maps_last_request, mapping().maps_last_request) == (True, False)
    assert mapping().full_rows.rename_fields(stored) is stored


def test_an_async_owner_filter_is_rejected():
    """*owner_filter* must return the filter, not a coroutine."""

    async def owner_filter(owner):
        """Return a coroutine instead of a filter."""

    with pytest.raises(ConfigurationError, match="owner_filter must not be async"):
        mapping(owner_filter=owner_filter)


def test_the_projection_has_the_stored_paths_and_the_complete_id():
    """The query returns the mapped paths, and ``_id`` as it is stored even if a field is mapped into it."""
    assert mapping({"_id": "_id.slug", "totalRequest": "stats.hits"}).rows.projection == dict.fromkeys(
        ["_id", "name", "projectType", "status", "plan", "stats.hits", "createdAt", "updatedAt"], 1
    )


def test_the_filter_has_no_status_condition_without_excluded_statuses():
    """Without excluded statuses the filter is the match on the owner alone."""
    assert mapping(excluded_statuses=()).build_filter("ada") == {"owner": {"$eq": "ada"}}


def test_an_owner_that_cannot_be_converted_has_no_filter():
    """An owner that cannot be converted needs no query."""
    assert mapping(owner_type=int).build_filter("x") is None


def test_documents_are_not_copied_without_mapped_fields():
    """Documents whose fields have the response names are returned as they are."""
    documents = [{"_id": 1}]
    assert mapping({"owner": "user_id"}).rows.rename_fields(documents) is documents
