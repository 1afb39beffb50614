"""An application factory with Flask-PyMongo: the collection is asked for in the request, not before.

MONGO_URI=mongodb://localhost:27017/platform JWT_SECRET_KEY=... flask --app examples/app_factory.py run
"""

import os

from flask import Flask
from flask_jwt_extended import JWTManager
from flask_pymongo import PyMongo

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

mongo = PyMongo()
jwt = JWTManager()

# A function, since mongo.db is known only when an application has been set up.
usage_store = ProjectStore(lambda: mongo.db.projects)
usage = create_usage_blueprint(usage_store, authenticate=jwt_identity)


def create_app(config=None):
    app = Flask(__name__)
    app.config.from_mapping(config or {name: os.environ[name] for name in ("MONGO_URI", "JWT_SECRET_KEY")})
    mongo.init_app(app)
    jwt.init_app(app)
    app.register_blueprint(usage)

    @app.cli.command("create-indexes")
    def create_indexes():
        """Make the index that the usage route needs; run it when you deploy."""
        print(usage_store.ensure_indexes())

    return app
