"""What the process that speaks SSH asks of the one that enters containers (steward.py), how it is spelled between
them, and what becomes of it by what somebody may do. Pure."""

from __future__ import annotations

from dockshell.engines.json import decode, encode
from dockshell.errors import DockshellError
from dockshell.model import noun, replace

__all__ = ["LONGEST_LINE", "MOST_CELLS", "Allowed", "Errand", "pack", "passed_on", "permitted", "unpack"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST_LINE = 128 << 10  # bytes; what execve(2) takes as one argument: MAX_ARG_STRLEN
MOST_CELLS = 0xFFFF  # columns or rows of a terminal
_MOST_VARIABLES, _LONGEST_VARIABLE = 70, 8 << 10
_LONGEST_NAME, _LONGEST_PATH = 1 << 10, 4 << 10  # characters of a host's name, bytes of a path
_LARGEST_PORT = 0xFFFF
# The language counts for a login shell only (errands.py); git's is how its version 2 is asked for.
_PASSED_ON = ("LANG", "COLORTERM", "NO_COLOR", "GIT_PROTOCOL")
_OURS = ("TERM", "SSH_AUTH_SOCK")
_SESSIONS, _SOCKETS = ("command", "files"), ("connect", "listen", "connect-path", "listen-path")


@noun(frozen=True)
class Allowed:
    """What somebody who has logged in may do. target: whose container, as typed; admitted: the globs that its name must
    fit, none for any container that an engine names; None for any at all; user: as whom, empty for the container's own.
    line: the only command that may run, whatever is asked for; None for any. forwarding, agent, terminals: whether
    those may be had. key: whose limits count, empty for nobody's."""

    target: str
    user: str = ""
    admitted: tuple[str, ...] | None = None
    line: bytes | None = None
    forwarding: bool = True
    agent: bool = True
    terminals: bool = True
    key: str = ""


@noun(frozen=True)
class Errand:
    """what: a name in errands.py. For a command: line, empty for a login shell; terminal: its columns and rows, empty
    for none; env: pairs. For sockets: host and port, or a path inside.

    By permitted(): target, admitted and user, as Allowed has them; and for files words of scp's old protocol, empty for
    sftp."""

    what: str
    target: str = ""
    admitted: tuple[str, ...] | None = None
    user: str = ""
    line: bytes = b""
    terminal: tuple[int, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    words: tuple[bytes, ...] = ()
    host: str = ""
    port: int = 0
    path: bytes = b""


def passed_on(name: str) -> bool:
    """May a client set the variable of that name?"""
    return name in _PASSED_ON or (name.startswith("LC_") and name.isidentifier())


def permitted(errand: Errand, allowed: Allowed) -> Errand:
    """What is done of it for somebody who may do that. Nothing of the errand is trusted: it comes from a process that
    reads what the network sends. Raises DockshellError where it isn't allowed, or makes no sense."""
    _check(errand)
    own = replace(errand, target=allowed.target, admitted=allowed.admitted, user=allowed.user, words=(), env=())
    if errand.what in _SESSIONS:
        return _session(errand, own, allowed)
    own = replace(own, line=b"", terminal=())
    if not (allowed.agent if errand.what == "agent" else allowed.forwarding):
        raise DockshellError("your key forwards nothing")
    return own


def _session(errand: Errand, own: Errand, allowed: Allowed) -> Errand:
    what, line = errand.what, errand.line
    env = tuple(pair for pair in errand.env if pair[0] in _OURS or passed_on(pair[0]))
    if allowed.line is not None:
        if line:  # as sshd has it: sshd(8), command=
            env = (*env, ("SSH_ORIGINAL_COMMAND", line.decode("utf-8", "surrogateescape")))
        what, line = "command", allowed.line
    words = None
    if what == "command" and b"scp" in line:
        from dockshell.bridge.scp import words_of

        words = words_of(line)
    return replace(
        own,
        what="files" if words else what,
        line=b"" if words or what == "files" else line,
        words=tuple(words or ()),
        terminal=errand.terminal if allowed.terminals else (),
        env=env,
        host="",
        port=0,
        path=b"",
    )


def _check(errand: Errand) -> None:
    sound = (
        errand.what in (*_SESSIONS, *_SOCKETS, "agent")
        and len(errand.line) <= LONGEST_LINE
        and b"\0" not in errand.line + errand.path
        and len(errand.path) <= _LONGEST_PATH
        and len(errand.host) <= _LONGEST_NAME
        and 0 <= errand.port <= _LARGEST_PORT
        and len(errand.terminal) in (0, 2)
        and all(0 < cells <= MOST_CELLS for cells in errand.terminal)
        and len(errand.env) <= _MOST_VARIABLES
        and all(len(value) <= _LONGEST_VARIABLE and "\0" not in name + value for name, value in errand.env)
    )
    if not sound:
        raise DockshellError("that makes no sense")


_BYTES = ("line", "path")


def pack(it: Errand | Allowed) -> bytes:
    """As one message."""
    # JSON holds text: each byte becomes the character of its number.
    return encode({name: _text(value) for name, value in it.__dict__.items()})


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return [_text(each) for each in value] if isinstance(value, tuple) else value


def unpack(content: bytes, kind: type[Any] = Errand) -> Any:
    """The opposite; kind: Errand or Allowed. Raises ValueError for anything else."""
    try:
        fields = decode(content)
        if fields.keys() != set(kind.__annotations__):
            raise ValueError
        return kind(**{name: _typed(kind.__annotations__[name], value) for name, value in fields.items()})
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise ValueError(f"no {kind.__name__}") from None


def _typed(annotation: str, value: Any) -> Any:
    """The value as its annotation has it. Raises ValueError, TypeError."""
    wanted, _, nothing = annotation.partition(" | ")
    if value is None and nothing:
        return None
    if wanted == "bytes":
        return _str(value).encode("latin-1")
    if wanted == "str":
        return _str(value)
    if wanted in ("int", "bool"):
        if type(value).__name__ != wanted:
            raise TypeError
        return value
    element = wanted.removeprefix("tuple[").removesuffix(", ...]")
    if element.startswith("tuple["):
        return tuple((_str(first), _str(second)) for first, second in value)
    return tuple(_typed(element, each) for each in value)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
