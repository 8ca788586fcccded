"""The security module's label for a process that acts in a container and executes nothing, which is when a label is
taken on otherwise (labels.py): apparmor(7), selinux(8)."""

from __future__ import annotations

import os
from errno import EOPNOTSUPP

from dockshell.linux.libc import PROC, file_system
from dockshell.linux.safe_paths import own_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_LABEL", "UNLABELLED", "labelled"]

UNLABELLED = 77  # the result where the label can't be had
NO_LABEL = "its AppArmor or SELinux label may not be taken on by a process that executes nothing"


def labelled(label: str, act: Callable[[], int]) -> Callable[[], int]:
    """act, to be called inside, for a process that takes the label on before anything else; its result is UNLABELLED
    where it may not, as SELinux's policies have it, and then nothing is done. label: empty for none."""

    def do() -> int:
        try:
            _take(label)
        except OSError:
            return UNLABELLED
        return act()

    return do if label else act


def _take(label: str) -> None:
    """aa_change_profile(2), setcon(3). It makes system calls only. Raises OSError."""
    own = own_directory()
    try:
        if label.count(":") >= 3:
            descriptor, text = _opened(own, b"attr/current"), label.encode()
        else:
            text = b"changeprofile " + label.encode()
            try:
                descriptor = _opened(own, b"attr/apparmor/current")
            except FileNotFoundError:
                descriptor = _opened(own, b"attr/current")
    finally:
        os.close(own)
    try:
        if file_system(descriptor) != PROC:  # then something was mounted there
            raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


def _opened(own: int, name: bytes) -> int:
    return os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=own)
