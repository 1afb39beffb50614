"""Values in messages: escaped, and cut short."""

from flask_usage_stats._core.text import short_repr


def test_brief():
    """A value is shown by its repr, of 80 characters at most."""
    assert short_repr("x" * 78) == repr("x" * 78)
    assert len(short_repr("x" * 79)) == len(short_repr("x" * 1000)) == 80
    assert short_repr("x" * 1000).endswith("x...")
