"""Tars that somebody hostile made: headers without end or measure are refused before they are read, the rest is as
Python's tarfile has it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.engines.untrusted_tar import NONSENSE, UntrustedTar
from tests.world.tars import header, record, with_header


class _Counted:
    """A tar that is made as it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        self.count += len(piece)
        return piece


def _all_of(tar: UntrustedTar) -> list[tuple[str, bytes, bytes]]:
    return [(each.name, each.type, tar.content(each).read() if each.isreg() else b"") for each in tar.members()]


_MIB = 1 << 20
_KINDS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_header_of_many_megabytes(kind: bytes) -> None:
    """It is refused at its first block. Python's own tarfile reads all of it."""
    size = 8 * _MIB

    def attack() -> _Counted:
        first = record(b"comment", b"x" * (size - 17))
        assert len(first) == size
        return _Counted(chain([header(kind, size)], (first[at : at + _MIB] for at in range(0, size, _MIB))))

    counted = attack()
    with pytest.raises(tarfile.ReadError):
        _all_of(UntrustedTar(counted.read))
    assert counted.count <= 512
    counted = attack()
    plain = io.BufferedReader(_Raw(counted))
    with pytest.raises(tarfile.ReadError), tarfile.open(fileobj=plain, mode="r|"):
        pass
    assert counted.count > size


class _Raw(io.RawIOBase):
    def __init__(self, counted: _Counted) -> None:
        self._counted = counted
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        self._rest = self._rest or self._counted.read()
        count = min(len(into), len(self._rest))
        into[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _sparse(count: int) -> Iterator[bytes]:
    """A file whose map of holes never ends, as GNU's tar has it in a member's content (format 1.0)."""
    records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1")]
    yield with_header(b"".join(record(*each) for each in records), member=header(tarfile.REGTYPE, 1 << 33))
    yield b"%d\n".ljust(512, b"0") % count
    yield from repeat(b"1\n" * 256, 100_000)


_ATTACKS: dict[str, Callable[[], Iterable[bytes]]] = {
    "no record": lambda: [with_header(b"x" * 1000)],
    "a record that ends elsewhere": lambda: [with_header(b"5 a=bcd\n")],
    "a record longer than its header": lambda: [with_header(b"99 a=bcdefg\n")],
    "a number without end": lambda: [with_header(record(b"a", b"1" * 5000))],
    "one behind another": lambda: repeat(header(tarfile.XHDTYPE, 0), 5000),
    "global ones behind another": lambda: repeat(with_header(record(b"a", b""), tarfile.XGLTYPE)[:1024], 5000),
    "many global records": lambda: [with_header(b"".join(map(_numbered, range(3000))), tarfile.XGLTYPE)],
    "a negative size": lambda: [with_header(record(b"size", b"-512"))],
    "a map of holes": lambda: _sparse(10**9),
    "nothing but a hole": lambda: [
        with_header(record(b"GNU.sparse.map", b"0,0") + record(b"GNU.sparse.realsize", b"9" * 18))
    ],
    "an old map of holes": lambda: chain(
        [header(tarfile.GNUTYPE_SPARSE, 0, extended=True)], repeat(b"1" * 504 + b"\1" * 8, 50_000)
    ),
}


def _numbered(number: int) -> bytes:
    return record(b"%d" % number, b"")


@pytest.mark.parametrize("attack", _ATTACKS)
def test_headers_without_measure(attack: str) -> None:
    """Each ends in an error, and before much of it was read."""
    counted = _Counted(iter(_ATTACKS[attack]()))
    with pytest.raises(NONSENSE):
        _all_of(UntrustedTar(counted.read))
    assert counted.count <= 4 * _MIB


_NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=120)
_FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@given(files=st.dictionaries(_NAMES, st.binary(max_size=2000), max_size=5), kind=_FORMATS, size=st.integers(1, 5000))
def test_any_honest_tar(files: dict[str, bytes], kind: int, size: int) -> None:
    """Of either format, in pieces of any size: each member with its content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=kind) as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1.5
            member.pax_headers = {"SCHILY.xattr.user.a": name}
            made.addfile(member, io.BytesIO(content))
    packed.seek(0)
    assert (
        _all_of(UntrustedTar(lambda most: packed.read(min(most, size))))
        == [(name, tarfile.REGTYPE, content) for name, content in files.items()]
        or not files
    )


@given(content=st.binary(max_size=3000), kind=st.sampled_from(_KINDS), rest=st.binary(max_size=2000))
def test_any_bytes_end_in_an_error_or_in_members(content: bytes, kind: bytes, rest: bytes) -> None:
    """Whatever a header says."""
    try:
        members = _all_of(UntrustedTar(io.BytesIO(with_header(content, kind) + rest).read))
    except NONSENSE:
        return
    assert sum(len(content) for _, _, content in members) <= len(rest)
