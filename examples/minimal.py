"""A minimal application with a flask-jwt-extended login.

    JWT_SECRET_KEY=... flask --app examples/minimal.py run

Set MONGODB_URI to use another server than the one on localhost.
"""

import os

from flask import Flask, abort, request
from flask_jwt_extended import JWTManager, create_access_token
from pymongo import MongoClient
from werkzeug.security import check_password_hash

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity


def create_app():
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = os.environ["JWT_SECRET_KEY"]
    JWTManager(app)

    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    @app.post("/api/login")
    def login():
        user = db.users.find_one({"name": str(request.json["name"])})
        if user is None or not check_password_hash(user["password"], str(request.json["password"])):
            abort(401)
        # The subject is a string; 24 hexadecimal digits also match owners that are stored as ObjectIds.
        return {"token": create_access_token(str(user["_id"]))}

    store = ProjectStore(db.projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))
    return app
