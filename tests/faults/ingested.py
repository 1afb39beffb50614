"""The application whose log the fault tests ingest: ``flask --app ingested.py:create_app usage ingest``."""

import atexit
import os
import re
from pathlib import Path

from flask import Flask
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageHistory, create_usage_blueprint
from flask_usage_stats._recording import file_reader, ingest, ingest_writer, retrier


def create_app():
    """Build an application whose ingests have small batches and short intervals.

    A fault at a random moment then mostly interrupts a write.
    """
    ingest._INTERVAL = 0.0
    ingest_writer._TIMEOUT = 2.0
    retrier._INTERVALS = (0.1,) * 300
    file_reader._GRACE = 0.5
    file_reader.BLOCK_SIZE = 2**14
    return create_unchanged_app()


def create_unchanged_app():
    client = MongoClient(os.environ["INGEST_URI"], heartbeatFrequencyMS=500)
    database = client[os.environ["INGEST_DATABASE"]]
    app = Flask("ingested")
    store, history = ProjectStore(database.projects), UsageHistory(database.usage_history)
    app.register_blueprint(create_usage_blueprint(store, authenticate=lambda: "ada", history=history))
    if "INGEST_PEAK" in os.environ:
        atexit.register(_write_peak, Path(os.environ["INGEST_PEAK"]))
    return app


def _write_peak(path):
    """Write the greatest resident size of this process, in kB. ``getrusage`` begins with that of its parent."""
    path.write_text(re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])
