"""Counting projects that MongoEngine also reads and writes."""

import mongoengine
import pytest
from mongoengine.errors import FieldDoesNotExist

from flask_usage_stats import ProjectStore, UsageRecorder


@pytest.fixture
def connected(mongodb_uri, projects):
    """Connect MongoEngine to the database of the test, and return a function that counts a request."""
    mongoengine.connect(projects.database.name, host=mongodb_uri, uuidRepresentation="standard")

    def count(**options):
        recorder = UsageRecorder(ProjectStore(projects, **options), interval=3600)
        recorder.record("blog")
        assert recorder.close()

    yield count
    mongoengine.disconnect()


def build_document(declared, **meta):
    fields = {"name": mongoengine.StringField(), "totalRequest": mongoengine.LongField()} | declared
    meta = {"meta": {"collection": "projects"} | meta}
    return type("Project", (mongoengine.Document,), {"id": mongoengine.StringField(primary_key=True)} | fields | meta)


@pytest.mark.parametrize(
    ("meta", "declared", "options"),
    [
        ({"strict": False}, {}, {}),
        ({}, {"usageWriters": mongoengine.DictField(), "lastRequestAt": mongoengine.DateTimeField()}, {}),
        ({}, {}, {"writers_field": None}),
    ],
)
def test_documents_can_be_read_and_saved(connected, meta, declared, options):
    """A class that declares the fields, or is not strict, works, as does a store without entries."""
    project = build_document(declared, **meta)
    project(id="blog", name="blog").save()
    connected(**options)
    found = project.objects.get(id="blog")
    assert found.totalRequest == 1
    connected(**options)
    found.name = "news"
    found.save()
    connected(**options)
    assert (project.objects.get(id="blog").name, project.objects.get(id="blog").totalRequest) == ("news", 3)


def test_strict_documents(connected):
    """By default, MongoEngine cannot read documents with other fields than those that are declared."""
    project = build_document({})
    project(id="blog").save()
    connected()
    with pytest.raises(FieldDoesNotExist, match="lastRequestAt"):
        project.objects.get(id="blog")
