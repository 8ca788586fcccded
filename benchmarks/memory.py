"""What a session takes of memory at its most: dockshell's own process, with what its keeper and guardians have and
don't share with it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping

from benchmarks.timing import Broken

__all__ = ["moving", "peak"]

_PATIENCE = 120  # seconds
_SAID = b"all of it"


def moving(size: int) -> tuple[str, ...]:
    """The command that peak() wants: it puts out so many bytes, says that this was all, and stays until its input
    ends."""
    return ("sh", "-c", f"dd if=/dev/zero bs=65536 count={size >> 16} 2>/dev/null; echo {_SAID.decode()}; cat")


def peak(argv: tuple[str, ...], env: Mapping[str, str], *, terminal: bool) -> float:
    """Runs the command, which is dockshell with moving(), at a terminal or in pipes → MiB. Raises Broken."""
    pid, stdin, stdout = _at_terminal(argv, env) if terminal else _in_pipes(argv, env)
    try:
        _read_all(stdout)
        kibibytes = _high_water(pid) + sum(map(_private, _children(pid)))
    except (OSError, TimeoutError) as error:
        raise Broken(f"the memory of {' '.join(argv)} can't be read: {error}") from None
    finally:
        os.kill(pid, signal.SIGTERM)
        for descriptor in {stdin, stdout}:
            os.close(descriptor)
        os.waitpid(pid, 0)
    return kibibytes / 1024


def _in_pipes(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, int, int]:
    theirs_in, stdin = os.pipe2(os.O_CLOEXEC)
    stdout, theirs_out = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, theirs_in, 0), (os.POSIX_SPAWN_DUP2, theirs_out, 1)]
    pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
    os.close(theirs_in)
    os.close(theirs_out)
    return pid, stdin, stdout


def _at_terminal(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, int, int]:
    master, peer = os.openpty()
    name = os.ttyname(peer)
    # The first terminal that a session's leader opens is the one that controls it.
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    try:
        pid = os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True)
    finally:
        os.close(peer)
    return pid, master, master


def _read_all(stdout: int) -> None:
    """Reads until it was said that this is all. Raises TimeoutError, OSError."""
    until = time.monotonic() + _PATIENCE
    end = b""
    while _SAID not in end:
        if not select.select([stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError(f"it took more than {_PATIENCE} s")
        piece = os.read(stdout, 1 << 16)
        if not piece:
            raise OSError("it ended early")
        end = (end + piece)[-len(_SAID) - len(piece) :]


def _high_water(pid: int) -> int:
    """VmHWM of proc_pid_status(5), in KiB."""
    return _figure(f"/proc/{pid}/status", "VmHWM:")


def _private(pid: int) -> int:
    """What a process shares with none, in KiB: proc_pid_smaps(5)."""
    rollup = f"/proc/{pid}/smaps_rollup"
    return _figure(rollup, "Private_Clean:") + _figure(rollup, "Private_Dirty:")


def _figure(path: str, name: str) -> int:
    with open(path, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
