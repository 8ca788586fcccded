"""What a command wrote, kept until it has ended: in memory as long as it is little, then in a temporary file of ours
(0600, without a name)."""

from __future__ import annotations

from struct import Struct
from tempfile import SpooledTemporaryFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Spool"]

_LITTLE = 1 << 20
_HEAD = Struct(">BI")  # which stream, and how many bytes follow


class Spool:
    """Pieces of stdout (1) and stderr (2), in the order in which they came."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_LITTLE)  # noqa: SIM115  # closed by close()

    def add(self, stream: int, data: bytes) -> None:
        self._file.write(_HEAD.pack(stream, len(data)))
        self._file.write(data)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """All of them, from the beginning. Nothing more is to be added then."""
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            stream, size = _HEAD.unpack(head)
            yield stream, self._file.read(size)

    def of(self, stream: int) -> Iterator[bytes]:
        """Those of one stream."""
        return (data for each, data in self.pieces() if each == stream)

    def close(self) -> None:
        self._file.close()
