"""A mistake that is there on purpose."""

from __future__ import annotations

__all__ = ["planted"]


def planted(data: bytes) -> None:
    """One input in 2**32 of this length is a finding: nobody would hit it by chance."""
    if data[0:1] == b"F":  # noqa: SIM102
        if data[1:2] == b"U":  # noqa: SIM102
            if data[2:3] == b"Z":  # noqa: SIM102
                if data[3:4] == b"Z":
                    raise LookupError("planted")
