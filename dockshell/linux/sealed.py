"""A tiny static program in a sealed memfd, which makes a list of system calls (calls.py) and becomes what that says.

It takes the place of our own interpreter in all that enters a container by execve(2). What a program inside reaches by
/proc/self/exe, as the interpreter of a script or by what it leaves running, is then a file that nobody can write to
(CVE-2019-5736), of a process whose memory and arguments hold nothing of the host's. memfd_create(2), elf(5)."""

from __future__ import annotations

import os
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from struct import pack

from dockshell.linux import calls

__all__ = ["BASE", "refuses", "sealed"]

BASE = 0x10000000  # where the list is in the program's memory
_TEXT, _ALIGNED = 0x400000, 0x10000  # no machine has larger pages
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_EXEC = 1, 2, 0x10
_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
_NOEXEC = "/proc/sys/vm/memfd_noexec"

# The number that ELF has for a machine, and the instructions: made from sealed_MACHINE.s, which a test compares.
_X86_64 = bytes.fromhex(
    "bd00000010488d9dd0000000488b03488b7b08488b7310488b53184c8b53204c8b43284c8b4b304883f8ff75050fb607eb02"
    "0f0548894358483d01f0ffff731b488b4b384883f9ff740b4839c87406488b5b50ebb7488b5b48ebb148f7d8488b4b40480f"
    "a3c172e748899d980000004889ebeb98"
)
_AARCH64 = bytes.fromhex(
    "1400a2d293420391680240a9610a41a9631242a9652643a91f0500b1610000540000403902000014010000d4602e00f91ffc"
    "3fb1220100543f0500b1a00000541f0009eb60000054732a40f9efffff17732640f9edffff17e00300cb692240f92925c09a"
    "29ff0737934e00f9f30314aae6ffff17"
)
_MACHINES = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}


def refuses() -> str:
    """Why the program can't run on this machine; empty where it can."""
    machine = os.uname().machine
    if machine not in _MACHINES or not calls.known():
        return f"the program that enters is made for {' and '.join(_MACHINES)}, and this is {machine}"
    try:
        with open(_NOEXEC, "rb") as file:
            if file.read().strip() == b"2":
                return "vm.memfd_noexec=2 forbids the program in memory that enters: sysctl vm.memfd_noexec=1"
    except FileNotFoundError:
        pass  # Linux before 6.3
    return ""


def sealed(image: bytes) -> int:
    """The descriptor of the program with that list, as Calls.image(BASE) has it. Raises OSError."""
    flags = _MFD_CLOEXEC | _MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create("dockshell", flags | _MFD_EXEC)
    except OSError:
        descriptor = os.memfd_create("dockshell", flags)  # Linux before 6.3 doesn't know the last flag
    try:
        for offset, content in (0, _head(len(image))), (_ALIGNED, image):
            if os.pwrite(descriptor, content, offset) != len(content):
                raise OSError("the program that enters can't be written")
        fcntl(descriptor, F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _head(length: int) -> bytes:
    """The ELF header, three program headers and the instructions. length: bytes of the list."""
    machine, code = _MACHINES[os.uname().machine]
    start = 64 + 3 * 56
    header = pack("=16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, _TEXT + start, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    text = pack("=IIQQQQQQ", 1, 5, 0, _TEXT, _TEXT, start + len(code), start + len(code), _ALIGNED)
    data = pack("=IIQQQQQQ", 1, 6, _ALIGNED, BASE, BASE, length, length, _ALIGNED)
    stack = pack("=IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # PT_GNU_STACK: not executable
    return header + text + data + stack + code
