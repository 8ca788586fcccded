"""This kernel, and what we may do with it: what the nsenter route and the toolbox build on."""

from __future__ import annotations

import errno
import os
import re

from dockshell.doctor.finding import Finding, as_root
from dockshell.engines.kernel import KernelEngine
from dockshell.linux.credentials import NEEDED, lacking
from dockshell.linux.libc import OPENAT2, syscall
from dockshell.routes.nsenter import why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["findings"]

_SUBJECT = "kernel"
# Asked with words that make no sense, a kernel that has the call says so, and one that hasn't says ENOSYS: intro(2).
_CALLS = (
    ("pidfd_open", 434, (-1, 0), "wrong", "no process can be proved to be a container's (Linux 5.3)"),
    ("openat2", OPENAT2, (-1, 0, 0, 0), "wrong", "a container's files can't be read safely (Linux 5.6)"),
    ("move_mount", 429, (-1, 0, -1, 0, 0), "note", "tools are brought by the engine alone (Linux 5.2)"),
    ("clone3", 435, (0, 0), "note", "entering takes some ten milliseconds longer (Linux 5.7)"),
)
_HIDDEN = re.compile(r"^\S+ /proc proc \S*\bhidepid=(?!0|off)", re.MULTILINE)  # proc(5)
_NOBODY_MAY_TRACE = "3"  # Documentation/admin-guide/LSM/Yama.rst: up to the next start of the machine


def findings() -> Iterator[Finding]:
    """What there is to say of it."""
    if reason := KernelEngine().refuses():
        yield Finding(_SUBJECT, "wrong", reason)
        return
    yield from _features()
    yield from _rights()
    yield from _sight()


def _features() -> Iterator[Finding]:
    lacks = [
        Finding(_SUBJECT, grade, f"this kernel has no {name}, so {effect}: run a newer one")
        for name, number, words, grade, effect in _CALLS
        if not _has(number, words)
    ]
    if "Seccomp" not in _status():
        lacks.append(Finding(_SUBJECT, "note", "this kernel has no seccomp: containers may make any system call"))
    if lacks:
        yield from lacks
        return
    version = 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1
    yield Finding(_SUBJECT, "ok", f"Linux {os.uname().release}, cgroup v{version}, with all system calls that are used")


def _has(number: int, words: tuple[int, ...]) -> bool:
    try:
        syscall(number, *words)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _rights() -> Iterator[Finding]:
    """nsenter's, which is to be had by root with all that NEEDED names."""
    missing = lacking(int(_status()["CapEff"], 16), NEEDED)
    if not missing:
        yield Finding(_SUBJECT, "ok", "all rights for nsenter, the fastest way in")
    elif os.geteuid():
        what = f"nsenter, the fastest way in, is not open to you: {why_not(PermissionError(errno.EPERM, ''))}"
        yield Finding(_SUBJECT, "note", what)
    else:
        what = f"nsenter, the fastest way in, is not open: this root lacks {', '.join(missing)} (is it in a container?)"
        yield Finding(_SUBJECT, "note", what)


def _sight() -> Iterator[Finding]:
    """Whether processes can be seen and traced."""
    if os.geteuid() and _HIDDEN.search(_content("/proc/self/mounts")):
        what = "/proc hides the processes of others (hidepid), so pid:N and kernel:// find your own only"
        yield Finding(_SUBJECT, "note", what, as_root("mount -o remount,hidepid=0 /proc"))
    if _content("/proc/sys/kernel/yama/ptrace_scope").strip() == _NOBODY_MAY_TRACE:
        what = (
            "nobody may trace here (kernel.yama.ptrace_scope is 3), so no seccomp filter can be carried over and "
            "nsenter refuses: set it to 1 in /etc/sysctl.d and start the machine anew"
        )
        yield Finding(_SUBJECT, "note", what)


def _status() -> dict[str, str]:
    """Our own, without a pidfd (linux/process.py), which may be what is lacking here: proc_pid_status(5)."""
    lines = (line.partition(":") for line in _content("/proc/self/status").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
