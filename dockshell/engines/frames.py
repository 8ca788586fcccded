"""The framing of an exec's two output streams over one connection: a byte for the stream, three of zero, four of length
(big-endian), and so many bytes. https://docs.docker.com/engine/api/v1.41/#operation/ContainerAttach"""

from __future__ import annotations

from dockshell.errors import SessionLost

__all__ = ["Frames"]

_HEAD = 8
_STREAMS = (0, 1, 2)  # 0 is stdin's, which Docker also writes to stdout


class Frames:
    """Takes the bytes as they come and gives them by stream. Keeps at most a head: a frame's content passes through as
    it arrives, so that the length that the other side claims costs no memory."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = 1
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The next bytes of the connection → (1 or 2, content) pairs. Raises SessionLost where they are no frames."""
        found: list[tuple[int, bytes]] = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                found.append((self._stream, piece))
                self._left -= len(piece)
                at += len(piece)
                continue
            piece = data[at : at + _HEAD - len(self._head)]
            self._head += piece
            at += len(piece)
            if len(self._head) == _HEAD:
                if self._head[0] not in _STREAMS or self._head[1:4] != bytes(3):
                    raise SessionLost("the engine sent what is no stream of an exec: try --via nsenter")
                self._stream = self._head[0] or 1
                self._left = int.from_bytes(self._head[4:], "big")
                self._head = b""
        return found

    @property
    def whole(self) -> bool:
        """Did the last frame end where the bytes did?"""
        return not self._left and not self._head
