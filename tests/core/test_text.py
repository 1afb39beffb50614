"""Text for error messages and log lines."""

from flask_usage_stats._core.text import escape, short_repr


def test_short_repr_has_80_characters_at_most():
    """A longer repr is truncated."""
    assert short_repr("x" * 78) == repr("x" * 78)
    assert len(short_repr("x" * 79)) == len(short_repr("x" * 1000)) == 80
    assert short_repr("x" * 1000).endswith("x...")


def test_escaped_text_fits_on_one_line():
    """Non-printable characters are escaped, and the text is truncated."""
    assert escape("a\n\x1b\u202eé") == r"a\n\x1b\u202eé"
    assert len(escape("x" * 1000)) == 500
