"""Target → one container, or an error that names the candidates."""

from __future__ import annotations

from dockshell.engines import where
from dockshell.errors import Ambiguous, EngineError, NotFound, NotRunning, printable
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.engines import Engine
    from dockshell.model import Container, Target

__all__ = ["Place", "newer_but_not_running", "resolve", "resolve_running"]

_SILENT = Voice()
_NAMED = 5  # candidates that an error names before it says how many more there are


class Place:
    """Where to look: -H's and --context's words, empty for the usual places."""

    def __init__(self, host: str = "", context: str = "") -> None:
        self.host = host
        self.context = context

    def engines(self, target: Target) -> Iterable[Engine]:
        """The engines to ask for that target, in order, made as they are asked for. Raises EngineError where there is
        none."""
        return where.engines(self.host, self.context, pinned=target.engine, processes=target.kind == "pid")


def resolve(target: Target, place: Place, voice: Voice = _SILENT) -> Container:
    """The one container that fits, of the first engine in which any does. voice tells of each engine that can't be
    asked.

    Raises NotFound, Ambiguous, EngineError.
    """
    asked: list[Engine] = []
    failures: list[str] = []
    for engine in place.engines(target):
        try:
            found = engine.find(target)
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
    raise NotFound(_missing(target, asked))


def resolve_running(target: Target, place: Place, voice: Voice = _SILENT) -> Container:
    """resolve(), and NotRunning with the remedy where it can't be entered as it is. voice tells what was found, and
    says so where a newer one than the newest that runs was passed over."""
    container = resolve(target, place, voice)
    name, program = printable(container.name), container.engine.name
    if container.state == "running":
        voice.tell(f"container: {name} ({printable(container.short)}) of {program} at {container.engine.address}")
        newer = newer_but_not_running(container) if target.kind == "latest" else None
        if newer:
            voice.say(f"{printable(newer.name)} is newer but not running ({printable(newer.state)}): taking {name}")
        return container
    if container.state == "paused":
        raise NotRunning(f"{name} is paused: `{program} unpause {name}` lets it go on")
    if container.state == "restarting":
        raise NotRunning(f"{name} is restarting, its command keeps ending: `{program} logs {name}` may tell why")
    raise NotRunning(f"{name} is not running ({printable(container.state)}): `{program} start {name}` starts it")


def newer_but_not_running(container: Container) -> Container | None:
    """The newest of all, where that isn't this one, the newest that runs, and doesn't run itself."""
    newest = container.engine.newest()
    if newest is None or newest.id == container.id or newest.state == "running":
        return None
    # A listing counts in whole seconds.
    return newest if newest.created >= int(container.created) else None


def _missing(target: Target, asked: list[Engine]) -> str:
    looked = " and ".join(f"{engine.name} at {engine.address}" for engine in asked)
    if target.kind == "latest":
        return f"no container is running ({looked}): start one, or name a TARGET"
    known = [each for engine in asked for each in engine.all()]
    import difflib

    names = {each.name: each for each in known}
    near = [names[name] for name in difflib.get_close_matches(target.value, names, n=_NAMED, cutoff=0.5)]
    if near:
        return f"no container fits {target} ({looked}); did you mean {_names(near)}?"
    running = [each for each in known if each.state == "running"]
    hint = f"running are {_names(running)}" if running else "none is running"
    return f"no container fits {target} ({looked}): {hint}"


def _names(containers: list[Container]) -> str:
    named = [f"{printable(each.name)} ({printable(each.short)})" for each in containers[:_NAMED]]
    more = f" and {len(containers) - _NAMED} more" if len(containers) > _NAMED else ""
    return ", ".join(named) + more
