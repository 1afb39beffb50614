"""The two formats of a response: JSON and CSV."""
