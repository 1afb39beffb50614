"""An application whose users log in with a form and a session cookie.

    SECRET_KEY=... flask --app examples/session_login.py run

Set MONGODB_URI to use another server than the one on localhost.
"""

import os

from flask import Flask, abort, request, session
from pymongo import MongoClient
from werkzeug.security import check_password_hash

from flask_usage_stats import ProjectStore, create_usage_blueprint


def current_user_id():
    # Flask signs the session, so a client cannot change the id. Without a login, this returns None.
    return session.get("user_id")


def create_app():
    app = Flask(__name__)
    app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SAMESITE="Lax")
    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    @app.post("/login")
    def login():
        user = db.users.find_one({"name": request.form["name"]})
        if user is None or not check_password_hash(user["password"], request.form["password"]):
            abort(401)
        session.clear()
        session["user_id"] = str(user["_id"])
        return {"logged_in": True}

    @app.post("/logout")
    def logout():
        session.clear()
        return {"logged_in": False}

    store = ProjectStore(db.projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=current_user_id))
    return app
