"""[BIND:]PORT[:PORT] → Forward. Pure.

    PORT                 that port, here and inside
    [BIND:]PORT:PORT     the first here, the second inside
    BIND:PORT            that port on both sides; BIND, which is no number, says where to listen
    [[BIND:]0]:PORT      a free port here
    SOCKET:PORT, [[BIND:]PORT]:SOCKET, SOCKET:SOCKET

What has a slash in it is the path of a Unix socket, one inside from the root on. BIND is an address of this machine, an
IPv6 one in square brackets; `*` is every IPv4 address. With none it is 127.0.0.1, so that nothing is open to others
unless it was asked for."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.model import noun
from dockshell.ssh.forwards import LONGEST_PATH, Spot, split

__all__ = ["Forward", "parse"]

_LOOPBACK = "127.0.0.1"


@noun(frozen=True)
class Forward:
    """listen: where, a port of 0 being any that is free; to: a port or a path inside."""

    listen: Spot
    to: Spot


def parse(words: str) -> Forward:
    """What follows TARGET. Raises UsageError."""
    found = split(words)
    (last, is_path), before = found[-1], found[:-1]
    if not before:
        return Forward(Spot(_LOOPBACK, _port(words, last)), Spot(port=_port(words, last)))
    to = Spot(path=_inside(words, last)) if is_path else Spot(port=_port(words, last))
    if len(before) == 1:
        field, is_path = before[0]
        if is_path:
            return Forward(Spot(path=_path(words, field)), to)
        if not field or field.isdigit():
            return Forward(Spot(_LOOPBACK, _free(words, field)), to)
        if to.path:
            raise _wrong(words)
        return Forward(Spot(_host(words, field), to.port), to)
    if len(before) > 2 or any(is_path for _, is_path in before):
        raise _wrong(words)
    (host, _), (port, _) = before
    return Forward(Spot(_host(words, host) if host else _LOOPBACK, _free(words, port)), to)


def _port(words: str, text: str, least: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and least <= int(text) < 1 << 16):
        raise _wrong(words)
    return int(text)


def _free(words: str, text: str) -> int:
    return _port(words, text or "0", 0)


def _host(words: str, text: str) -> str:
    if not text.isprintable() or any(letter.isspace() for letter in text) or len(text) > 255 or text.isdigit():
        raise _wrong(words)
    return {"*": "0.0.0.0", "localhost": _LOOPBACK}.get(text, text)


def _path(words: str, text: str) -> str:
    if "\0" in text or len(text.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        raise UsageError(f"{printable(text)!r} can't be a Unix socket's path, which has {LONGEST_PATH} bytes at most")
    return text


def _inside(words: str, text: str) -> str:
    if not text.startswith("/"):
        raise UsageError(f"{printable(text)!r} is no path from the container's root on: begin it with a slash")
    return _path(words, text)


def _wrong(words: str) -> UsageError:
    return UsageError(
        f"{printable(words)!r} is not a forward: it takes [BIND:]PORT[:PORT], as in 8080:80 or [::1]:8080:80, "
        "or a Unix socket's path for either, as in 8080:/run/app.sock"
    )
