"""A guard: the whole request stays within reach of the bare read."""

import sys
import time
from datetime import datetime, timedelta

import pytest
from bson import ObjectId
from werkzeug.test import EnvironBuilder

from flask_usage_stats import ProjectStore

FIELDS = dict.fromkeys(("name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt"), 1)
ROWS = 1000
# About 2 when this was written, on a busy machine too; the straightforward way to write it had 8.
MOST = 3.2


@pytest.fixture
def thousand(projects):
    """Store what a platform has: projects with settings besides what is shown."""
    moment = datetime(2024, 3, 14, 10, 15, 0, 123000)
    settings = {"environment": [{"key": f"SETTING_{index}", "value": "x" * 40} for index in range(15)]}
    projects.insert_many(
        {
            "owner": "ada",
            "name": f"project-{index}",
            "projectType": "node",
            "status": "live",
            "plan": "pro",
            "totalRequest": index * 7919 % 1000,
            "createdAt": moment + timedelta(minutes=index),
            "updatedAt": moment + timedelta(hours=index),
            "settings": settings,
            "_id": ObjectId(),
        }
        for index in range(ROWS)
    )
    ProjectStore(projects).ensure_indexes()
    return projects


@pytest.fixture
def untraced():
    """Measure the code, not the measuring of its coverage."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.mark.usefixtures("untraced")
def test_ratio_to_the_bare_read(thousand, app_factory):
    """A request costs a few times the CPU of reading its documents, by the best of many rounds of each."""
    app = app_factory(thousand)
    environ = EnvironBuilder("/api/usage").get_environ()

    def ours():
        return len(b"".join(app.wsgi_app(dict(environ), lambda *_: None)))

    def bare():
        return len(list(thousand.find({"owner": "ada", "status": {"$ne": "deleted"}}, FIELDS)))

    assert bare() == ROWS
    assert ours() > 100 * ROWS
    took = {ours: [], bare: []}
    for _ in range(40):
        for action, times in took.items():
            began = time.process_time()
            action()
            times.append(time.process_time() - began)
    assert min(took[ours]) / min(took[bare]) < MOST
