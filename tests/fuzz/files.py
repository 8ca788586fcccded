"""Files that somebody else wrote."""

from __future__ import annotations

from dockshell.bridge import authorized
from dockshell.ssh import authorized as ssh_authorized

__all__ = ["authorized_keys"]


def authorized_keys(data: bytes) -> None:
    """What `serve` lets in by, and what an sshd inside does: nothing is raised, and a line is either an entry or has a
    reason that can be printed."""
    entries, reasons = authorized.parse(data)
    numbers = [each.line for each in entries] + [number for number, _ in reasons]
    assert len(set(numbers)) == len(numbers) <= data.count(b"\n") + 1
    assert all(reason.isprintable() for _, reason in reasons)
    for each in entries:
        assert each.kind and each.blob and each.valid("192.0.2.1", 0.0) in (True, False)
        assert each.comes_from("2001:db8::1%eth0") in (True, False) and each.admits("web") in (True, False)
    assert all(ssh_authorized.parse(data))
