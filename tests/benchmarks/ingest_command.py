"""Run ``flask usage ingest`` in a process of its own, and print its peak memory: ``ingest_command.py URI DATABASE ...``."""

import json
import sys

from flask import Flask
from flask.cli import FlaskGroup
from measure import peak_size
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageHistory, create_usage_blueprint


def create_app(uri: str, database: str) -> Flask:
    found = MongoClient(uri)[database]
    app = Flask("ingested")
    store, history = ProjectStore(found.ingested), UsageHistory(found.ingested_history)
    app.register_blueprint(create_usage_blueprint(store, authenticate=lambda: None, history=history))
    return app


if __name__ == "__main__":
    uri, database, *options = sys.argv[1:]
    group = FlaskGroup(create_app=lambda: create_app(uri, database))
    group.main(["usage", "ingest", *options], standalone_mode=False)
    print(json.dumps({"peak": peak_size()}))
