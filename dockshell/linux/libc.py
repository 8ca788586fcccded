"""System calls that Python 3.11 has no function for, by ctypes. Every one of them raises OSError."""

from __future__ import annotations

import ctypes
import os
from struct import Struct

__all__ = [
    "OPENAT2",
    "PROC",
    "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "call",
    "file_system",
    "openat2",
    "prctl",
    "setns",
    "shows_the_kernel",
    "syscall",
]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# The numbers that glibc has no wrapper for. Calls newer than Linux 5.0 have the same number on every architecture but
# alpha.
OPENAT2 = 437


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


RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


def openat2(directory: int, path: str | bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): opens the path below a directory's descriptor under the given rules of resolution. mode: of a file
    that is made. Returns a descriptor."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")  # as os.open() says
    how = _HOW.pack(flags, mode & 0o7777 if flags & os.O_CREAT else 0, resolve)
    found: int = _openat2(OPENAT2, directory, name, how, len(how))
    if found == -1:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return found


_HOW = Struct("QQQ")
# A prototype of its own saves who opens many files half of the time.
_openat2 = ctypes.CFUNCTYPE(
    ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, use_errno=True
)(("syscall", _libc))


def file_system(descriptor: int) -> int:
    """Which kind of file system that is on: f_type of fstatfs(2)."""
    facts = _Facts()
    if _fstatfs(descriptor, facts) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    kind: int = facts[0]
    return kind >> 32 if _HALF else kind & 0xFFFFFFFF


_Facts = ctypes.c_long * 32  # a struct statfs has 120 bytes at the most
_HALF = os.uname().machine == "s390x"  # where f_type is the first half of a long
_fstatfs = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, use_errno=True)(("fstatfs", _libc))

# f_type of statfs(2), the numbers of the kernel's linux/magic.h.
PROC = 0x9FA0
_KERNELS = frozenset(
    (
        PROC,
        0x62656572,  # sysfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x62656570,  # configfs
        0xCAFE4A11,  # bpf
        0xDE5E81E4,  # efivarfs
        0x6165676C,  # pstore
        0x42494E4D,  # binfmt_misc
        0xF97CFF8C,  # selinuxfs
        0x43415D53,  # smackfs
        0x6E736673,  # nsfs
        0x65735543,  # fusectl
    )
)


def shows_the_kernel(descriptor: int) -> bool:
    """Is that on a file system in which the kernel shows itself?"""
    return file_system(descriptor) in _KERNELS
