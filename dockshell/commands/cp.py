"""`dockshell cp`: files into a container, out of one, and from one to another."""

from __future__ import annotations

import os
from stat import S_ISDIR

from dockshell.commands.looking import aimed, place, voice
from dockshell.copy.copying import Part, copy
from dockshell.copy.entry import CopyError, How, Swallowed, failure
from dockshell.copy.operands import Landing, expand, land, name_of
from dockshell.copy.report import Report
from dockshell.copy.sides import inside, owner_here, owner_inside
from dockshell.copy.tree import Tree
from dockshell.copy.words import Operand, parse
from dockshell.errors import UsageError
from dockshell.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.copy.destination import Owner
    from dockshell.copy.entry import Side
    from dockshell.model import Container, Target
    from dockshell.options import Arguments

__all__ = ["Copy", "run"]


def run(arguments: Arguments) -> int:
    """Copies → 0, or 1 where something was not copied. Raises UsageError, DockshellError."""
    *sources, last = map(parse, arguments.words)
    _check(sources, last)
    return Copy(arguments).run(sources, last)


def _check(sources: list[Operand], last: Operand) -> None:
    if all(each.target is None for each in (*sources, last)):
        raise UsageError("none of these is in a container: name one as TARGET:PATH, or use cp")
    if any(each.stream for each in sources):
        if len(sources) > 1 or last.stream:
            raise UsageError("a tar on stdin is the only SRC, and goes into a container's directory: give no other")
        if os.isatty(0):
            raise UsageError("- reads a tar from stdin, which is a terminal: pipe one in")
    if last.stream and os.isatty(1):
        raise UsageError("- writes a tar to stdout, which is a terminal: pipe it on, or send it to a file")


class Copy:
    """One call of the command."""

    def __init__(self, arguments: Arguments) -> None:
        everything = bool(arguments.on("archive"))
        self._arguments = arguments
        self._voice = voice(arguments)
        self._how = How(bool(arguments.on("follow_link")), everything)
        # Is a link that is named as SRC followed? As in cp: `cp -rH` without an option, `cp -r` with -r or -a.
        self._follows = self._how.follow or not (everything or arguments.on("recursive"))
        self._report = Report(self._voice, draws=os.isatty(2) and not arguments.on("quiet"))
        self._containers: dict[Target, Container] = {}
        self._sides: dict[Target, Side] = {}
        self._here = Tree()

    def run(self, sources: list[Operand], last: Operand) -> int:
        try:
            for operand in (*sources, last):
                self._side(operand)  # what can't be found at all is said before anything is copied
            if last.stream:
                self._out(sources)
            elif sources[0].stream:
                self._unpack(last)
            else:
                self._between(sources, last)
        finally:
            for side in self._sides.values():
                side.close()
            self._report.end()
        return 1 if self._report.failures else 0

    def _side(self, operand: Operand) -> Side:
        target = operand.target
        if target is None:
            return self._here
        if target not in self._sides:
            self._containers[target] = resolve(aimed(self._arguments, target), place(self._arguments), self._voice)
            self._sides[target] = inside(self._containers[target], _via(self._arguments), self._voice)
        return self._sides[target]

    def _owner(self, last: Operand) -> Owner:
        chown, everything = self._arguments.text("chown"), self._how.everything
        if last.target is None:
            return owner_here(chown, everything=everything)
        return owner_inside(self._containers[last.target], chown, everything=everything)

    def _between(self, sources: list[Operand], last: Operand) -> None:
        found = self._found(sources)
        if not found:
            return
        side = self._side(last)
        try:
            several = len(sources) > 1 or len(found) > 1
            landing = land(side, last.path, several=several, mode=found[0][2].st_mode)
            parts = self._parts(found, side, last, landing)
        except OSError as error:
            raise CopyError(f"nothing can be copied to {last.spoken}: {error.strerror}") from None
        self._put(parts, last, landing)

    def _put(self, parts: list[Part], last: Operand, landing: Landing, *, once: bool = False) -> None:
        """Copies; once more by another way, where the first found that it doesn't reach that place. once: the source
        can be read but once."""
        side = self._side(last)
        for part in parts:
            if part.source is side:
                side.copy_within(landing.directory)
        while True:
            try:
                sink = side.sink(landing.directory, self._owner(last), self._report)
            except OSError as error:
                raise CopyError(f"nothing can be copied to {last.spoken}: {error.strerror}") from None
            try:
                copy(parts, sink, self._how, self._report)
                return
            except Swallowed as told:
                if once:
                    raise CopyError(f"{told}, and what stdin gave is gone: do it again with --via nsenter") from None
                self._voice.tell(f"{told}: once more by a program inside")

    def _parts(
        self, found: list[tuple[Operand, bytes, os.stat_result]], side: Side, last: Operand, landing: Landing
    ) -> list[Part]:
        parts: list[Part] = []
        names: set[bytes] = set()
        for operand, path, facts in found:
            name = landing.name or name_of(path)
            if any(part.path == path and part.source is self._side(operand) for part in parts):
                self._report.say(f"{operand.spoken} is named more than once: it is copied once")
                continue
            try:
                if name in names and not S_ISDIR(facts.st_mode):
                    raise failure(17, "another of the same name was copied to that place just now")
                if name and _same(self._side(operand), path, side, os.path.join(landing.directory, name)):
                    raise failure(17, "it is the same file")
            except OSError as error:
                self._report.failed(path, error)
                continue
            names.add(name)
            spoken = os.fsencode(last.words) if name != landing.name else os.path.dirname(os.fsencode(last.words))
            parts.append(Part(self._side(operand), path, name, self._follows, spoken))
            if len(found) == 1 and not S_ISDIR(facts.st_mode):
                self._report.total = facts.st_size
        return parts

    def _found(self, sources: list[Operand]) -> list[tuple[Operand, bytes, os.stat_result]]:
        """The sources that are there, patterns expanded; those that aren't are reported."""
        found: list[tuple[Operand, bytes, os.stat_result]] = []
        for operand in sources:
            side = self._side(operand)
            try:
                paths = expand(side, operand.path) if operand.target else [operand.path]
            except OSError as error:
                self._report.failed(os.fsencode(operand.words), error)
                continue
            for path in paths:
                try:
                    if (facts := side.look(path, follow=self._follows)) is None:
                        raise failure(2)
                    found.append((operand, path, facts))
                except OSError as error:
                    spoken = os.fsencode(operand.words) if path == operand.path else path
                    self._report.failed(spoken, error)
        return found

    def _unpack(self, last: Operand) -> None:
        from dockshell.copy.tar import TarSource

        side = self._side(last)
        try:
            facts = side.look(last.path)
            if facts is None or not S_ISDIR(facts.st_mode):
                raise failure(2 if facts is None else 20, "a tar is unpacked in a directory that is there")
        except OSError as error:
            raise CopyError(f"nothing can be copied to {last.spoken}: {error.strerror}") from None
        source = TarSource(lambda size: os.read(0, size))
        self._put([Part(source, b"-", b"", False, os.fsencode(last.words))], last, Landing(last.path, b""), once=True)

    def _out(self, sources: list[Operand]) -> None:
        from dockshell.copy.tar import TarSink

        found = self._found(sources)
        parts = [
            Part(self._side(operand), path, name_of(path) or b".", self._follows, b"") for operand, path, _ in found
        ]
        copy(parts, TarSink(_write_out, self._report), self._how, self._report)


def _same(source: Side, path: bytes, side: Side, where: bytes) -> bool:
    """Is what would be written over the source itself, or what it leads to? An engine doesn't tell who a file is."""
    if not isinstance(source, Tree) or not isinstance(side, Tree):
        return False
    for follow in (True, False):
        first, second = source.look(path, follow=follow), side.look(where, follow=follow)
        if first and second and (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
            return True
    return False


def _write_out(data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def _via(arguments: Arguments) -> str:
    said = arguments.text("via") or "auto"
    if said not in ("auto", "nsenter", "exec"):
        raise UsageError("--via takes auto, nsenter (by this kernel) or exec (by the engine) here")
    return said
