"""An application that authenticates requests with API keys, stored as hashes in MongoDB.

A key is ``ID.SECRET``: the record is found by the id, and the hash of the secret is compared in constant time.

    flask --app examples/api_key.py run
    curl -H 'X-Api-Key: ID.SECRET' http://127.0.0.1:5000/api/usage

Set MONGODB_URI to use another server than the one on localhost.
"""

import hashlib
import hmac
import os
import secrets

from flask import Flask, request
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, create_usage_blueprint


def hash_secret(secret):
    # A fast hash is enough: the secret is 32 random bytes, not a password that can be guessed.
    return hashlib.sha256(secret.encode()).digest()


def create_key(db, owner):
    """Create a key for an owner and return it; the secret is not stored and cannot be retrieved later."""
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    db.api_keys.insert_one({"_id": key_id, "owner": owner, "digest": hash_secret(secret)})
    return f"{key_id}.{secret}"


def create_app():
    app = Flask(__name__)
    client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
    db = client.get_default_database("platform")

    def authenticate():
        key_id, _, secret = request.headers.get("X-Api-Key", "").partition(".")
        key = db.api_keys.find_one({"_id": key_id})
        # Compare for unknown ids as well, so that the response time does not reveal whether an id exists.
        expected = key["digest"] if key else hash_secret("")
        if hmac.compare_digest(expected, hash_secret(secret)) and key:
            return key["owner"]
        return None

    store = ProjectStore(db.projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=authenticate))
    return app
