"""Target → one container, or an error that names the candidates."""

from __future__ import annotations

from dockshell.engines import where
from dockshell.errors import Ambiguous, EngineError, NotFound, NotRunning, printable
from dockshell.model import Target
from dockshell.target import (
    EXACT,
    Project,
    belongs,
    elsewhere,
    fits,
    project_of,
    rank,
    replica_of,
    rule,
    serves,
    service_of,
)
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dockshell.engines import Engine
    from dockshell.engines.where import Tls
    from dockshell.model import Container

__all__ = ["Place", "check_running", "newer_but_not_running", "resolve", "resolve_running"]

_SILENT = Voice()
_NAMED = 5  # candidates that an error names before it says how many more there are


class Place:
    """Where to look: -H's and --context's words, empty for the usual places. only: an engine that was found already,
    and is the one to ask. look: finds the Compose project whose services come first; it is asked where no container has
    just that name. tls: as --tls and the like have it. podman: host and context are Podman's --url and --connection,
    and this is its --identity; None where they are Docker's."""

    def __init__(
        self,
        host: str = "",
        context: str = "",
        only: Engine | None = None,
        look: Callable[[], Project] = elsewhere,
        tls: Tls | None = None,
        podman: str | None = None,
    ) -> None:
        self.host = host
        self.context = context
        self.only = only
        self.look = look
        self._project: Project | None = None
        self.tls = tls
        self.podman = podman

    def engines(self, target: Target) -> Iterable[Engine]:
        """The engines to ask for that target, in order, made as they are asked for. Raises EngineError where there is
        none."""
        if self.only:
            return (self.only,)
        processes = target.kind == "pid"
        return where.engines(
            self.host, self.context, target.engine, processes=processes, tls=self.tls, podman=self.podman
        )

    def project(self) -> Project:
        """The project, looked for once. Raises UsageError."""
        if self._project is None:
            self._project = self.look()
        return self._project


def resolve(target: Target, place: Place, voice: Voice = _SILENT, *, stopped: bool = False) -> Container:
    """The one container that fits best in all the engines; of the first engine where it leaves no doubt. voice tells of
    each engine that can't be asked, and what was found by which rule. stopped: one that doesn't run is meant: those
    go before running ones wherever more than one may fit, and `latest` is the one that ended last.

    Raises NotFound, Ambiguous, EngineError.
    """
    asked: list[Engine] = []
    failures: list[str] = []
    best: list[Container] = []
    for engine in place.engines(target):
        try:
            found = _find_stopped(engine, target, place) if stopped else engine.find(target, place.project)
        except EngineError as error:
            failures.append(str(error))
            voice.tell(str(error))
            continue
        asked.append(engine)
        if found:
            best = _best(target, place, best, found)
            if _rank(target, best[0], place) == EXACT:
                break
    if voice.loud:
        from dockshell.linux.trusted import report

        report(voice.tell)
    if len(best) == 1:
        _tell_found(target, best[0], place, voice)
        return best[0]
    if best:
        raise Ambiguous(_doubt(target, best))
    if not asked:
        raise EngineError("; ".join(failures))
    raise NotFound(_missing(target, asked, place, "stopped" if stopped else "running"))


def _rank(target: Target, container: Container, place: Place) -> int:
    # Not to look for a project where that doesn't matter.
    known = rank(target, container)
    return known if known == EXACT else rank(target, container, place.project())


def _best(target: Target, place: Place, known: list[Container], found: list[Container]) -> list[Container]:
    """Those of the better rank; of one rank both, but a container that two sockets of one engine have once."""
    if not known:
        return found
    before, now = _rank(target, known[0], place), _rank(target, found[0], place)
    if before != now:
        return known if before < now else found
    ids = [each.id for each in known]
    return known + [each for each in found if each.id not in ids]


def _tell_found(target: Target, container: Container, place: Place, voice: Voice) -> None:
    if not voice.loud:
        return
    name, engine = printable(container.name), container.engine
    how = f", {rule(target, container, place.project())}" if target.kind != "latest" else ""
    voice.tell(f"container: {name} ({printable(container.short)}) of {engine.name} at {engine.address}{how}")


def _doubt(target: Target, found: list[Container]) -> str:
    """Why it can't be said which is meant, and what to type."""
    projects = dict.fromkeys(project_of(each) for each in found)
    engines = {each.engine.address: each.engine.name for each in found}
    if len(engines) > 1:
        pin = f" or with {' or '.join(dict.fromkeys(f'{name}://' for name in engines.values()))} in front"
        return f"{target} fits {_names(found)} in different engines: say which by name{pin}"
    if target.kind in ("name", "service") and len(projects) > 1:
        service = target.value.rpartition("/")[2]
        if all(service_of(each) == service for each in found):
            return (
                f"{target} is a service of more than one project: say which, as in "
                f"{' or '.join(f'{printable(each)}/{service}' for each in projects)}; there are {_names(found)}"
            )
    return f"{target} fits {_names(found)}: say which by name or by more of the id"


def resolve_running(target: Target, place: Place, voice: Voice = _SILENT) -> Container:
    """resolve(), and check_running(). voice says so where a newer one than the newest that runs was passed over."""
    container = resolve(target, place, voice)
    check_running(container)
    newer = newer_but_not_running(container) if target.kind == "latest" else None
    if newer:
        taken = printable(container.name)
        voice.say(f"{printable(newer.name)} is newer but not running ({printable(newer.state)}): taking {taken}")
    return container


def check_running(container: Container) -> None:
    """Raises NotRunning, with the remedy, where it can't be entered as it is."""
    if container.state == "running":
        return
    name, program = printable(container.name), container.engine.name
    if container.state == "paused":
        raise NotRunning(
            f"{name} is paused: `{program} unpause {name}` lets it go on, and with --unpause it goes on for a session"
        )
    files = f"`dockshell shell --stopped {name}` is a shell on its files"
    if container.state == "restarting":
        raise NotRunning(
            f"{name} is restarting, its command keeps ending: `{program} logs {name}` may tell why, {files}"
        )
    raise NotRunning(
        f"{name} is not running ({printable(container.state)}): `{program} start {name}` starts it, {files}"
    )


def _find_stopped(engine: Engine, target: Target, place: Place) -> list[Container]:
    if target.kind == "pid":
        return engine.find(target)
    everything = engine.all()
    if target.kind == "latest":
        # A listing doesn't tell when they ended. One that never began counts from when it was made.
        stopped = [each for each in everything if each.state not in ("running", "paused")]
        known = [each for row in stopped for each in engine.find(Target("name", row.id))]
        return sorted(known, key=lambda each: max(each.ended, each.created))[-1:]
    fitting = fits(target, everything, place.project(), stopped=True)
    return engine.find(Target("name", fitting[0].id)) if len(fitting) == 1 else fitting


def newer_but_not_running(container: Container) -> Container | None:
    """The newest of all, where that isn't this one, the newest that runs, and doesn't run itself."""
    newest = container.engine.newest()
    if newest is None or newest.id == container.id or newest.state == "running":
        return None
    # A listing counts in whole seconds.
    return newest if newest.created >= int(container.created) else None


def _missing(target: Target, asked: list[Engine], place: Place, wanted: str) -> str:
    looked = " and ".join(f"{engine.name} at {engine.address}" for engine in asked)
    if target.kind == "latest":
        hint = "start one, or name a TARGET" if wanted == "running" else "name a TARGET"
        return f"no container is {wanted} ({looked}): {hint}"
    known = [each for engine in asked for each in engine.all()]
    if target.kind == "service":
        project = place.project()
        return _unserved(f"no container belongs to the service {target} ({looked})", known, project)
    if target.replica and (numbers := _replicas(target, known)):
        more = ", ..." if len(numbers) > _NAMED else ""
        shown = ", ".join(numbers[:_NAMED]) + more
        have = f"has the replicas {shown}" if len(numbers) > 1 else f"has only the replica {shown}"
        return f"no container fits {target} ({looked}): the service {have}"
    import difflib

    names = {each.name: each for each in known}
    near = [names[name] for name in difflib.get_close_matches(target.value, names, n=_NAMED, cutoff=0.5)]
    if near:
        return f"no container fits {target} ({looked}); did you mean {_names(near)}?"
    meant = [each for each in known if (each.state == "running") == (wanted == "running")]
    hint = f"{wanted} are {_names(meant)}" if meant else f"none is {wanted}"
    return f"no container fits {target} ({looked}): {hint}"


def _replicas(target: Target, known: list[Container]) -> list[str]:
    """The numbers that there are of that service."""
    project, _, service = target.value.rpartition("/")
    numbers = {replica_of(each) for each in known if serves(each, project, service)}
    return list(map(str, sorted(numbers - {0})))


def _unserved(sentence: str, known: list[Container], project: Project) -> str:
    """What there is of that project, or else of that service."""
    own = [each for each in known if belongs(each, project)]
    named = sorted({service_of(each) for each in own} - {""})
    if named:
        return f"{sentence}: its services are {printable(', '.join(named[:_NAMED]))}"
    others = sorted({project_of(each) for each in known} - {""})
    shown = f": the projects are {printable(', '.join(others[:_NAMED]))}" if others else ": no project has containers"
    return sentence + shown


def _names(containers: list[Container]) -> str:
    named = [f"{printable(each.name)} ({printable(each.short)})" for each in containers[:_NAMED]]
    more = f" and {len(containers) - _NAMED} more" if len(containers) > _NAMED else ""
    return ", ".join(named) + more
