"""System calls that Python 3.11 has no function for, by ctypes. Every one of them raises OSError."""

from __future__ import annotations

import ctypes
import os

__all__ = [
    "OPENAT2",
    "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "call",
    "keyctl_new_session",
    "openat2",
    "prctl",
    "setns",
    "syscall",
]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# The numbers that glibc has no wrapper for. Calls newer than Linux 5.0 have the same number on every architecture but
# alpha.
OPENAT2 = 437
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "armv7l": 311, "ppc64le": 271, "s390x": 280}


def call(function: str, *arguments: object) -> int:
    """Calls a function of the C library that returns -1 and sets errno on failure."""
    result: int = getattr(_libc, function)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), function)
    return result


def syscall(number: int, *arguments: object) -> int:
    """syscall(2): a system call by its number."""
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return result


def setns(descriptor: int, kind: int = 0) -> None:
    """Joins the namespace that the descriptor refers to, of that kind (a CLONE_NEW… flag) or of any: setns(2)."""
    call("setns", descriptor, kind)


def prctl(option: int, *arguments: object) -> int:
    """prctl(2). Numbers are passed as unsigned longs, as the kernel wants them."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return call("prctl", option, *(ctypes.c_ulong(a) if isinstance(a, int) else a for a in padded))


def keyctl_new_session() -> None:
    """Gives the process a session keyring of its own (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING), as runc does. Without
    keyrings in the kernel, or with one that denies them, there is nothing to keep apart."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        _libc.syscall(ctypes.c_long(number), ctypes.c_long(1), None, 0, 0, 0)


RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2): opens the path below a directory's descriptor under the given rules of resolution. Returns a
    descriptor."""
    how = (ctypes.c_uint64 * 3)(flags, 0, resolve)
    return syscall(
        OPENAT2, ctypes.c_int(directory), os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
