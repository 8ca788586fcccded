"""Containers as the words that name them."""

from __future__ import annotations

from dockshell.completing.offering import plain, safe
from dockshell.model import Target
from dockshell.target import ENGINES, belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dockshell.completing.typed import Typed
    from dockshell.engines import Engine
    from dockshell.model import Container

__all__ = ["View", "labels", "names", "projects", "services", "several", "targets"]

_HEX = frozenset("0123456789abcdef")
_COMPOSE = ("project", "service", "container-number")  # the labels that Compose gives: com.docker.compose.*


class View:
    """The containers that a line may mean. typed: the line; wanted: `running`, `paused` or `stopped`. of_project: it
    names a Compose project, so that they are services."""

    def __init__(self, typed: Typed, wanted: str) -> None:
        self.of_project = typed.of_project
        self._typed = typed
        self._place = typed.place
        self._wanted = wanted

    def containers(self, engine: str = "", *, everywhere: bool = False) -> list[Container]:
        """Those of the first engine (of that kind) in which any is in that state, newest first: one request to each
        engine asked. everywhere: of whatever project."""
        from dockshell.errors import DockshellError

        for each in self._place.engines(Target("latest", engine=engine)):
            try:
                found = [row for row in _listed(each, self._wanted) if self._means(row)]
                if self.of_project and not everywhere:
                    found = [row for row in found if belongs(row, self._place.project())]
                if found:
                    return found
            except DockshellError:
                continue
        return []

    def container(self, words: str) -> Container:
        """The one that a whole TARGET names. Raises DockshellError."""
        from dockshell.resolve import resolve

        return resolve(self._typed.target(words), self._place)

    def _means(self, container: Container) -> bool:
        state, wanted = container.state, self._wanted
        return state == wanted or (wanted == "stopped" and state not in ("running", "paused"))


def targets(last: str, view: View) -> Iterator[tuple[str, str]]:
    """(word, description) for each TARGET that `last` may begin; of names and the like for an empty one."""
    pin, pinned, what = last.partition("://")
    if pinned and pin not in ENGINES:
        return
    before = pin + pinned if pinned else ""
    what = what if pinned else last
    if what and not view.of_project:  # not before anything was typed: the containers' names are to stand alone then
        yield f"{before}@latest", "the newest running container"
        yield f"{before}label:", "KEY or KEY=VALUE"
        yield f"{before}pid:", "a process of this host"
        yield from ((f"{engine}://", "of that engine") for engine in ENGINES if not pinned)
    if what.startswith(("@", "pid:")):
        return
    containers = view.containers(pin if pinned else "")
    if view.of_project:
        services = ((_composed(each)[1], f"service{plain(f' of {_composed(each)[0]}')}") for each in containers)
        yield from ((before + word, what) for word, what in dict(services).items() if safe(word))
        return
    found = dict(_spelled(containers) if what.startswith("label:") else _named(containers, what))
    if what and set(what) <= _HEX and not any(word.startswith(what) for word in found):
        found = {each.id if len(what) > len(each.short) else each.short: _description(each) for each in containers}
    yield from ((before + word, description) for word, description in found.items() if safe(word))


def several(last: str, view: View) -> Iterator[tuple[str, str]]:
    """The same for the last of a list with commas; but for those that it has already."""
    head, comma, tail = last.rpartition(",")
    already = head.split(",")
    for word, description in targets(tail, view):
        if word not in already:
            yield head + comma + word, description


def names(view: View) -> Iterator[tuple[str, str]]:
    """Containers' names alone."""
    yield from ((each.name, _description(each)) for each in view.containers() if safe(each.name))


def services(view: View) -> Iterator[tuple[str, str]]:
    """Compose's services, alone and with their projects."""
    for each in view.containers():
        project, service, _ = _composed(each)
        if service:
            yield from ((word, "") for word in (service, f"{project}/{service}") if safe(word))


def projects(view: View) -> Iterator[tuple[str, str]]:
    """Compose's projects."""
    names = dict.fromkeys(_composed(each)[0] for each in view.containers(everywhere=True))
    yield from ((word, "") for word in names if safe(word))


def labels(view: View) -> Iterator[tuple[str, str]]:
    """KEY=VALUE, and KEY alone."""
    for each in view.containers():
        for key, value in each.labels.items():
            yield from ((word, plain(each.name)) for word in (key, f"{key}={value}") if safe(word))


def _named(containers: Sequence[Container], what: str) -> Iterator[tuple[str, str]]:
    """Names; then Compose's services, with their project once anything is typed, with replicas once a `:` is."""
    for each in containers:
        yield each.name, _description(each)
    known = {each.name for each in containers}
    for each in containers:
        project, service, number = _composed(each)
        for word in (service, f"{project}/{service}") if service and project else ():
            if word not in known and (what or word == service):
                yield word, "service" + plain(f" of {project}" if word == service else "")
            if ":" in what and number:
                yield f"{word}:{number}", _description(each)


def _spelled(containers: Sequence[Container]) -> Iterator[tuple[str, str]]:
    for each in containers:
        for key, value in each.labels.items():
            yield f"label:{key}={value}", plain(each.name)


def _composed(container: Container) -> tuple[str, str, str]:
    project, service, number = (str(container.labels.get(f"com.docker.compose.{part}", "")) for part in _COMPOSE)
    return project, service, number


def _description(container: Container) -> str:
    return "container" + plain(f" of {container.image}" if container.image else "")


def _listed(engine: Engine, wanted: str) -> list[Container]:
    if engine.api is None:
        return engine.all()
    from dockshell.engines.docker import DockerEngine, from_listing, is_ours

    known = DockerEngine(engine.api)
    found = []
    for facts in engine.api.containers(everything=wanted != "running"):
        try:
            found.append(from_listing(facts, known))
        except Exception:
            continue  # one that makes no sense doesn't hide the others
    theirs = [each for each in found if not is_ours(each)]
    return sorted(theirs, key=lambda each: each.created, reverse=True)
