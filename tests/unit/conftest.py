"""What the tests of the servers of files share; and no property test is held to a time, which a busy machine breaks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("dockshell", deadline=None)
settings.load_profile("dockshell")


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
