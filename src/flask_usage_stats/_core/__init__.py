"""The pure part: values, rows and reports, without Flask, PyMongo or I/O."""
