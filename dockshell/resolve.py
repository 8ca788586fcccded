"""Target → one container, or an error that names the candidates."""

from __future__ import annotations

from dockshell.engines import where
from dockshell.errors import Ambiguous, EngineError, NotFound, NotRunning, printable
from dockshell.model import Target
from dockshell.target import fits
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dockshell.engines import Engine
    from dockshell.model import Container

__all__ = ["Place", "check_running", "newer_but_not_running", "resolve", "resolve_running", "resolve_stopped"]

_SILENT = Voice()
_NAMED = 5  # candidates that an error names before it says how many more there are


class Place:
    """Where to look: -H's and --context's words, empty for the usual places. only: an engine that was found already,
    and is the one to ask."""

    def __init__(self, host: str = "", context: str = "", only: Engine | None = None) -> None:
        self.host = host
        self.context = context
        self.only = only

    def engines(self, target: Target) -> Iterable[Engine]:
        """The engines to ask for that target, in order, made as they are asked for. Raises EngineError where there is
        none."""
        if self.only:
            return (self.only,)
        return where.engines(self.host, self.context, pinned=target.engine, processes=target.kind == "pid")


def _find(engine: Engine, target: Target) -> list[Container]:
    return engine.find(target)


def resolve(
    target: Target,
    place: Place,
    voice: Voice = _SILENT,
    find: Callable[[Engine, Target], list[Container]] = _find,
) -> Container:
    """The one container that fits, of the first engine in which any does. voice tells of each engine that can't be
    asked. find: which fit there.

    Raises NotFound, Ambiguous, EngineError.
    """
    asked: list[Engine] = []
    failures: list[str] = []
    for engine in place.engines(target):
        try:
            found = find(engine, target)
        except EngineError as error:
            failures.append(str(error))
            voice.tell(str(error))
            continue
        if len(found) == 1:
            return found[0]
        if found:
            raise Ambiguous(f"{target} fits {_names(found)}: say which by name or by more of the id")
        asked.append(engine)
    if not asked:
        raise EngineError("; ".join(failures))
    raise NotFound(_missing(target, asked, "running" if find is _find else "stopped"))


def resolve_running(target: Target, place: Place, voice: Voice = _SILENT) -> Container:
    """resolve(), and check_running(). voice tells what was found, and says so where a newer one than the newest that
    runs was passed over."""
    container = resolve(target, place, voice)
    check_running(container)
    name, engine = printable(container.name), container.engine
    voice.tell(f"container: {name} ({printable(container.short)}) of {engine.name} at {engine.address}")
    newer = newer_but_not_running(container) if target.kind == "latest" else None
    if newer:
        voice.say(f"{printable(newer.name)} is newer but not running ({printable(newer.state)}): taking {name}")
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


def resolve_stopped(target: Target, place: Place, voice: Voice = _SILENT) -> Container:
    """The one container that fits where one that doesn't run is meant: those go before running ones wherever more than
    one may fit, and `latest` is the one that ended last. Raises as resolve() does."""
    container = resolve(target, place, voice, _find_stopped)
    name, engine = printable(container.name), container.engine
    voice.tell(f"container: {name} ({printable(container.short)}) of {engine.name} at {engine.address}")
    return container


def _find_stopped(engine: Engine, target: Target) -> list[Container]:
    if target.kind == "pid":
        return engine.find(target)
    named = engine.find(target) if target.kind != "latest" else []
    if len(named) == 1 and (
        named[0].state != "running" or target.value == named[0].name or named[0].id.startswith(target.value)
    ):
        return named
    stopped = [each for each in engine.all() if each.state not in ("running", "paused")]
    if target.kind == "latest":
        # A listing doesn't tell when they ended. One that never began counts from when it was made.
        known = [each for row in stopped for each in engine.find(Target("name", row.id))]
        return sorted(known, key=lambda each: max(each.ended, each.created))[-1:]
    fitting = fits(target, stopped)
    return engine.find(Target("name", fitting[0].id)) if len(fitting) == 1 else fitting or named


def newer_but_not_running(container: Container) -> Container | None:
    """The newest of all, where that isn't this one, the newest that runs, and doesn't run itself."""
    newest = container.engine.newest()
    if newest is None or newest.id == container.id or newest.state == "running":
        return None
    # A listing counts in whole seconds.
    return newest if newest.created >= int(container.created) else None


def _missing(target: Target, asked: list[Engine], wanted: str) -> str:
    looked = " and ".join(f"{engine.name} at {engine.address}" for engine in asked)
    if target.kind == "latest":
        hint = "start one, or name a TARGET" if wanted == "running" else "name a TARGET"
        return f"no container is {wanted} ({looked}): {hint}"
    known = [each for engine in asked for each in engine.all()]
    import difflib

    names = {each.name: each for each in known}
    near = [names[name] for name in difflib.get_close_matches(target.value, names, n=_NAMED, cutoff=0.5)]
    if near:
        return f"no container fits {target} ({looked}); did you mean {_names(near)}?"
    meant = [each for each in known if (each.state == "running") == (wanted == "running")]
    hint = f"{wanted} are {_names(meant)}" if meant else f"none is {wanted}"
    return f"no container fits {target} ({looked}): {hint}"


def _names(containers: list[Container]) -> str:
    named = [f"{printable(each.name)} ({printable(each.short)})" for each in containers[:_NAMED]]
    more = f" and {len(containers) - _NAMED} more" if len(containers) > _NAMED else ""
    return ", ".join(named) + more
