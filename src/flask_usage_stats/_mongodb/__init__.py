"""The MongoDB store and the checks of its collection, with PyMongo."""
