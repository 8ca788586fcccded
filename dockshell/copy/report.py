"""What a copy has to tell: what failed, what was left out, how far it is."""

from __future__ import annotations

import os
from stat import S_IFMT, S_ISBLK, S_ISCHR, S_ISFIFO, S_ISSOCK
from time import monotonic

from dockshell.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from dockshell.copy.entry import Entry
    from dockshell.voice import Voice

    class Bar(Protocol):
        """What shows how far it is (output.py)."""

        def show(self, moved: int, total: int, files: int) -> None: ...
        def close(self) -> None: ...


__all__ = ["Report"]

_MOST_LINES = 20  # failures that are told one by one
_PATIENCE = 1.0  # seconds before there is anything to see: what is done by then needs no bar
_BETWEEN = 0.1


class Report:
    """draws: whether there is a terminal to show a bar at."""

    def __init__(self, voice: Voice, *, draws: bool = False) -> None:
        self._voice = voice
        self._draws = draws
        self._bar: Bar | None = None
        self._next = monotonic() + _PATIENCE
        self._lost: dict[str, int] = {}
        self.avoid = (0, 0)  # who the directory is that things are copied to: device and inode
        self.check = ""  # how what arrived was compared with what was sent
        self.failures = 0
        self.files = self.bytes = self.total = 0

    def failed(self, path: bytes, error: OSError) -> None:
        """That one was not copied, and why."""
        self.failures += 1
        if self.failures <= _MOST_LINES:
            self.say(f"{printable(os.fsdecode(path)) or '.'} was not copied: {printable(error.strerror or str(error))}")
        elif self.failures == _MOST_LINES + 1:
            self.say("more was not copied; how much is said at the end")

    def say(self, line: str) -> None:
        """A line for everybody, with no bar in its way."""
        self._end_bar()
        self._voice.say(line)

    def left_out(self, entry: Entry) -> None:
        """An entry that isn't copied unless that is asked for by who may."""
        mode = entry.mode
        kind = "sockets" if S_ISSOCK(mode) else "FIFOs" if S_ISFIFO(mode) else ""
        kind = kind or ("devices" if S_ISCHR(mode) or S_ISBLK(mode) else f"files of kind {S_IFMT(mode):o}")
        self._lost[kind] = self._lost.get(kind, 0) + 1

    def lost(self, what: str) -> None:
        """Something of an entry that could not be kept: `owner`, or an extended attribute's name."""
        self._lost[what] = self._lost.get(what, 0) + 1

    def passed_by(self, path: bytes) -> None:
        """What the kernel shows of itself, in the middle of other files."""
        self.say(f"{printable(os.fsdecode(path))} was left out: it is the kernel's; name it to copy from it")

    def moved(self, size: int) -> None:
        """So many more bytes are there."""
        self.bytes += size
        if self._draws and monotonic() > self._next:
            self._draw()

    def copied(self, entry: Entry) -> None:
        """One more entry is there, checked."""
        self.files += 1
        if self._draws and monotonic() > self._next:
            self._draw()

    def _draw(self) -> None:
        if self._bar is None:
            from dockshell.output.bars import Bar

            self._bar = Bar()
        self._bar.show(self.bytes, self.total, self.files)
        self._next = monotonic() + _BETWEEN

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def end(self) -> None:
        """The last words."""
        self._end_bar()
        kinds = {name: count for name, count in self._lost.items() if name in ("sockets", "FIFOs", "devices")}
        if kinds:
            listed = ", ".join(f"{count} {name[:-1] if count == 1 else name}" for name, count in sorted(kinds.items()))
            self._voice.say(f"left out: {listed} (-a copies them, as root)")
        for name, count in sorted(self._lost.items()):
            if name not in kinds:
                self._voice.tell(f"could not be kept: {printable(name)} of {count}")
        self._voice.tell(f"copied: {self.files} entries, {self.bytes} bytes; {self.check or 'nothing'} was compared")
