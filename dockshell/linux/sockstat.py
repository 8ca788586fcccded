"""How many sockets a process's network has, which the kernel counts: to list them takes it milliseconds."""

from __future__ import annotations

__all__ = ["tcp_in_use"]


def tcp_in_use(pid: int) -> int | None:
    """The TCP sockets in the network namespace of that process that listen or are connected; None where that can't be
    read. Takes no privilege: proc_pid_net(5), sockstat."""
    found = None
    for table in ("sockstat", "sockstat6"):
        try:
            with open(f"/proc/{pid}/net/{table}", "rb", buffering=0) as file:
                text = file.read()
        except OSError:
            continue  # a kernel without IPv6
        for line in text.split(b"\n"):
            words = line.split(None, 3)
            if words[:2] in ([b"TCP:", b"inuse"], [b"TCP6:", b"inuse"]):
                found = (found or 0) + int(words[2])
    return found
