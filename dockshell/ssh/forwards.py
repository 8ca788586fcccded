"""-L, -R and -D: words → Forward. Pure. The notation is ssh(1)'s:

    -L, -R   [BIND:]PORT:HOST:HOSTPORT; and with a path for either half [BIND:]PORT:SOCKET, SOCKET:HOST:HOSTPORT,
             SOCKET:SOCKET
    -D       [BIND:]PORT

An IPv6 address stands in square brackets; what has a slash in it is the path of a Unix socket, in which a backslash
takes a colon's meaning away. BIND is an address, `localhost` (as where there is none), or `*` or nothing before the
colon for every address."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.model import noun

__all__ = ["LONGEST_PATH", "Forward", "Spot", "parse", "split"]

LONGEST_PATH = 107  # bytes of a Unix socket's path: unix(7)
_FORMS = {
    "L": "[BIND:]PORT:HOST:HOSTPORT, as in 8080:127.0.0.1:80",
    "R": "[BIND:]PORT:HOST:HOSTPORT, as in 8080:127.0.0.1:80",
    "D": "[BIND:]PORT, as in 1080",
}


@noun(frozen=True)
class Spot:
    """Where one listens or connects: host and port; or path, a Unix socket's. For a listener an empty host is
    loopback, `*` every address."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or (f"{host}:{self.port}" if host else f"port {self.port}")


@noun(frozen=True)
class Forward:
    """kind: `L` listens here and connects inside, `R` the other way round, `D` is L to wherever each connection says by
    SOCKS. to: None for D."""

    kind: str
    listen: Spot
    to: Spot | None = None

    def __str__(self) -> str:
        return f"-{self.kind} {self.listen}" + (f" to {self.to}" if self.to else "")


def parse(kind: str, words: str) -> Forward:
    """What follows -L, -R or -D. Raises UsageError."""
    fields = split(words)
    if kind == "D":
        if len(fields) > 2 or any(path for _, path in fields):
            raise _wrong(kind, words)
        return Forward(kind, _listener(kind, words, fields))
    # From the end: SOCKET, or HOST:HOSTPORT.
    count = 1 if fields[-1][1] else 2
    listen, to = fields[:-count], fields[-count:]
    if len(to) < count or not 1 <= len(listen) <= 2:
        raise _wrong(kind, words)
    if count == 1:
        target = Spot(path=_path(kind, words, to[0][0]))
    else:
        (host, is_path), (port, _) = to
        if not host or is_path:
            raise _wrong(kind, words)
        target = Spot(_host(kind, words, host), _port(kind, words, port, least=1))
    return Forward(kind, _listener(kind, words, listen), target)


def _listener(kind: str, words: str, fields: list[tuple[str, bool]]) -> Spot:
    text, is_path = fields[-1]
    if is_path:
        if len(fields) > 1:
            raise _wrong(kind, words)
        return Spot(path=_path(kind, words, text))
    if any(is_path for _, is_path in fields):
        raise _wrong(kind, words)
    # Only the other side can choose a port and tell it.
    port = _port(kind, words, text, least=0 if kind == "R" else 1)
    if len(fields) == 1:
        return Spot("", port)
    host = fields[0][0] or "*"
    return Spot("" if host == "localhost" else _host(kind, words, host), port)


def split(words: str) -> list[tuple[str, bool]]:
    """The words between colons, each with whether it is a path."""
    fields, field, path, at = [], "", False, 0
    while at < len(words):
        letter = words[at]
        if letter == "[" and not field and "]" in words[at:]:
            end = words.index("]", at)
            field, at = words[at + 1 : end], end + 1
            if words[at : at + 1] not in ("", ":"):
                return [("", False)]  # what follows a bracket is no part of an address
            continue
        if letter == ":":
            fields.append((field, path))
            field, path = "", False
        else:
            if letter == "\\" and at + 1 < len(words):
                at += 1
                letter = words[at]
            path = path or letter == "/"
            field += letter
        at += 1
    return [*fields, (field, path)]


def _port(kind: str, words: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and least <= int(text) < 1 << 16):
        raise _wrong(kind, words)
    return int(text)


def _host(kind: str, words: str, text: str) -> str:
    if not text.isprintable() or any(letter.isspace() for letter in text) or len(text) > 255:
        raise _wrong(kind, words)
    return text


def _path(kind: str, words: str, text: str) -> str:
    if "\0" in text or len(text.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        raise _wrong(kind, words)
    return text


def _wrong(kind: str, words: str) -> UsageError:
    return UsageError(f"-{kind} {printable(words)!r} is not a forward: it takes {_FORMS[kind]}")
