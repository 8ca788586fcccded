"""The security module's label that a process gets at its next execve. apparmor(7), selinux(8)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.linux.calls import Calls

__all__ = ["label_of", "on_exec"]


def label_of(text: str) -> str:
    """The content of /proc/PID/attr/current → the label to give to another; empty for none.

    AppArmor writes `profile (mode)`, SELinux a context that ends in NUL; a process under no module reads as empty or
    `unconfined`."""
    label = text.rstrip("\0\n")
    profile, mode, _ = label.rpartition(" (")
    label = profile if mode else label
    return "" if label in ("", "unconfined", "kernel") else label


def on_exec(calls: Calls, label: str) -> tuple[int, int]:
    """Adds the calls after which a process's next execve takes on the label, or fails: aa_change_onexec(3),
    setexeccon(3). They need our own /proc. Returns the two entries whose argument is yet to be set: the descriptor that
    the process opens for it, the lowest number that is free by then."""
    apparmor = "/proc/thread-self/attr/apparmor/exec"
    selinux = label.count(":") >= 3
    path = "/proc/thread-self/attr/exec" if selinux or not os.path.exists(apparmor) else apparmor
    text = label.encode() if selinux else b"exec " + label.encode()
    calls.add("openat", -1, path.encode() + b"\0", os.O_WRONLY | os.O_CLOEXEC)
    return calls.add("write", -1, text, len(text)), calls.add("close", -1)
