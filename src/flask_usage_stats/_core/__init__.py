"""Values, rows and reports: pure computation, without Flask, PyMongo or I/O."""
