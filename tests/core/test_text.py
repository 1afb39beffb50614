"""Text for error messages, log lines and terminals."""

import json

import pytest

from flask_usage_stats._core.text import escape, escape_csv, escape_json, short_repr

#: Control characters, line and paragraph separators, and characters that change the direction of text.
CONTROLS = "".join(
    map(chr, [*range(32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)])
)


def test_short_repr_has_80_characters_at_most():
    """A longer repr is truncated."""
    assert short_repr("x" * 78) == repr("x" * 78)
    assert len(short_repr("x" * 79)) == len(short_repr("x" * 1000)) == 80
    assert short_repr("x" * 1000).endswith("x...")


def test_short_repr_is_one_line_of_printable_text():
    """A value of another library may have any ``repr``."""

    class Value:
        def __repr__(self):
            return "a\n\x1b"

    assert short_repr(Value()) == r"a\n\x1b"
    assert short_repr(CONTROLS, 1000).isprintable()


def test_escaped_text_fits_on_one_line():
    """Non-printable characters are escaped, and the text is truncated."""
    assert escape("a\n\x1b\u202eé") == r"a\n\x1b\u202eé"
    assert escape("it's 5 \\ 2") == "it's 5 \\ 2"
    assert len(escape("x" * 1000)) == 500
    assert escape(CONTROLS).isprintable()
    assert escape("é\udc80", encoding="ascii") == r"\xe9\udc80"


def test_escaped_json_has_the_same_value():
    """JSON is escaped only where it could control a terminal, and its value does not change."""
    body = json.dumps({"name": f"{CONTROLS}\\é😀"}, ensure_ascii=False)
    escaped = escape_json(body, "utf-8")
    assert json.loads(escaped) == json.loads(body)
    assert escaped.isprintable()
    assert r"\u007f\u0080" in escaped
    assert r"\u202e" in escaped
    assert "é😀" in escaped


def test_escaped_csv_keeps_the_line_breaks_of_the_format():
    """Only the line ends of CSV are not escaped; those within a cell are."""
    body = 'name,plan\r\n\x9b31m\u202eé,"a\r\nb\n""\t"""\r\n,x\r\n'
    assert escape_csv(body, "UTF-8").split("\r\n") == [
        "name,plan",
        r'\x9b31m\u202eé,"a\r\nb\n""\t"""',
        ",x",
        "",
    ]
    assert escape_csv('"a","b\r\nc"\r\n', "utf-8") == '"a","b\\r\\nc"\r\n'


@pytest.mark.parametrize("char", CONTROLS)
def test_no_control_character_reaches_a_terminal(char):
    """Each control character is visible as an escape, in quoted and in other cells."""
    for body in (f"a{char}b", f'"a{char}b"'):
        assert escape_csv(body, "utf-8") == body.replace(char, repr(char)[1:-1])


def test_everything_but_ascii_is_escaped_without_a_unicode_encoding():
    """In another encoding, bytes of UTF-8 could be control characters."""
    assert escape_csv("ě😀\r\n", "latin-1") == "\\u011b\\U0001f600\r\n"
    assert escape_json('"ě😀"', "ascii") == r'"\u011b\ud83d\ude00"'
