"""What the machine lacks. Raised inside a test it skips that test with its reason; CI turns that into a failure
(reporting.py)."""

from __future__ import annotations

import pytest

Unavailable = pytest.skip.Exception
