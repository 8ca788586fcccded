"""The system calls of a process that talks with the network and is to do nothing else: reading, writing and waiting by
descriptors that it has already. As a program of the kernel's classic BPF: seccomp(2). Pure."""

from __future__ import annotations

import struct

__all__ = ["program"]

# Their numbers on x86-64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h), -1 where there is none. Those that
# come most often are first: they are compared one after another.
_CALLS = {
    "read": (0, 63), "write": (1, 64), "writev": (20, 66), "epoll_wait": (232, -1), "epoll_pwait": (281, 22),
    "epoll_ctl": (233, 21), "recvmsg": (47, 212), "sendmsg": (46, 211), "recvfrom": (45, 207), "sendto": (44, 206),
    "close": (3, 57), "futex": (202, 98), "brk": (12, 214), "munmap": (11, 215), "mremap": (25, 216),
    "madvise": (28, 233), "clock_gettime": (228, 113), "getrandom": (318, 278), "poll": (7, -1), "ppoll": (271, 73),
    "pipe2": (293, 59), "pipe": (22, -1), "dup": (32, 23), "dup2": (33, -1), "dup3": (292, 24), "accept4": (288, 242),
    "accept": (43, 202), "listen": (50, 201), "shutdown": (48, 210), "getsockopt": (55, 209),
    "getsockname": (51, 204), "getpeername": (52, 205), "fstat": (5, 80),
    "newfstatat": (262, 79), "lseek": (8, 62), "readv": (19, 65), "pread64": (17, 67), "select": (23, -1),
    "pselect6": (270, 72), "epoll_create1": (291, 20), "eventfd2": (290, 19), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "gettimeofday": (96, 169), "time": (201, -1), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getpid": (39, 172),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getrlimit": (97, 163), "getrusage": (98, 165), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
# Those of which arguments count: which half of one (two words each, the lower first), and what that may be; where it
# says nothing, what is mapped may not be executed.
_CHOSEN: dict[str, tuple[tuple[int, int], tuple[tuple[int, tuple[int, ...]], ...]]] = {
    "fcntl": ((72, 25), ((2, (0, 1, 2, 3, 4, 1030, 1031, 1032)),)),  # F_DUPFD to F_SETFL, …_CLOEXEC, pipes' sizes
    "ioctl": ((16, 29), ((2, (0x541B, 0x5421, 0x5451)),)),  # FIONREAD, FIONBIO, FIOCLEX
    "mmap": ((9, 222), ((4, ()),)),
    "mprotect": ((10, 226), ((4, ()),)),
    "prlimit64": ((302, 261), ((4, (0,)), (5, (0,)))),  # to look, not to set
    "setsockopt": ((54, 208), ((2, (6,)), (4, (1,)))),  # IPPROTO_TCP, TCP_NODELAY
    "socketpair": ((53, 199), ((0, (1,)),)),  # AF_UNIX
}
_EXECUTABLE = 4  # PROT_EXEC
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # AUDIT_ARCH_… of linux/audit.h
_ALLOW, _KILL, _DENY = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # SECCOMP_RET_ERRNO with EPERM
# linux/bpf_common.h; what is loaded is a struct seccomp_data.
_LOAD, _EQUAL, _SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


def program(machine: str) -> bytes:
    """For a machine as uname(2) calls it; empty for one whose numbers aren't known here. What isn't allowed fails with
    EPERM."""
    if machine not in _ARCHITECTURES:
        return b""
    column, architecture = _ARCHITECTURES[machine]
    code = [_line(_LOAD, _ARCHITECTURE), _line(_EQUAL, architecture, 1, 0), _line(_RETURN, _KILL)]
    code.append(_line(_LOAD, _NUMBER))
    for numbers in _CALLS.values():
        if numbers[column] >= 0:
            code += [_line(_EQUAL, numbers[column], 0, 1), _line(_RETURN, _ALLOW)]
    for numbers, conditions in _CHOSEN.values():
        checks = [line for condition in conditions for line in _check(*condition)]
        checks.append(_line(_RETURN, _ALLOW))
        code += [_line(_EQUAL, numbers[column], 0, len(checks)), *checks]
    return b"".join([*code, _line(_RETURN, _DENY)])


def _check(half: int, values: tuple[int, ...]) -> list[bytes]:
    """Returns, but where that half of an argument is one of the values."""
    load, deny = _line(_LOAD, _ARGUMENTS + 4 * half), _line(_RETURN, _DENY)
    if not values:
        return [load, _line(_SET, _EXECUTABLE, 0, 1), deny]
    return [load, *(_line(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)), deny]


def _line(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    """A struct sock_filter."""
    return struct.pack("=HBBI", code, true, false, value)
