"""The Flask blueprint: its view, and the conversion of requests and reports."""
