"""What is told of a fleet: line by line, in pieces, or as JSON; and a summary."""

from __future__ import annotations

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dockshell.fleet.spool import Spool
    from dockshell.fleet.worker import Result
    from dockshell.model import Container
    from dockshell.output.names import Names

    Write = Callable[[int, bytes], None]

__all__ = ["AsJson", "ByLine", "Grouped", "summary", "worst"]

_LONGEST = 1 << 16  # bytes of a line that are kept until its end comes; a longer one is told in parts
_NAMED = 5


class ByLine:
    """The `Report` that tells every line as it comes, with its container's name in front. No line is torn by another;
    what a command writes last gets a newline where it has none."""

    def __init__(self, names: Names, write: Write) -> None:
        self._names = names
        self._write = write
        self._begun: dict[tuple[int, int], bytes] = {}

    def wrote(self, number: int, stream: int, data: bytes) -> None:
        whole, newline, rest = (self._begun.pop((number, stream), b"") + data).rpartition(b"\n")
        if len(rest) > _LONGEST:
            whole, newline, rest = whole + newline + rest, b"\n", b""
        if newline:
            name = self._names.before_lines(number, stream)
            self._write(stream, name + whole.replace(b"\n", b"\n" + name) + b"\n")
        if rest:
            self._begun[number, stream] = rest

    def ended(self, number: int, result: Result, seconds: float) -> None:
        for stream in (1, 2):
            if self._begun.get((number, stream)):
                self.wrote(number, stream, b"\n")
        if result.error:
            self.wrote(number, 2, _said(result))


class Grouped:
    """The `Report` that tells what each wrote in one piece when it has ended, below its name; nothing of those that
    wrote nothing. The bytes are the command's own, and a newline where they don't end with one."""

    def __init__(self, names: Names, write: Write) -> None:
        self._names = names
        self._write = write
        self._spools: dict[int, Spool] = {}

    def wrote(self, number: int, stream: int, data: bytes) -> None:
        _spool(self._spools, number).add(stream, data)

    def ended(self, number: int, result: Result, seconds: float) -> None:
        if result.error:
            self.wrote(number, 2, _said(result))
        spool = self._spools.pop(number, None)
        if spool is None:
            return
        last: dict[int, bytes] = {}
        for stream, data in spool.pieces():
            if not last or (stream not in last and self._names.apart):
                self._write(stream, self._names.above(number, stream))
            self._write(stream, data)
            last[stream] = data
        for stream, data in last.items():
            if not data.endswith(b"\n"):
                self._write(stream, b"\n")
        spool.close()


class AsJson:
    """The `Report` that tells of each in a line of JSON when it has ended: the facts, stdout and stderr. What isn't
    UTF-8 is told in base64, as stdout_base64 or stderr_base64."""

    def __init__(self, containers: Sequence[Container], write: Write) -> None:
        self._containers = containers
        self._write = write
        self._spools: dict[int, Spool] = {}

    def wrote(self, number: int, stream: int, data: bytes) -> None:
        _spool(self._spools, number).add(stream, data)

    def ended(self, number: int, result: Result, seconds: float) -> None:
        import json

        container = self._containers[number]
        facts = {
            "name": container.name,
            "id": container.id,
            "engine": container.engine.name,
            "image": container.image,
            "route": result.route or None,
            "exit_code": result.code,
            "signal": result.signal or None,
            "seconds": round(seconds, 3),
            "error": result.error or None,
        }
        spool = _spool(self._spools, number)
        self._write(1, json.dumps(facts)[:-1].encode())
        for stream, key in ((1, "stdout"), (2, "stderr")):
            for piece in _told(spool, stream, key):
                self._write(1, piece)
        self._write(1, b"}\n")
        self._spools.pop(number).close()


def _said(result: Result) -> bytes:
    return f"dockshell: {result.error}\n".encode("utf-8", "backslashreplace")


def _spool(spools: dict[int, Spool], number: int) -> Spool:
    if number not in spools:
        # Not before: temporary files are 10 ms of imports.
        from dockshell.fleet.spool import Spool

        spools[number] = Spool()
    return spools[number]


def _told(spool: Spool, stream: int, key: str) -> Iterator[bytes]:
    """A key and its value, piece by piece: nobody knows how long it is."""
    import json
    from base64 import b64encode

    try:
        for _ in _text(spool.of(stream)):
            pass
    except UnicodeDecodeError:
        yield f', "{key}_base64": "'.encode()
        rest = b""
        for data in spool.of(stream):
            rest += data
            whole = len(rest) // 3 * 3
            yield b64encode(rest[:whole])
            rest = rest[whole:]
        yield b64encode(rest)
    else:
        yield f', "{key}": "'.encode()
        for text in _text(spool.of(stream)):
            yield json.dumps(text)[1:-1].encode()
    yield b'"'


def _text(pieces: Iterator[bytes]) -> Iterator[str]:
    """Raises UnicodeDecodeError."""
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")()
    for data in pieces:
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def worst(results: Mapping[int, Result], told: int) -> int:
    """The exit code of all: the highest of theirs; at least 128 + the signal that kept some from beginning (told, 0 for
    none)."""
    return max([result.code for result in results.values()] + ([128 + told] if told else []))


def summary(containers: Sequence[Container], results: Mapping[int, Result]) -> str:
    """How many went well, and which did not: `48 ok, 1 exit 3 (api-2), 1 not entered (db)`."""
    kinds: dict[str, list[str]] = {}
    for number, container in enumerate(containers):
        kinds.setdefault(_kind(results.get(number)), []).append(printable(container.name))
    ok = kinds.pop("ok", [])
    parts = [f"{len(ok)} ok"] if ok else []
    for kind, names in sorted(kinds.items()):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts.append(f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{more})")
    return ", ".join(parts)


def _kind(result: Result | None) -> str:
    if result is None:
        return "not begun"
    if result.error and result.code == 125:
        return "not entered"
    if result.error and result.code == 124:
        return "timed out"
    if result.signal:
        return f"signal {result.signal}"
    return f"exit {result.code}" if result.code else "ok"
