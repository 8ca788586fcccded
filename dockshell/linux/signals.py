"""Signals without their names' enums: the C half of Python's `signal`. The other half's import takes the hot path 6
ms."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["signal"]
