"""The application for gunicorn and granian, with the database from the environment."""

import os

from peers import ours
from pymongo import MongoClient

app = ours(MongoClient(os.environ["MONGODB_URI"])[os.environ["DATABASE"]].projects)
