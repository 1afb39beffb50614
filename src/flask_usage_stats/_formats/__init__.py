"""The two forms of a response: JSON and CSV."""
