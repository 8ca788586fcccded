"""Ten seconds of fuzzing for each target (conftest.py). Its corpus is run by tests/unit/test_fuzz.py."""

from __future__ import annotations

import importlib.util

import pytest

from tests.fuzz import TARGETS
from tests.fuzz.running import Outcome

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="there is no atheris for this machine")


@pytest.mark.parametrize("fuzzed", sorted(TARGETS))
def test_nothing_is_found(fuzzed: str, outcome: Outcome) -> None:
    """An input that is a finding stays in .venv/fuzz, and is tried first the next time."""
    assert not outcome.finding, str(outcome)
    assert outcome.executions > 20
