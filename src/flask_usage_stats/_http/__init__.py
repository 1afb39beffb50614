"""The edge: views that turn a request into a response, with Flask."""
