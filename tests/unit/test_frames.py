"""frames: the two output streams of an exec on one connection."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.engines.frames import Frames
from dockshell.errors import SessionLost

PARTS = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=8)


def encoded(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data for stream, data in parts)


@given(PARTS, st.lists(st.integers(0, 2000), max_size=10))
def test_cut_anywhere_comes_out_whole(parts: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """However the bytes arrive, each stream's are what was sent, in order."""
    whole = encoded(parts)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    frames = Frames()
    found = [each for start, end in pairwise(places) for each in frames.feed(whole[start:end])]
    for stream in (1, 2):
        assert b"".join(d for s, d in found if s == stream) == b"".join(d for s, d in parts if s == stream)
    assert frames.whole


@given(st.binary(max_size=400))
def test_any_bytes_give_content_or_an_error(data: bytes) -> None:
    """Nothing but SessionLost is raised, and never more comes out than went in."""
    try:
        found = Frames().feed(data)
    except SessionLost:
        return
    assert sum(len(each) for _, each in found) <= len(data)


def test_length_that_is_claimed_costs_nothing() -> None:
    """A frame of 4 GB passes through as it comes."""
    frames = Frames()
    assert frames.feed(b"\x01\0\0\0\xff\xff\xff\xffabc") == [(1, b"abc")]
    assert not frames.whole


def test_stdins_stream_counts_as_stdout() -> None:
    """As the engine's own client has it."""
    assert Frames().feed(b"\0\0\0\0\0\0\0\x01a") == [(1, b"a")]


@pytest.mark.parametrize("head", [b"HTTP/1.1", b"\x03\0\0\0\0\0\0\x01", b"\x01\0\x01\0\0\0\0\x01"])
def test_what_is_no_frame_is_an_error(head: bytes) -> None:
    """An engine, or something else, that sends what is no stream."""
    with pytest.raises(SessionLost):
        Frames().feed(head + b"x")
