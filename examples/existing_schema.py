"""An application with an existing collection, in which fields have other names and projects belong to teams.

This is a document of the collection:

    {"title": "blog", "team": "red", "kind": "node", "state": "live", "billing": {"plan": "pro"},
     "stats": {"hits": 12890}, "created": ..., "changed": ...}

    JWT_SECRET_KEY=... flask --app examples/existing_schema.py run

Set MONGODB_URI to use another server than the one on localhost.
"""

import os

from flask import Flask
from flask_jwt_extended import JWTManager
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

FIELDS = {
    "name": "title",
    "projectType": "kind",
    "status": "state",
    "plan": "billing.plan",
    "totalRequest": "stats.hits",
    "createdAt": "created",
    "updatedAt": "changed",
}


def create_app():
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = os.environ["JWT_SECRET_KEY"]
    JWTManager(app)
    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    def owner_filter(user):
        """Return a filter for the projects of all teams that the user is a member of."""
        teams = db.teams.distinct("_id", {"members": {"$eq": user}})
        return {"team": {"$in": teams}}  # an empty list matches no project

    store = ProjectStore(db.apps, fields=FIELDS, owner_filter=owner_filter, excluded_statuses=("archived", "deleted"))
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))

    @app.cli.command("create-indexes")
    def create_indexes():
        """Create the index for the filter that owner_filter returns."""
        db.apps.create_index("team")

    return app
