"""Podman's helper loses sizes of a terminal that come in quick succession; dockshell sends the last one again."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Callable
from typing import Any

from tests.contract.watching import processes, unique, until
from tests.world import Peer, World


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def _waiting(pid: int) -> int:
    """The bytes that conmon has yet to read of its pipe of orders."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{number}").endswith("/ctl"):
            pipe = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK)
            try:
                return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), "little")
            finally:
                os.close(pipe)
    raise AssertionError("conmon has no pipe of orders")


def test_the_last_size_arrives(podman: Peer, terminal: Callable[..., Any], world: World) -> None:
    """Though conmon finds two in its pipe, and takes the first twice."""
    world.need_root()
    number = unique()
    script = f"echo be-gun; sleep {number} & while :; do stty size; sleep 0.1; done"
    child = terminal("exec", "--via", "exec", podman.shared("busybox"), "sh", "-c", script, engine=podman)
    child.expect_exact(b"be-gun\r\n")
    child.expect_exact(b"24 80\r\n")
    conmon = _parent(_parent(until(lambda: processes(f"sleep\0{number}"))[0]))
    os.kill(conmon, signal.SIGSTOP)
    try:
        child.setwinsize(30, 100)
        until(lambda: _waiting(conmon) == len("1 30 100\n"))
        child.setwinsize(40, 132)
        until(lambda: _waiting(conmon) == len("1 30 100\n1 40 132\n"))
    finally:
        os.kill(conmon, signal.SIGCONT)
    child.expect_exact(b"40 132\r\n")
