"""The time that a logger has put before a line, as TAI64N: cr.yp.to/libtai/tai64.html."""

from __future__ import annotations

import re
import time

__all__ = ["STAMP", "readable"]

STAMP = re.compile(rb"@(4[0-9a-f]{15})([0-9a-f]{8}) ")
_ZERO = 1 << 62  # 1970, by TAI
_PLAIN = 10  # svlogd and multilog: ten seconds added to the system's clock, whatever the date
# s6-log: TAI itself, which the system's clock has been behind by so many since the last leap second.
_TAI = 37
_LAST_LEAP = 1483228800  # 2017-01-01


def readable(line: bytes, *, tai: bool) -> bytes:
    """The line with such a time at its start as `docker logs --timestamps` has it; any other, and what is no such time,
    as it is. tai: by leap seconds, as s6 counts."""
    match = STAMP.match(line)
    if not match:
        return line
    seconds = int(match[1], 16) - _ZERO - (_TAI if tai else _PLAIN)
    nanoseconds = int(match[2], 16)
    # Which leap seconds there were before is not known here; nor is a year of five digits one that a log is from.
    if not (_LAST_LEAP if tai else 0) <= seconds < 253402300800 or nanoseconds >= 10**9:
        return line
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}Z "
    return stamp.encode() + line[match.end() :]
