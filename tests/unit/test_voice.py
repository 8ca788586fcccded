"""What dockshell says on stderr."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dockshell.voice import wrapped


@given(st.lists(st.text("ab'`-", min_size=1, max_size=30), min_size=1, max_size=40), st.integers(20, 200))
def test_lines_break_between_words(words: list[str], width: int) -> None:
    """No word is lost or broken, and no line is wider than the terminal but for a single word that is."""
    lines = wrapped(" ".join(words), width).split("\r\n")
    assert [word for line in lines for word in line.split()] == words
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


@given(st.text("ab \\`", max_size=99), st.integers(0, 19))
def test_a_terminal_without_a_width_breaks_lines_itself(text: str, width: int) -> None:
    """Its driver says 0, or less than words take."""
    assert wrapped(text, width) == text
