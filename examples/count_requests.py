"""A hosting platform in one file: it serves projects, counts their requests and keeps their history.

    JWT_SECRET_KEY=... flask --app examples/count_requests.py usage ensure-indexes
    JWT_SECRET_KEY=... flask --app examples/count_requests.py run

Set MONGODB_URI to use another server than the one on localhost.
"""

import os

from flask import Flask, abort, g
from flask_jwt_extended import JWTManager
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity


def create_app():
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = os.environ["JWT_SECRET_KEY"]
    JWTManager(app)

    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    @app.get("/sites/<domain>")
    def serve(domain):
        project = db.projects.find_one({"domain": domain}, {"page": 1})
        if project is None:
            abort(404)
        g.project_id = project["_id"]
        return project["page"]

    store, history = ProjectStore(db.projects), UsageHistory(db.usage_history)
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity, history=history))
    recorder = UsageRecorder(store, history=history)
    # Requests without a project, such as those of the usage route, are not counted.
    recorder.init_app(app, project_id=lambda: g.get("project_id"))
    app.extensions["usage_recorder"] = recorder
    return app
