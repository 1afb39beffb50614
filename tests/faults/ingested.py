"""The application whose log the fault tests ingest: ``flask --app ingested.py usage ingest``.

Batches are small and intervals short, so that a fault at a random moment mostly interrupts a write.
"""

import os

from flask import Flask
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageHistory, create_usage_blueprint
from flask_usage_stats._recording import ingest, log_reader

GRACE = 0.5  # seconds

ingest._INTERVAL = 0.0
ingest._TIMEOUT = 2.0
ingest._RETRY_INTERVALS = (0.1,) * 300
log_reader._GRACE = GRACE
log_reader.BLOCK_SIZE = 2**14


def create_app():
    client = MongoClient(os.environ["INGEST_URI"], heartbeatFrequencyMS=500)
    database = client[os.environ["INGEST_DATABASE"]]
    app = Flask("ingested")
    store, history = ProjectStore(database.projects), UsageHistory(database.usage_history)
    app.register_blueprint(create_usage_blueprint(store, authenticate=lambda: "ada", history=history))
    return app
