"""An application that stores its projects in SQLite: any object with an ``iter_projects`` method is a store.

DATABASE=platform.sqlite JWT_SECRET_KEY=... flask --app examples/other_store.py run
"""

import os
import sqlite3
from contextlib import closing

from flask import Flask
from flask_jwt_extended import JWTManager

from flask_usage_stats import create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

SCHEMA = """
CREATE TABLE IF NOT EXISTS project (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT,
    status TEXT,
    plan TEXT,
    requests INTEGER NOT NULL DEFAULT 0,
    created TEXT,
    updated TEXT
);
CREATE INDEX IF NOT EXISTS project_owner ON project (owner);
"""

# The columns have the field names of the response. The store must exclude deleted projects.
QUERY = """
SELECT id AS _id, name, type AS projectType, status, plan,
       requests AS totalRequest, created AS createdAt, updated AS updatedAt
FROM project
WHERE owner = ? AND status IS NOT 'deleted'
"""


class SqliteStore:
    """Reads projects from a SQLite database, with one connection per request."""

    def __init__(self, path):
        self.path = path

    def create(self):
        """Create the table if it does not exist."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(SCHEMA)

    def iter_projects(self, owner, /):
        """Yield the projects of one owner."""
        with closing(sqlite3.connect(self.path, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(QUERY, (str(owner),)):
                yield dict(row)


def create_app():
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = os.environ["JWT_SECRET_KEY"]
    JWTManager(app)
    store = SqliteStore(os.environ["DATABASE"])
    store.create()
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))
    return app
