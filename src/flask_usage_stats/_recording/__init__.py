"""Counting of requests: the recorder with its queue and thread, and its hooks in a Flask application."""
