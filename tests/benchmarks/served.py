"""What gunicorn and granian serve: ours, for the database that the environment names."""

import os

from peers import ours
from pymongo import MongoClient

app = ours(MongoClient(os.environ["MONGODB_URI"])[os.environ["DATABASE"]].projects)
