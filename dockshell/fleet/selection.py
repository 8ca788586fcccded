"""What to look for → the containers, each once. All of it is found before anything is run: a name that fits nothing is
a slip, and a command in half of those that were meant is seldom what was meant."""

from __future__ import annotations

from dockshell.errors import Ambiguous, EngineError, NotFound, printable
from dockshell.fleet.words import Marks, Pattern
from dockshell.model import Target
from dockshell.resolve import resolve
from dockshell.target import belongs, nearest, project_of, serves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dockshell.model import Container
    from dockshell.resolve import Place
    from dockshell.target import Project
    from dockshell.voice import Voice

__all__ = ["select"]

_ALIVE = ("running", "paused", "restarting")  # what `dockshell ls` shows: one that can't be entered is told of, too


def select(wanted: Iterable[Target | Pattern | Marks], place: Place, voice: Voice) -> list[Container]:
    """The containers that any of these means: in the order of what is wanted, those of one pattern by name; of the
    place's project alone where only that is meant. voice tells of each engine that can't be asked.

    Raises NotFound, Ambiguous, EngineError.
    """
    listings = _Listings(place, voice)
    found: dict[str, Container] = {}
    for each in wanted:
        if isinstance(each, Target):
            meant = [resolve(each, place, voice)]
        else:
            meant = sorted(filter(each.fits, listings.of(each.engine)), key=lambda container: _natural(container.name))
            if isinstance(each, Marks):
                meant = _served(each, meant, place.project())
            if place.project().only:
                meant = [container for container in meant if belongs(container, place.project())]
        if not meant:
            raise NotFound(f"no running container fits {printable(str(each))}: `dockshell ls` shows what runs")
        for container in meant:
            found.setdefault(container.id, container)
    return list(found.values())


def _served(marks: Marks, found: Sequence[Container], project: Project) -> list[Container]:
    """Those of them that are of the services which are meant: a service without a project is that of the project here,
    else of the only one that has it. Raises Ambiguous."""
    kept: set[str] = set()
    for words in marks.services:
        named, _, service = words.rpartition("/")
        its = [each for each in found if serves(each, named, service)]
        its = its if named else list(nearest(its, project))
        projects = sorted({project_of(each) for each in its})
        if len(projects) > 1:
            known = " and ".join(f"--service {printable(each)}/{service}" for each in projects)
            raise Ambiguous(f"{service} is a service of more than one project: say which, as in {known}")
        kept.update(each.id for each in its)
    return [each for each in found if not marks.services or each.id in kept]


class _Listings:
    """What the engines list, asked once."""

    def __init__(self, place: Place, voice: Voice) -> None:
        self._place = place
        self._voice = voice
        self._known: dict[str, list[Container]] = {}

    def of(self, pinned: str) -> Sequence[Container]:
        """Those that live in every engine that answers, or in those of that name. Raises EngineError where none
        does."""
        if pinned not in self._known:
            self._known[pinned] = self._ask(pinned)
        return self._known[pinned]

    def _ask(self, pinned: str) -> list[Container]:
        listed: list[Container] = []
        failures = []
        answered = False
        for engine in self._place.engines(Target("latest", engine=pinned)):
            try:
                listed += [each for each in engine.all() if each.state in _ALIVE]
                answered = True
            except EngineError as error:
                failures.append(str(error))
                self._voice.tell(str(error))
        if not answered:
            raise EngineError("; ".join(failures))
        return listed


def _natural(name: str) -> list[tuple[int, str]]:
    """api-2 before api-10: numbers count as such."""
    parts: list[str] = []
    for letter in name:
        if parts and letter.isdecimal() == parts[-1][-1].isdecimal():
            parts[-1] += letter
        else:
            parts.append(letter)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
