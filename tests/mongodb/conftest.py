"""Fixtures for tests of the MongoDB store."""

import pytest
from pymongo import MongoClient, monitoring

from flask_usage_stats import ProjectStore


class _CommandRecorder(monitoring.CommandListener):
    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(event.command)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture
def sent_commands(mongodb_uri, projects):
    """Read an owner's projects and return the commands that were sent to the server."""

    def read(consume=list, owner="ada", **options):
        recorder = _CommandRecorder()
        with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
            collection = client[projects.database.name][projects.name]
            consume(ProjectStore(collection, **options).iter_projects(owner))
        return [command for command in recorder.commands if "endSessions" not in command]

    return read
