"""Closing of cursors whose connection failed."""

import pytest
from pymongo import MongoClient
from support import raiser

from flask_usage_stats._mongodb import server_cursors


@pytest.mark.parametrize("cursor_id", [None, 0])
def test_no_cursor(cursor_id, monkeypatch):
    """If the server has no cursor, no thread is started."""
    monkeypatch.setattr(server_cursors, "Thread", raiser(AssertionError()))
    with MongoClient("mongodb://127.0.0.1:9", connect=False) as client:
        server_cursors.kill_cursor(client.platform.projects, cursor_id)
        with pytest.raises(AssertionError):
            server_cursors.kill_cursor(client.platform.projects, 1)
