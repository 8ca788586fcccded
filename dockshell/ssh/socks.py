"""The server's half of SOCKS 4, 4a and 5, connecting only (RFC 1928; https://www.openssh.com/txt/socks4.protocol and
socks4a.protocol): bytes in, replies out. Pure.

Nobody is asked who they are: whoever reaches the listener, which is on loopback, may use it, as with ssh -D."""

from __future__ import annotations

import ipaddress

__all__ = ["LARGEST", "Nonsense", "Socks"]

LARGEST = 1 << 10  # bytes: more than any honest request
_NONE, _NO_METHOD = 0x00, 0xFF
_CONNECT, _IPV4, _NAME, _IPV6 = 1, 1, 3, 4


class Nonsense(Exception):
    """What came is no request. reply: what to answer before hanging up."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__("no SOCKS request to connect")
        self.reply = reply


class Socks:
    """One connection's conversation, until it has said where it wants to go."""

    def __init__(self) -> None:
        self._data = b""
        self._greeted = False
        self._version = 0
        self.target: tuple[str, int] | None = None  # host, an address or a name, and port; once it is known

    def feed(self, data: bytes) -> bytes:
        """The next bytes that came → what to send back now. Raises Nonsense."""
        self._data += data
        reply = b""
        try:
            while self.target is None and self._data:
                self._version = self._data[0]
                if self._version == 4:
                    self._request_4()
                elif self._version != 5:
                    raise Nonsense()
                elif self._greeted:
                    self._request_5()
                else:
                    reply += self._greet()
        except IndexError:
            if len(self._data) > LARGEST:
                raise Nonsense(reply) from None
        return reply

    @property
    def rest(self) -> bytes:
        """What came after the request, and is for the other side."""
        return self._data

    def answer(self, connected: bool) -> bytes:
        """The last word before the bytes of the other side, or the end."""
        if self._version == 4:
            return bytes((0, 90 if connected else 91)) + bytes(6)
        return bytes((5, 0 if connected else 5, 0, _IPV4)) + bytes(6)

    def _take(self, count: int) -> bytes:
        """The first bytes, and what follows them stays. Raises IndexError where they aren't there yet."""
        if len(self._data) < count:
            raise IndexError
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def _greet(self) -> bytes:
        methods = self._take(2 + self._data[1])[2:]
        if _NONE not in methods:
            raise Nonsense(bytes((5, _NO_METHOD)))
        self._greeted = True
        return bytes((5, _NONE))

    def _request_5(self) -> None:
        kind = self._data[3]
        if kind not in (_IPV4, _NAME, _IPV6):
            raise Nonsense(bytes((5, 8, 0, _IPV4)) + bytes(6))
        start = 5 if kind == _NAME else 4
        length = self._data[4] if kind == _NAME else 4 if kind == _IPV4 else 16
        words = self._take(start + length + 2)
        if words[1] != _CONNECT:
            raise Nonsense(bytes((5, 7, 0, _IPV4)) + bytes(6))
        address = words[start : start + length]
        host = _name(address) if kind == _NAME else str(ipaddress.ip_address(address))
        self.target = host, int.from_bytes(words[-2:], "big")

    def _request_4(self) -> None:
        end = _end(self._data, 8)
        # 0.0.0.x, which is nobody's address: the name follows (4a).
        named = self._data[4:7] == bytes(3) and self._data[7] != 0
        last = _end(self._data, end + 1) if named else end
        words = self._take(last + 1)
        if words[1] != _CONNECT:
            raise Nonsense(self.answer(False))
        host = _name(words[end + 1 : last]) if named else str(ipaddress.ip_address(words[4:8]))
        self.target = host, int.from_bytes(words[2:4], "big")


def _end(data: bytes, start: int) -> int:
    place = data.find(b"\0", start)
    if place < 0 or len(data) <= start:
        raise IndexError
    return place


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("ascii")
    except UnicodeDecodeError:
        raise Nonsense() from None
    if not name or not name.isprintable() or " " in name:
        raise Nonsense()
    return name
