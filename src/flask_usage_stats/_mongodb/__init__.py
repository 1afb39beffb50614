"""The MongoDB store and its checks, built on PyMongo."""
