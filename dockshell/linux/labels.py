"""The security module's label that a process gets at its next execve. apparmor(7), selinux(8)."""

from __future__ import annotations

import os

__all__ = ["label_of", "on_exec"]


def label_of(text: str) -> str:
    """The content of /proc/PID/attr/current → the label to give to another; empty for none.

    AppArmor writes `profile (mode)`, SELinux a context that ends in NUL; a process under no module reads as empty or
    `unconfined`."""
    label = text.rstrip("\0\n")
    profile, mode, _ = label.rpartition(" (")
    label = profile if mode else label
    return "" if label in ("", "unconfined", "kernel") else label


def on_exec(label: str) -> None:
    """The calling process's next execve takes on the label, or fails: aa_change_onexec(3), setexeccon(3). Needs our own
    /proc. Raises OSError."""
    apparmor = "/proc/thread-self/attr/apparmor/exec"
    selinux = label.count(":") >= 3
    path = "/proc/thread-self/attr/exec" if selinux or not os.path.exists(apparmor) else apparmor
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, label.encode() if selinux else b"exec " + label.encode())
    finally:
        os.close(descriptor)
