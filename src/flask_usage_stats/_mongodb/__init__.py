"""Everything that talks to MongoDB, with PyMongo."""
