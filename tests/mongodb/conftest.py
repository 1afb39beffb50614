"""Fixtures for tests of the MongoDB store."""

import pytest
from pymongo import MongoClient
from support import CommandRecorder

from flask_usage_stats import ProjectStore


@pytest.fixture
def sent_commands(mongodb_uri, projects):
    """Read an owner's projects and return the commands that were sent to the server."""

    def read(consume=list, owner="ada", **options):
        recorder = CommandRecorder()
        with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
            collection = client[projects.database.name][projects.name]
            consume(ProjectStore(collection, **options).iter_projects(owner))
        return [command for command in recorder.commands if "endSessions" not in command]

    return read
