"""The security module's label for a process that acts in a container and executes nothing, which is when a label is
taken on otherwise (labels.py): apparmor(7), selinux(8)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_LABEL", "UNLABELLED", "labelled"]

UNLABELLED = 77  # the exit code of who was to act and can't have the label
NO_LABEL = "its AppArmor or SELinux label may not be taken on by a process that executes nothing"


def labelled(label: str, act: Callable[[], int]) -> Callable[[], int]:
    """act, for inside, done by a process that takes the label on before; UNLABELLED where it can't, as SELinux's
    policies may have it, and then nothing is done. label: empty for none.

    It goes through our own /proc, which is opened now, for what the container has there may be anything
    (CVE-2019-16884, CVE-2025-52881). The file itself can be written to by the very process that opened it alone, and
    with the credentials that it had (proc_pid_attr_write in the kernel's fs/proc/base.c), so it is opened inside.
    aa_change_profile(2), setcon(3)."""
    if not label:
        return act
    apparmor = "thread-self/attr/apparmor/current"
    selinux = label.count(":") >= 3
    path = "thread-self/attr/current" if selinux or not os.path.exists(f"/proc/{apparmor}") else apparmor
    text = label.encode() if selinux else b"changeprofile " + label.encode()
    try:
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return lambda: UNLABELLED

    def do() -> int:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
            try:
                os.write(descriptor, text)
            finally:
                os.close(descriptor)
        except OSError:
            return UNLABELLED
        finally:
            os.close(proc)
        return act()

    return do
