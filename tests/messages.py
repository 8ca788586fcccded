"""dockshell's own lines on stderr, as tests compare them."""

from __future__ import annotations

import re

# commands/waiting.py, voice.py and the stand-ins say these when something takes longer than a moment, so how busy the
# machine is decides whether they are there.
_PROGRESS = re.compile(rb"^dockshell: .* \.\.\.\n", re.MULTILINE)


def without_progress(stderr: bytes) -> bytes:
    """stderr without the lines that say what is being waited for (`dockshell: looking at the services in web ...`)."""
    return _PROGRESS.sub(b"", stderr)
