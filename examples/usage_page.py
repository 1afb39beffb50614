"""A hosting platform whose users log in, and see in a page how many requests their projects get.

    SECRET_KEY=... flask --app examples/usage_page.py usage ensure-indexes
    SECRET_KEY=... flask --app examples/usage_page.py run

Set MONGODB_URI to use another server than the one on localhost.
"""

import os

from flask import Flask, abort, g, redirect, request, session
from pymongo import MongoClient
from werkzeug.security import check_password_hash

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder, create_usage_blueprint

ACCOUNT = """<!doctype html>
<html lang="en">
<title>Usage</title>
<script type="module" src="/api/usage/usage-stats.js"></script>
<main>
<usage-stats history="30" refresh="30"><a slot="unauthenticated" href="/login">Log in</a></usage-stats>
</main>
</html>
"""
LOGIN = """<!doctype html>
<html lang="en">
<title>Log in</title>
<form method="post">
<label>Name <input name="name"></label>
<label>Password <input name="password" type="password"></label>
<button>Log in</button>
</form>
</html>
"""


def create_app():
    app = Flask(__name__)
    app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SAMESITE="Lax")
    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    @app.get("/")
    def account():
        return ACCOUNT

    @app.get("/login")
    def form():
        return LOGIN

    @app.post("/login")
    def login():
        user = db.users.find_one({"name": request.form["name"]})
        if user is None or not check_password_hash(user["password"], request.form["password"]):
            abort(401)
        session.clear()
        session["user_id"] = str(user["_id"])
        return redirect("/")

    @app.get("/sites/<domain>")
    def serve(domain):
        project = db.projects.find_one({"domain": domain}, {"page": 1})
        if project is None:
            abort(404)
        g.project_id = project["_id"]
        return project["page"]

    store, history = ProjectStore(db.projects), UsageHistory(db.usage_history)
    app.register_blueprint(
        create_usage_blueprint(store, authenticate=lambda: session.get("user_id"), history=history, element=True)
    )
    recorder = UsageRecorder(store, history=history)
    recorder.init_app(app, project_id=lambda: g.get("project_id"))
    app.extensions["usage_recorder"] = recorder
    return app
