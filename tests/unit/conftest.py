"""What the tests of the servers of files share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the session's user, empty."""
    there = tmp_path / "home"
    there.mkdir()
    return there


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The client's own directory."""
    there = tmp_path / "here"
    there.mkdir()
    return there
