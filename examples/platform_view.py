"""The usage of all owners, for users whose role is operator.

    JWT_SECRET_KEY=... flask --app examples/platform_view.py run

Set MONGODB_URI to use another server than the one on localhost.
"""

import os

from flask import Flask
from flask_jwt_extended import JWTManager
from pymongo import MongoClient, ReadPreference

from flask_usage_stats import PlatformStore, ProjectStore, create_platform_blueprint, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity


def create_app():
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = os.environ["JWT_SECRET_KEY"]
    JWTManager(app)

    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    def is_operator():
        user = jwt_identity()
        if user is None:
            return None
        # The database is asked, so that a user who is no longer an operator is refused at once.
        return db.users.find_one({"_id": {"$eq": user}, "role": "operator"}) is not None

    store = ProjectStore(db.projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))

    secondary = db.get_collection("projects", read_preference=ReadPreference.SECONDARY_PREFERRED)
    platform = PlatformStore(store, collection=secondary)
    app.register_blueprint(create_platform_blueprint(platform, authorize=is_operator))
    return app
