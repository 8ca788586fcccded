"""Who a process is and what it may: ids, groups, the five capability sets, no_new_privs. capabilities(7),
credentials(7)."""

from __future__ import annotations

from struct import pack

from dockshell.linux.libc import prctl
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.linux.calls import Calls

__all__ = [
    "NEEDED",
    "Capabilities",
    "become",
    "bound",
    "hide",
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


def become(calls: Calls, uid: int, gid: int, groups: tuple[int, ...] | None, capabilities: Capabilities) -> None:
    """Adds the calls that turn a process into that user with those capabilities: permitted and effective are the
    bounding set, until settle(). groups None: they can't be set in this user namespace (user_namespaces(7),
    setgroups)."""
    calls.add("prctl", _PR_SET_KEEPCAPS, 1)
    if groups is not None:
        calls.add("setgroups", len(groups), pack(f"={len(groups)}I", *groups))
    calls.add("setresgid", gid, gid, gid)
    calls.add("setresuid", uid, uid, uid)
    calls.add("prctl", _PR_SET_KEEPCAPS, 0)
    _capset(calls, capabilities.bounding, capabilities.inheritable)
    calls.add("prctl", _PR_CAP_AMBIENT, _CLEAR_ALL)
    for number in _bits(capabilities.ambient & capabilities.inheritable):
        calls.add("prctl", _PR_CAP_AMBIENT, _RAISE, number)


def settle(calls: Calls, uid: int, capabilities: Capabilities) -> None:
    """Adds the call that leaves a process what it would have after execve(2). Before execve, so that a file is
    executed only by who may, as runc does."""
    _capset(calls, capabilities.executed(uid), capabilities.inheritable)


def bound(calls: Calls, keep: int, last: int) -> None:
    """Adds the calls that drop all but these capabilities from the bounding set, for ever."""
    for number in range(last + 1):
        if not keep >> number & 1:
            calls.add("prctl", _PR_CAPBSET_DROP, number)


def no_new_privileges(calls: Calls) -> None:
    """Adds the call after which nothing that is executed can give more rights: PR_SET_NO_NEW_PRIVS."""
    calls.add("prctl", _PR_SET_NO_NEW_PRIVS, 1)


def hide(calls: Calls) -> None:
    """Adds the call after which a process is as by not_dumpable()."""
    calls.add("prctl", _PR_SET_DUMPABLE, 0)


def not_dumpable() -> None:
    """Nobody without CAP_SYS_PTRACE in our user namespace can look into or trace this process, until its next execve.
    What CVE-2019-5736 did to runc was to reach the entering process's own program through /proc."""
    prctl(_PR_SET_DUMPABLE, 0)


def _capset(calls: Calls, kept: int, inheritable: int) -> None:
    low, high = ((kept & mask, kept & mask, inheritable & mask) for mask in (0xFFFFFFFF, 0xFFFFFFFF << 32))
    data = pack("=6I", *low, *(each >> 32 for each in high))
    calls.add("capset", pack("=2I", _VERSION_3, 0), data)


def _bits(mask: int) -> list[int]:
    return [number for number in range(mask.bit_length()) if mask >> number & 1]
