"""executable: what a file takes to be executed, of real programs and of what may be in a container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.executable import HEAD, interpreter, program, what_is_missing
from tests.unit.test_environment import MemoryFiles


def _elf(loader: bytes = b"/lib/ld.so\0", *, size: int = 56, count: int = 1, at: int = 120, table: int = 64) -> bytes:
    """A 64-bit program of this machine with one program header, PT_INTERP."""
    number = lambda value, length: value.to_bytes(length, sys.byteorder)  # noqa: E731
    order = b"\1" if sys.byteorder == "little" else b"\2"
    head = b"\x7fELF\2" + order + b"\1" + bytes(9) + number(2, 2) + number(62, 2) + bytes(12) + number(table, 8)
    head += bytes(14) + number(size, 2) + number(count, 2) + bytes(6)
    return head + number(3, 4) + bytes(4) + number(at, 8) + bytes(16) + number(len(loader), 8) + bytes(16) + loader


def test_real_programs(tmp_path: Path) -> None:
    """The loader that the kernel takes, in whatever place the linker put its name."""
    found = program(Path(sys.executable).resolve().read_bytes()[:HEAD])
    assert Path(found.loader.decode()).exists()
    maps = Path("/proc/self/maps").read_text()
    assert str(Path(found.loader.decode()).resolve()) in maps


def test_a_program() -> None:
    """Its kind, machine and loader; none for a static one."""
    assert (program(_elf()).kind, program(_elf()).machine, program(_elf()).loader) == (2, 62, b"/lib/ld.so")
    assert program(_elf(count=0)).loader == b""


@pytest.mark.parametrize(
    "head",
    [
        b"", b"\x7fELF", b"#!/bin/sh\n", _elf()[:100], _elf(b"\0"), _elf(b"/no/end"), _elf(size=0), _elf(size=64),
        _elf(at=1 << 60), _elf(at=130),
        _elf(table=1 << 63), _elf(table=(1 << 64) - 1),
    ],
)  # fmt: skip
def test_what_is_no_program(head: bytes) -> None:
    """Cut short, or with numbers that lead nowhere."""
    with pytest.raises(ValueError, match="it"):
        program(head)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(first: bytes, second: bytes) -> None:
    """Nothing but ValueError comes of them, and it takes no time."""
    for head in (first, b"\x7fELF\2\1" + first, b"\x7fELF\1\2" + second, _elf()[:60] + first):
        try:
            assert len(program(head).loader) < 4096
        except ValueError:
            pass
        assert b"\n" not in interpreter(head)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"#!/bin/sh\n", b"/bin/sh"),
        (b"#!/bin/sh", b"/bin/sh"),
        (b"#! \t/usr/bin/env  python3 -x\nrest", b"/usr/bin/env"),
        (b"#!/bin/sh\r\n", b"/bin/sh\r"),
        (b"#!/bin/sh\0x\n", b"/bin/sh"),
        (b"#!\n/bin/sh", b""),
        (b"#!   \n", b""),
        (b" #!/bin/sh\n", b""),
        (b"", b""),
    ],
)
def test_a_scripts_interpreter(head: bytes, found: bytes) -> None:
    """As the kernel cuts the first line."""
    assert interpreter(head) == found


def test_the_kernel_reads_it_alike(tmp_path: Path) -> None:
    """It names what isn't there by ENOENT; the line is the same to both."""
    script = tmp_path / "script"
    (tmp_path / "sh\r").symlink_to("/bin/sh")
    script.write_bytes(f"#! {tmp_path}/sh\r\nexit 7\n".encode())
    script.chmod(0o755)
    assert interpreter(script.read_bytes()).decode() == f"{tmp_path}/sh\r"
    assert subprocess.run([script], check=False).returncode == 7


def test_what_is_missing_is_named() -> None:
    """Of the first path that is there; a script's interpreter may lack something itself, or be one that it began
    with."""
    files = MemoryFiles(
        {"/a": b"#!/b\n", "/b": _elf(), "/loop": b"#!/loop\n", "/text": b"echo", "/fine": b"#!/text\n"},
        ("/a", "/b", "/loop", "/text", "/fine"),
    )
    assert what_is_missing(files, ["/x", "/b"]).startswith("/b: its loader '/lib/ld.so' is not there")
    told = what_is_missing(files, ["/a"])
    assert told.startswith("/a: its interpreter '/b' can't be executed: its loader '/lib/ld.so' is not there")
    for path in ("/x", "/loop", "/text", "/fine"):
        assert what_is_missing(files, [path]) == ""
