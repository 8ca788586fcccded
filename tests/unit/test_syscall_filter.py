"""What a confined process may ask the kernel for."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest

from dockshell.linux.syscall_filter import _CALLS, _CHOSEN, program


def _run(code: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel's machine for classic BPF makes of it: linux/bpf_common.h, as far as it is used."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *(*arguments, *[0] * 6)[:6])
    lines = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    at = held = 0
    while True:
        kind, true, false, value = lines[at]
        at += 1
        if kind == 0x06:
            return int(value)
        if kind == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        else:
            at += true if (held == value if kind == 0x15 else held & value) else false


_X86, _ARM = 0xC000003E, 0xC00000B7
_ALLOW, _DENY, _KILL = 0x7FFF0000, 0x00050001, 0x80000000


@pytest.mark.parametrize(("machine", "architecture", "column"), [("x86_64", _X86, 0), ("aarch64", _ARM, 1)])
def test_what_is_allowed(machine: str, architecture: int, column: int) -> None:
    """Those calls and no others; some with those arguments alone."""
    code = program(machine)
    allowed = {numbers[column] for numbers in _CALLS.values()}
    for number in set(range(600)) - {each[0][column] for each in _CHOSEN.values()}:
        verdict = _run(code, architecture, number)
        assert verdict == (_ALLOW if number in allowed else _DENY), number
    assert _run(code, architecture, 0x40000000) == _DENY  # the x32 calls
    assert _run(code, 0x40000003, 0) == _KILL  # those of another architecture
    choices = {name: numbers[column] for name, (numbers, _) in _CHOSEN.items()}
    for name in ("mmap", "mprotect"):
        assert _run(code, architecture, choices[name], 0, 0, 3) == _ALLOW
        assert _run(code, architecture, choices[name], 0, 0, 7) == _DENY
    assert _run(code, architecture, choices["fcntl"], 0, 8) == _DENY  # F_SETOWN
    assert _run(code, architecture, choices["ioctl"], 0, 0x5412) == _DENY  # TIOCSTI
    assert _run(code, architecture, choices["ioctl"], 0, 0x5421) == _ALLOW
    assert _run(code, architecture, choices["socketpair"], 1) == _ALLOW
    assert _run(code, architecture, choices["socketpair"], 30) == _DENY  # AF_TIPC
    assert _run(code, architecture, choices["setsockopt"], 3, 6, 1) == _ALLOW
    assert _run(code, architecture, choices["setsockopt"], 3, 6, 31) == _DENY  # TCP_ULP
    assert _run(code, architecture, choices["setsockopt"], 3, 41, 1) == _DENY  # IPV6_ADDRFORM
    assert _run(code, architecture, choices["prlimit64"], 0, 7, 0) == _ALLOW
    for pointer in (1, 1 << 32):
        assert _run(code, architecture, choices["prlimit64"], 0, 7, pointer) == _DENY


def test_other_machines_have_none() -> None:
    """Their numbers aren't known."""
    assert program("sparc64") == b""


def test_numbers_are_the_kernel_s() -> None:
    """As its headers have them, where they are."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if os.uname().machine != "x86_64" or not header.exists():
        return
    there = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    for name, numbers in {**_CALLS, **{name: each[0] for name, each in _CHOSEN.items()}}.items():
        assert there[name] == numbers[0], name
