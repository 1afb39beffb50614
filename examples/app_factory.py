"""An application factory with Flask-PyMongo, where the collection is only available during a request.

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

# Pass a function, because mongo.db is only available after init_app().
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
        """Create the index that the usage route requires. Run this command when you deploy."""
        print(usage_store.ensure_indexes())

    return app
