"""A list of system calls, made one after another: by this process, or by a program that holds nothing else (sealed.py).

Each entry says which result is expected, which errors may come, and which entry is next for either. An error that may
not come ends the list. What becomes a command in a container does so by such a list, for it may not run code of ours in
there whose program, memory or arguments show or lend something of the host's (CVE-2019-5736)."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from struct import pack, unpack_from

from dockshell.linux.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    # A number, or what is in memory: bytes, or an array of 64-bit numbers, which may point to more.
    Argument: TypeAlias = "int | bytes | Sequence[Argument] | Result"

__all__ = ["ANY", "ANY_ERROR", "EXIT", "Calls", "Result", "errors", "failed", "known", "text"]

ANY = -1  # whatever isn't an error
ANY_ERROR = (1 << 64) - 1
EXIT = 1  # the entry that ends the process with 127
FIRST = 2  # the entry that is made first
_PEEK, _END = -1, -2  # in the place of a call's number: the byte at an address; the end of the list, for run()
_WORDS = 13  # of an entry: number, six arguments, expected result, errors, next, next otherwise, result, step
_ENTRY, _RESULT, _STEP = _WORDS * 8, 11 * 8, 12 * 8
_NOTED = _ENTRY + 6 * 8  # where the address of the entry that failed is left
_MASK = (1 << 64) - 1
_EXIT_CODE = 127

# The numbers that system calls have on x86-64, and on aarch64 and riscv64: syscalls(2).
_NUMBERS = {
    "capset": (126, 91),
    "chdir": (80, 49),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close": (3, 57),
    "execve": (59, 221),
    "exit_group": (231, 94),
    "fchown": (93, 55),
    "fcntl": (72, 25),
    "getcwd": (79, 17),
    "getppid": (110, 173),
    "ioctl": (16, 29),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "openat": (257, 56),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "read": (0, 63),
    "rt_sigaction": (13, 134),
    "setgroups": (116, 159),
    "setns": (308, 268),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setsid": (112, 157),
    "umask": (95, 166),
    "unshare": (272, 97),
    "write": (1, 64),
}
_MACHINES = {"x86_64": 0, "aarch64": 1, "riscv64": 1}


def known() -> bool:
    """Are the numbers of this machine's system calls known here?"""
    return sys.maxsize > 1 << 32 and os.uname().machine in _MACHINES


def errors(*numbers: int) -> int:
    """These errnos, each below 64, as the set that Calls.add() takes."""
    return sum(1 << number for number in numbers)


def text(content: bytes) -> bytes:
    """Bytes as the kernel wants a text in memory, which ends with the first zero. Raises ValueError where they have one
    of their own: half of an argument is none that anybody meant."""
    if b"\0" in content:
        raise ValueError("embedded null byte")  # as os.execve() says
    return content + b"\0"


class Result:
    """A pointer to the result of an entry: 8 bytes, or what follows the first offset of them."""

    def __init__(self, entry: int, offset: int = 0) -> None:
        self.place = entry * _ENTRY + _RESULT + offset


class Calls:
    """The list. report: the descriptor that the program writes the list with its results to, where a call failed; see
    failed(). step: a number of the user's own, which the entries that are added next carry. Raises OSError (ENOSYS) on
    a machine that is not known()."""

    def __init__(self, report: int = -1) -> None:
        if not known():
            raise OSError(errno.ENOSYS, "the numbers of this machine's system calls are not known")
        self._machine = _MACHINES[os.uname().machine]
        self._entries: list[list[Argument]] = []
        self.step = 0
        self.add("write", report, 0, 0, allowed=ANY_ERROR)
        self.add("exit_group", _EXIT_CODE)

    def add(self, name: str, *arguments: Argument, expected: int = ANY, allowed: int = 0) -> int:
        """Adds a call; returns its entry. After an error of those allowed, or another result than the one expected, the
        list goes on where go_on() says, else at the next entry."""
        return self._add(_NUMBERS[name][self._machine], arguments, expected, allowed)

    def peek(self, text: Argument, expected: int) -> int:
        """Adds a look at the first byte of a text, which is this one where all is well."""
        return self._add(_PEEK, (text,), expected, 0)

    def end(self) -> None:
        """Adds the end of the list: run() returns here."""
        self._add(_END, (), ANY, 0)

    def _add(self, number: int, arguments: tuple[Argument, ...], expected: int, allowed: int) -> int:
        following = len(self._entries) + 1
        six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
        self._entries.append([number, *six, expected, allowed, following, following, 0, self.step])
        return following - 1

    def set_descriptor(self, entry: int, descriptor: int) -> None:
        """Says which descriptor a call is about, its first argument."""
        self._entries[entry][1] = descriptor

    def go_on(self, entry: int, to: int | None = None, otherwise: int | None = None) -> None:
        """Says which entry follows on success, and which on an allowed error or another result than expected."""
        if to is not None:
            self._entries[entry][9] = to
        if otherwise is not None:
            self._entries[entry][10] = otherwise

    @property
    def following(self) -> int:
        """The number of the entry that is added next."""
        return len(self._entries)

    def image(self, base: int) -> bytes:
        """The list and all that it points to, as it is in memory at that address."""
        length = len(self._entries) * _ENTRY
        size = length
        parts: list[bytes] = []
        places: dict[int, int] = {}

        def word(value: Argument) -> int:
            nonlocal size
            if isinstance(value, int):
                return value & _MASK
            if isinstance(value, Result):
                return base + value.place
            place = places.get(id(value))
            if place is None:
                data = value if isinstance(value, bytes) else pack(f"={len(value)}Q", *map(word, value))
                place = places[id(value)] = base + size
                padded = data + bytes(-len(data) % 8)
                parts.append(padded)
                size += len(padded)
            return place

        rows = []
        self._entries[0][2:4] = base, length
        for entry in self._entries:
            to, otherwise = entry[9:11]
            assert isinstance(to, int) and isinstance(otherwise, int)
            words = [*map(word, entry[:9]), base + to * _ENTRY, base + otherwise * _ENTRY, 0, word(entry[12])]
            rows.append(pack(f"={_WORDS}Q", *words))
        return b"".join(rows + parts)

    def run(self) -> None:
        """Makes the calls in this process, up to end(). Raises OSError for the one that failed, and leaves its step in
        `self.step`."""
        memory = ctypes.create_string_buffer(len(self.image(0)) + 8)
        base = ctypes.addressof(memory) + 7 & ~7
        image = self.image(base)
        ctypes.memmove(base, image, len(image))
        at = base + FIRST * _ENTRY
        while True:
            number, *arguments, expected, allowed, to, otherwise, _, step = unpack_from(
                f"={_WORDS}Q", ctypes.string_at(at, _ENTRY)
            )
            if number == _END & _MASK:
                return
            failure = None
            try:
                if number == _PEEK & _MASK:
                    result = ctypes.string_at(arguments[0], 1)[0]
                else:
                    result = syscall(number, *map(ctypes.c_ulong, arguments))
            except OSError as error:
                failure, result = error, -(error.errno or 0)
            ctypes.c_int64.from_address(at + _RESULT).value = result
            if failure and not allowed >> (-result & 63) & 1:
                self.step = step
                raise failure
            at = to if not failure and expected in (ANY & _MASK, result) else otherwise


def failed(report: bytes) -> list[tuple[int, int]]:
    """What the program wrote of a list that failed → (step, errno) of each call that had an error, allowed ones too;
    the one that ended it comes last. Raises ValueError for anything else."""
    count = len(report) // _ENTRY
    if count <= FIRST or len(report) % _ENTRY:
        raise ValueError(f"a report of {len(report)} bytes")
    base = int.from_bytes(report[9 * 8 : 10 * 8], sys.byteorder) - _ENTRY
    last, rest = divmod(int.from_bytes(report[_NOTED : _NOTED + 8], sys.byteorder) - base, _ENTRY)
    if rest or not FIRST <= last < count:
        raise ValueError("a report of no entry")
    found = []
    for entry in range(FIRST, count):
        result, step = unpack_from("=qQ", report, entry * _ENTRY + _RESULT)
        if result < 0 and entry != last:
            found.append((step, -result))
    result, step = unpack_from("=qQ", report, last * _ENTRY + _RESULT)
    return [*found, (step, max(0, -result))]
