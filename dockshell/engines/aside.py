"""A command of our own in a container, by the engine's exec and to its end: for what has to be done in there beside
what people run."""

from __future__ import annotations

from select import POLLIN, POLLOUT, poll
from time import monotonic

from dockshell.engines.frames import Frames
from dockshell.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.engines import Api, Stream

__all__ = ["LATE", "aside"]

LATE = -1  # the exit code of what took too long, or said too much
_CHUNK = 1 << 16
_SHUT_WR = 1


def aside(
    api: Api,
    container: str,
    argv: Sequence[str],
    user: str = "0",
    *,
    input: bytes = b"",
    limit: int = 1 << 16,
    patience: float = 10.0,
) -> tuple[int, bytes, bytes]:
    """Runs argv as that user, feeds it the input → its exit code, stdout and stderr. LATE as the code where it takes
    longer than `patience` seconds or says more than `limit` bytes: what answers is the container's. Raises EngineError
    (126 and 127 are codes here, as the engine has them)."""
    body = {"AttachStdin": bool(input), "AttachStdout": True, "AttachStderr": True, "User": user, "Cmd": list(argv)}
    exec_id = api.exec_create(container, body)
    stream = api.exec_start(exec_id, terminal=False)
    frames, told = Frames(), {1: b"", 2: b""}
    give_up = monotonic() + patience
    pending: bytes | None = input or None
    try:
        while True:
            waiter = poll()
            waiter.register(stream.fileno(), POLLIN | (POLLOUT if pending is not None else 0))
            events = waiter.poll(max(0, int((give_up - monotonic()) * 1000)))
            if not events:
                return LATE, told[1], told[2]
            if events[0][1] & ~POLLOUT:
                piece = _received(stream)
                if piece == b"":
                    break
                for kind, data in frames.feed(piece or b""):
                    told[2 if kind == 2 else 1] += data
                if len(told[1]) + len(told[2]) > limit:
                    return LATE, told[1], told[2]
            elif pending is not None:
                try:
                    pending = pending[stream.send(pending[:_CHUNK]) :]
                    if not pending:
                        pending = None
                        stream.shutdown(_SHUT_WR)
                except BlockingIOError:
                    pass
                except OSError:
                    pending = None  # it reads no more, and what it says of that is still to come
    finally:
        stream.close()
    while True:  # the engine ends the output a moment before it notes the code
        code = api.exec_inspect(exec_id).get("ExitCode")
        if isinstance(code, int) or monotonic() > give_up:
            return code if isinstance(code, int) else LATE, told[1], told[2]
        poll().poll(5)


def _received(stream: Stream) -> bytes | None:
    """What came; None for nothing yet."""
    try:
        return stream.recv(_CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        raise EngineError(f"the connection to the engine broke ({error.strerror}): is it still running?") from error
