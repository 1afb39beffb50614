"""Callers with API keys, of which MongoDB holds only hashes.

A key is ``ID.SECRET``: the id finds the record, the secret is compared by its hash in constant time.

    flask --app examples/api_key.py run
    curl -H 'X-Api-Key: ID.SECRET' http://127.0.0.1:5000/api/usage
"""

import hashlib
import hmac
import os
import secrets

from flask import Flask, request
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, create_usage_blueprint


def digest(secret):
    # A fast hash is enough: the secret is 32 random bytes, not a password that can be guessed.
    return hashlib.sha256(secret.encode()).digest()


def make_key(db, owner):
    """Make a key for an owner; this is the only time that the secret is seen."""
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    db.api_keys.insert_one({"_id": key_id, "owner": owner, "digest": digest(secret)})
    return f"{key_id}.{secret}"


def create_app():
    app = Flask(__name__)
    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    def owner_of_key():
        key_id, _, secret = request.headers.get("X-Api-Key", "").partition(".")
        key = db.api_keys.find_one({"_id": key_id})
        # An unknown id takes the same path as a wrong secret, so that the time does not tell them apart.
        known = key["digest"] if key else digest("")
        if hmac.compare_digest(known, digest(secret)) and key:
            return key["owner"]
        return None

    store = ProjectStore(db.projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=owner_of_key))
    return app
