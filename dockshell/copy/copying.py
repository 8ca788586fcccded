"""Sources → a sink: every entry of the ones put into the other, and each that fails told of."""

from __future__ import annotations

from stat import S_ISDIR

from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.copy.entry import How, Side, Sink
    from dockshell.copy.report import Report
    from dockshell.copy.tar import TarSource


__all__ = ["Part", "copy"]


@noun(frozen=True)
class Part:
    """One source's path, what its copy is called (empty: what is in it goes to the sink's directory), and whether a
    link in its place is followed. spoken: how messages name the copy's directory."""

    source: Side | TarSource
    path: bytes
    name: bytes
    follow: bool
    spoken: bytes


def copy(parts: Iterable[Part], sink: Sink, how: How, report: Report) -> None:
    """Puts all of them into the sink, and closes it. What fails is reported; the rest is copied. Raises DockshellError
    where nothing more can be."""
    try:
        for part in parts:
            try:
                _copy(part, sink, how, report)
            except OSError as error:
                report.failed(part.path, error)
        sink.finish()
    finally:
        sink.close()


def _copy(part: Part, sink: Sink, how: How, report: Report) -> None:
    refused: bytes | None = None  # a directory that could not be made: what is in it has failed with it
    for entry in part.source.entries(part.path, part.name, part.follow, how, report):
        try:
            if refused is None or not entry.path.startswith(refused):
                sink.put(entry)
        except OSError as error:
            report.failed(part.spoken.rstrip(b"/") + b"/" + entry.path, error)
            if S_ISDIR(entry.mode):
                refused = entry.path + b"/"
        finally:
            if entry.content is not None:
                entry.content.close()
