"""Values in messages: escaped, and cut short."""

from flask_usage_stats.errors import brief


def test_brief():
    """A value is shown by its repr, of 80 characters at most."""
    assert brief("x" * 78) == repr("x" * 78)
    assert len(brief("x" * 79)) == len(brief("x" * 1000)) == 80
    assert brief("x" * 1000).endswith("x...")
