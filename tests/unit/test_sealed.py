"""linux: lists of system calls, and the program in a sealed memfd that makes them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import keystone
import pytest
import unicorn
from unicorn import arm64_const as arm64
from unicorn import x86_const as x86

from dockshell.linux import sealed
from dockshell.linux.calls import ANY_ERROR, EXIT, Calls, Result, errors, failed, text

SOURCES = Path(sealed.__file__).parent
MACHINES = {
    "x86_64": (keystone.KS_ARCH_X86, keystone.KS_MODE_64, "#", sealed._X86_64),
    "aarch64": (keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN, "//", sealed._AARCH64),
}
TEXT, STEP = 0x400000, 7


@pytest.mark.parametrize("machine", MACHINES)
def test_the_instructions_are_those_of_the_source(machine: str) -> None:
    """Which is what people read: assembled anew, it is the same, byte for byte."""
    kind, mode, comment, code = MACHINES[machine]
    lines = (SOURCES / f"sealed_{machine}.s").read_text().splitlines()
    source = "\n".join(line.partition(comment)[0] if comment == "//" else line.split("#")[0] for line in lines)
    made, _ = keystone.Ks(kind, mode).asm(source, as_bytes=True)
    assert made == code


# What a list is made of here: expected result (None for any), allowed errors, where else to go on; then the results
# that its calls have, and which calls are made by that: 90 is the report, 91 the end.
Case = tuple[list[tuple[int | None, int, int | None]], list[int], list[int]]
CASES: dict[str, Case] = {
    "results": ([(None, 0, None), (None, 0, None)], [0, 1 << 40], [0, 1]),
    "error": ([(None, 0, None), (None, 0, None)], [-errno.ENOENT], [0, 90, 91]),
    "largest error": ([(None, 0, None), (None, 0, None)], [-4095], [0, 90, 91]),
    "no error": ([(None, 0, None), (None, 0, None)], [-4096, 0], [0, 1]),
    "allowed": ([(None, errors(errno.ENOENT), None), (None, 0, None)], [-errno.ENOENT, 0], [0, 1]),
    "not allowed": ([(None, errors(errno.ENOENT), None), (None, 0, None)], [-errno.EACCES], [0, 90, 91]),
    "any allowed": ([(None, ANY_ERROR, None), (None, 0, None)], [-133, 0], [0, 1]),
    "allowed elsewhere": ([(None, ANY_ERROR, 2), (None, 0, None), (None, 0, None)], [-1, 0], [0, 2]),
    "success goes on": ([(None, ANY_ERROR, 2), (None, 0, None), (None, 0, None)], [5, 0, 0], [0, 1, 2]),
    "as expected": ([(1, 0, 2), (None, 0, None), (None, 0, None)], [1, 0, 0], [0, 1, 2]),
    "not as expected": ([(1, 0, 2), (None, 0, None), (None, 0, None)], [0, 0], [0, 2]),
    "expected, and an error": ([(0, 0, 2), (None, 0, None), (None, 0, None)], [-errno.EPERM], [0, 90, 91]),
    "end": ([(1, 0, EXIT - 2), (None, 0, None)], [0], [0, 91]),
}


def _list(case: Case) -> Calls:
    """Each call's first argument is its number, and the last is followed by the end."""
    calls = Calls(90)
    calls.step = STEP
    entries = [
        calls.add("close", number, expected=-1 if expected is None else expected, allowed=allowed)
        for number, (expected, allowed, _) in enumerate(case[0])
    ]
    for entry, (_, _, elsewhere) in zip(entries, case[0], strict=True):
        if elsewhere is not None:
            calls.go_on(entry, otherwise=elsewhere + 2)
    calls.add("exit_group", 127)
    return calls


class Emulated:
    """The program of a machine under an emulator, whose system calls are answered by the test. made: number and first
    argument of each; memory: of the list, at its end."""

    def __init__(self, machine: str, image: bytes, answer: Callable[[int, int], int | None]) -> None:
        code = MACHINES[machine][3]
        self.made: list[tuple[int, int]] = []
        if machine == "x86_64":
            emulator = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
            number, argument, result = x86.UC_X86_REG_RAX, x86.UC_X86_REG_RDI, x86.UC_X86_REG_RAX
        else:
            emulator = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
            number, argument, result = arm64.UC_ARM64_REG_X8, arm64.UC_ARM64_REG_X0, arm64.UC_ARM64_REG_X0

        def called(*_: object) -> None:
            this = emulator.reg_read(number), emulator.reg_read(argument)
            self.made.append(this)
            told = answer(*this)
            if told is None:
                emulator.emu_stop()
            else:
                emulator.reg_write(result, told & (1 << 64) - 1)

        emulator.mem_map(TEXT, 0x1000)
        emulator.mem_write(TEXT, code)
        emulator.mem_map(sealed.BASE, 0x10000)
        emulator.mem_write(sealed.BASE, image)
        if machine == "x86_64":
            emulator.hook_add(unicorn.UC_HOOK_INSN, called, aux1=x86.UC_X86_INS_SYSCALL)
        else:
            emulator.hook_add(unicorn.UC_HOOK_INTR, called)
        emulator.emu_start(TEXT, TEXT + len(code), count=10_000)
        self.memory = bytes(emulator.mem_read(sealed.BASE, len(image)))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", CASES)
def test_calls_are_made_in_order(machine: str, name: str) -> None:
    """By either machine's instructions: results, errors, and where they lead to."""
    wanted, results, expected = CASES[name]
    calls = _list((wanted, results, expected))
    answers = iter(results)
    image = calls.image(sealed.BASE)
    end = struct.unpack_from("=2Q", image, EXIT * 13 * 8)

    def answer(number: int, argument: int) -> int | None:
        return None if (number, argument) == end else next(answers, 0)

    emulated = Emulated(machine, image, answer)
    made = [91 if each == end else each[1] for each in emulated.made]
    assert made[: len(expected)] == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_a_failure_names_its_call(machine: str) -> None:
    """And the errors before that were allowed, in the memory that is reported."""
    calls = Calls(90)
    calls.step = 1
    calls.add("close", 0, allowed=errors(errno.EACCES))
    calls.step = 2
    calls.add("close", 1)
    calls.step = 3
    calls.add("close", 2)
    calls.add("close", 3)
    answers = iter([-errno.EACCES, 0, -errno.ENOENT, 0, None])
    emulated = Emulated(machine, calls.image(sealed.BASE), lambda *_: next(answers))
    assert failed(emulated.memory) == [(1, errno.EACCES), (3, errno.ENOENT)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("text", "expected"), [(b"/x", [1, 2]), (b"(x", [2])])
def test_a_byte_is_looked_at(machine: str, text: bytes, expected: list[int]) -> None:
    """No system call: it leads on by what it is."""
    calls = Calls(90)
    look = calls.peek(text, ord("/"))
    calls.add("close", 1)
    calls.go_on(look, otherwise=calls.add("close", 2))
    emulated = Emulated(machine, calls.image(sealed.BASE), lambda _, argument: 0 if argument != 2 else None)
    assert [argument for _, argument in emulated.made] == expected


@pytest.mark.parametrize("report", [b"", b"x" * 103, bytes(104 * 2), bytes(104 * 5), b"\xff" * 104 * 5])
def test_a_report_that_is_none(report: bytes) -> None:
    """It is refused, not misread."""
    with pytest.raises(ValueError, match="a report of"):
        failed(report)


def test_a_text_ends_where_it_is_meant_to() -> None:
    """The kernel would read one with a zero in it only as far as that."""
    assert text(b"a\xff") == b"a\xff\0"
    with pytest.raises(ValueError, match="null"):
        text(b"a\0b")


def _run(calls: Calls) -> tuple[int, bytes]:
    """The exit code of the program with that list, on this machine, and what is written to descriptor 100."""
    told, tell = os.pipe()
    os.dup2(tell, 100)
    os.close(tell)
    program = sealed.sealed(calls.image(sealed.BASE))
    try:
        pid = os.posix_spawn(f"/proc/self/fd/{program}", [b"dockshell"], {}, setsigmask=())
        status = os.waitpid(pid, 0)[1]
    finally:
        os.close(program)
        os.close(100)
    with open(told, "rb") as file:
        return os.waitstatus_to_exitcode(status), file.read()


def test_the_program_becomes_what_the_list_says() -> None:
    """For real: arguments, environment, an array of pointers, a result that is pointed to, on this machine."""
    calls = Calls(100)
    mask = calls.add("umask", 0o27)
    calls.add("write", 100, Result(mask), 8)
    words = [
        b"sh\0",
        b"-c\0",
        b'printf "%s|" "$0" "$1" "$A" "$(umask)" >/proc/self/fd/100; exit 9\0',
        b"zero\0",
        b"o\xffne\0",
        0,
    ]
    calls.add("execve", b"/nowhere\0", words, [0], allowed=errors(errno.ENOENT))
    calls.add("execve", b"/bin/sh\0", words, [b"A=b c\0", 0])
    own = os.umask(0)
    os.umask(own)
    code, told = _run(calls)
    assert (code, told) == (9, own.to_bytes(8, "little") + b"zero|o\xffne|b c|0027|")


def test_the_program_reports_for_real() -> None:
    """The step and the errno, and 127."""
    calls = Calls(100)
    calls.step = STEP
    calls.add("execve", b"/nowhere\0", [0], [0])
    code, told = _run(calls)
    assert (code, failed(told)) == (127, [(STEP, errno.ENOENT)])


def test_nobody_can_write_to_the_program() -> None:
    """Not by its descriptor, nor by another of the same file, nor can it be made longer or shorter; as root."""
    program = sealed.sealed(Calls(100).image(sealed.BASE))
    again = os.open(f"/proc/self/fd/{program}", os.O_RDWR)
    try:
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        assert fcntl.fcntl(program, fcntl.F_GET_SEALS) & seals == seals
        for descriptor in program, again:
            for change in (lambda at: os.pwrite(at, b"x", 0), lambda at: os.ftruncate(at, 0), _longer):
                with pytest.raises(PermissionError):
                    change(descriptor)
    finally:
        os.close(program)
        os.close(again)


def _longer(descriptor: int) -> None:
    os.ftruncate(descriptor, 1 << 20)


def test_calls_are_made_by_this_process_alike() -> None:
    """run() keeps to the same rules: what is allowed, what is expected, where it leads, and what is raised."""
    calls = Calls()
    path = bytes(4096)
    calls.step = 1
    calls.add("close", 12345, allowed=errors(errno.EBADF))
    ask = calls.add("getcwd", path, len(path))
    look = calls.peek(path, ord("("))
    calls.add("close", -1)  # not made
    calls.go_on(look, otherwise=calls.following)
    calls.end()
    calls.run()
    assert ask == 3
    calls = Calls()
    calls.step = STEP
    calls.add("close", 12345)
    calls.end()
    with pytest.raises(OSError, match="Bad file descriptor"):
        calls.run()
    assert calls.step == STEP
