"""Who a process is and what it may: ids, groups, the five capability sets, no_new_privs. capabilities(7),
credentials(7)."""

from __future__ import annotations

import ctypes
import os

from dockshell.linux.libc import call, prctl
from dockshell.model import noun

__all__ = [
    "NEEDED",
    "Capabilities",
    "become",
    "bound",
    "lacking",
    "last_capability",
    "no_new_privileges",
    "not_dumpable",
    "settle",
]

# What entering takes of the one who enters, by number and name.
NEEDED = {0: "CHOWN", 6: "SETGID", 7: "SETUID", 8: "SETPCAP", 18: "SYS_CHROOT", 19: "SYS_PTRACE", 21: "SYS_ADMIN"}
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 8, 24, 38
_PR_CAP_AMBIENT, _RAISE, _CLEAR_ALL = 47, 2, 4
_VERSION_3 = 0x20080522


@noun(frozen=True)
class Capabilities:
    """Three of the sets, as bit masks; permitted and effective follow from them at execve."""

    bounding: int
    inheritable: int = 0
    ambient: int = 0

    @classmethod
    def of(cls, status: dict[str, str]) -> Capabilities:
        """From the fields of /proc/PID/status."""
        bounding = int(status["CapBnd"], 16)
        return cls(bounding, int(status["CapInh"], 16) & bounding, int(status["CapAmb"], 16) & bounding)

    def executed(self, uid: int) -> int:
        """What a program without capabilities of its own has, executed by that user: for root all that the bounding set
        has, for anybody else what is ambient (capabilities(7), "Transformation of capabilities during execve")."""
        return self.bounding if uid == 0 else self.ambient & self.inheritable


def last_capability() -> int:
    """The highest capability that this kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read())


def lacking(mask: int, wanted: dict[int, str]) -> list[str]:
    """The names of those wanted capabilities that the mask doesn't hold."""
    return [name for number, name in wanted.items() if not mask >> number & 1]


def become(uid: int, gid: int, groups: tuple[int, ...] | None, capabilities: Capabilities) -> None:
    """Turns the calling process into that user with those capabilities: permitted and effective are the bounding set
    until execve settles them. groups None: they can't be set in this user namespace (user_namespaces(7), setgroups).
    Raises OSError."""
    prctl(_PR_SET_KEEPCAPS, 1)
    if groups is not None:
        os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    prctl(_PR_SET_KEEPCAPS, 0)
    _capset(capabilities.bounding, capabilities.bounding, capabilities.inheritable)
    prctl(_PR_CAP_AMBIENT, _CLEAR_ALL)
    for number in _bits(capabilities.ambient & capabilities.inheritable):
        prctl(_PR_CAP_AMBIENT, _RAISE, number)


def settle(uid: int, capabilities: Capabilities) -> None:
    """Leaves the calling process what it would have after execve(2), without one."""
    kept = capabilities.executed(uid)
    _capset(kept, kept, capabilities.inheritable)


def bound(keep: int, last: int) -> None:
    """Drops all but these capabilities from the bounding set, for ever."""
    for number in range(last + 1):
        if not keep >> number & 1:
            prctl(_PR_CAPBSET_DROP, number)


def no_new_privileges() -> None:
    """Nothing that is executed from here on can give more rights: PR_SET_NO_NEW_PRIVS."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def not_dumpable() -> None:
    """Nobody without CAP_SYS_PTRACE in our user namespace can look into or trace this process, until its next execve.
    What CVE-2019-5736 did to runc was to reach the entering process's own program through /proc."""
    prctl(_PR_SET_DUMPABLE, 0)


def _capset(effective: int, permitted: int, inheritable: int) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    masks = (effective, permitted, inheritable)
    data = (ctypes.c_uint32 * 6)(*(mask & 0xFFFFFFFF for mask in masks), *(mask >> 32 for mask in masks))
    call("capset", ctypes.byref(header), ctypes.byref(data))


def _bits(mask: int) -> list[int]:
    return [number for number in range(mask.bit_length()) if mask >> number & 1]
