"""A running process's seccomp program, read by ptrace(2) and installed again: copied, so that it can't differ.
seccomp(2)."""

from __future__ import annotations

import ctypes
import os
from time import monotonic, sleep

from dockshell.linux.libc import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.linux.calls import Calls

__all__ = ["install", "program_of"]

_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_WALL = 0x40000000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_INSTRUCTION = 8  # bytes of a struct sock_filter
_PATIENCE = 5.0  # seconds for the process to stop: it has to be given a processor for that
_ASLEEP = 1.0  # seconds for one that sleeps uninterruptibly, which may do so for ever
_TURN = 5.0  # seconds for another like us, who looks at the same process, to be done: it has one tracer at a time
_PAUSE = 0.005  # seconds at the most between two tries
_DOUBT = 0.3  # seconds after which a refusal while nobody traces it is believed, and as many looks,
_LOOKS = 50  # for on a busy machine few fit into that time
_LONGEST = 60.0  # seconds in all: something inside may have one tracer follow another for ever


def program_of(pid: int) -> bytes:
    """The filter that was installed first, in the kernel's classic BPF: the engine's, whatever the process added for
    itself later. The process stops for less than a millisecond. Raises OSError: EPERM where it may not be traced (or
    somebody else does), EACCES without CAP_SYS_ADMIN, EINVAL where it has no filter, ETIMEDOUT."""
    _seize(pid)
    try:
        _ptrace(_INTERRUPT, pid)
        _await_stop(pid)
        length = _ptrace(_GET_FILTER, pid)
        program = ctypes.create_string_buffer(length * _INSTRUCTION)
        _ptrace(_GET_FILTER, pid, ctypes.addressof(program))
        return program.raw
    finally:
        # A process that hasn't stopped can't be detached from; the kernel does that when we end.
        _detach(pid)


def install(calls: Calls, program: bytes) -> None:
    """Adds the call that binds a process to the program. Needs CAP_SYS_ADMIN in its user namespace or no_new_privs."""
    calls.add("prctl", _PR_SET_SECCOMP, _MODE_FILTER, [len(program) // _INSTRUCTION, program])


def _seize(pid: int) -> None:
    """Becomes the tracer of the process, after those that are before us, of whom there may be hundreds."""
    pause, tracer, since, looks = 0.0002, b"0", monotonic(), 0
    give_up = since + _LONGEST
    while True:
        try:
            _ptrace(_SEIZE, pid)
            return
        except PermissionError:
            # One before us may have let go between our try and this look, so only many looks tell that it is nobody
            # else, but the kernel that turns us down.
            seen, now = _told(pid, b"TracerPid"), monotonic()
            if seen != tracer:
                tracer, since, looks = seen, now, 0
            looks += 1
            if looks > _LOOKS and now - since > (_DOUBT if tracer == b"0" else _TURN):
                raise
            if now > give_up:
                raise
            sleep(pause)
            pause = min(pause * 1.5, _PAUSE)


def _told(pid: int, name: bytes) -> bytes:
    """What /proc/PID/status tells by that name: proc_pid_status(5)."""
    with open(f"/proc/{pid}/status", "rb") as file:
        return file.read().partition(b"\n" + name + b":\t")[2].partition(b"\n")[0]


def _ptrace(request: int, pid: int, data: int = 0) -> int:
    return call("ptrace", ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(0), ctypes.c_void_p(data))


def _await_stop(pid: int) -> None:
    since = monotonic()
    while os.waitpid(pid, os.WNOHANG | _WALL)[0] == 0:
        waited = monotonic() - since
        if waited > _PATIENCE or (waited > _ASLEEP and _told(pid, b"State").startswith(b"D")):
            raise TimeoutError(110, "the container's first process can't be stopped to read its seccomp filter")
        sleep(0.0001)


def _detach(pid: int) -> None:
    try:
        _ptrace(_DETACH, pid)
    except OSError:
        pass
