"""Tests that may fail now and then, each with its reason. What fails once and passes when tried again fails a run with
CI=true, unless it is here (reporting.py). A flaw that nobody has explained yet is a reason; a busy machine is none."""

from __future__ import annotations

# How the node ids begin, and why.
_SIZE = "conmon reads a size from one pipe and input from another: on a busy machine the input may be first"
KNOWN: dict[str, str] = {
    "tests/contract/test_terminal.py::test_size_is_right_from_the_first_byte[exec-rootless-podman": _SIZE,
}


def reason(test: str) -> str:
    """Why that test, by its node id, may fail now and then; empty where it may not."""
    return next((why for beginning, why in KNOWN.items() if test.startswith(beginning)), "")
