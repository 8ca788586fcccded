"""What a toolbox brings into containers with nothing inside."""

from __future__ import annotations

import shutil

from dockshell.doctor.finding import Finding, as_root
from dockshell.tools.busybox import NoTools, static_busybox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["findings"]

_SUBJECT = "tools"
# Who installs packages here, and under which name theirs has a static one.
_INSTALLS = {
    "apt": "apt install busybox-static",
    "apk": "apk add busybox-static",
    "dnf": "dnf install busybox",
}


def findings() -> Iterator[Finding]:
    """Is there a static busybox?"""
    try:
        yield Finding(_SUBJECT, "ok", f"a static busybox to bring into empty containers: {static_busybox()}")
    except NoTools as lack:
        remedy = next((as_root(words) for program, words in _INSTALLS.items() if shutil.which(program)), "")
        yield Finding(_SUBJECT, "note", str(lack), remedy)
