"""Closing of cursors whose connection failed."""

import threading

import pytest
from pymongo import MongoClient

from flask_usage_stats._mongodb.server_cursors import kill_cursor


@pytest.mark.parametrize("cursor_id", [None, 0])
def test_no_cursor(cursor_id):
    """If the server has no cursor, nothing is sent."""
    before = threading.active_count()
    with MongoClient("mongodb://127.0.0.1:9", connect=False) as client:
        kill_cursor(client.platform.projects, cursor_id)
        assert threading.active_count() == before
