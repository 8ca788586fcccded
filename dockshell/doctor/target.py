"""One container: each way into it, the user and login shell that a session would have, and its sshd."""

from __future__ import annotations

from dockshell import config
from dockshell.doctor.finding import Finding
from dockshell.engines.aside import aside
from dockshell.entering import Way, suited
from dockshell.environment import identity_of, login_shell
from dockshell.errors import DockshellError, NotRunning, UsageError, printable
from dockshell.model import Command
from dockshell.resolve import resolve_running
from dockshell.routes import ORDERS, ROUTES, Login, order
from dockshell.routes.obstacles import obstacle
from dockshell.ssh.listening import Endpoint
from dockshell.ssh.service import Facts, Service
from dockshell.voice import Voice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dockshell.model import Container, Target
    from dockshell.resolve import Place
    from dockshell.routes import Route

__all__ = ["findings"]

_SUBJECT = "target"
_PATIENCE = 5.0  # seconds for a look at the sshd inside


def findings(target: Target, place: Place) -> Iterator[Finding]:
    """What there is to say of the container that the target names. Raises what resolve() does."""
    try:
        container = resolve_running(target, place)
    except NotRunning as error:
        yield Finding(_SUBJECT, "wrong", str(error))
        return
    engine = container.engine
    what = f"{printable(container.name)} ({printable(container.short)}) of {engine.name} at {engine.address} runs"
    yield Finding(_SUBJECT, "ok", what)
    if found := obstacle(container):
        yield Finding(_SUBJECT, "wrong", found.what, found.remedy)
        return
    command, tried = _as_configured(container, place)
    yield from _ways(container, command, tried)
    yield from _login(container, command)
    yield from _sshd(container)


def _as_configured(container: Container, place: Place) -> tuple[Command, tuple[str, ...]]:
    """What a shell would be, and the routes that it would try."""
    try:
        way = Way(place, "", "shell", Login(), Voice(), config.load())
        command, way = suited(container, Command(), way)
        return command, order(way.via, "shell")
    except UsageError:  # of which there is a finding of its own
        return Command(), ORDERS["shell"]


def _ways(container: Container, command: Command, tried: tuple[str, ...]) -> Iterator[Finding]:
    """Every route, those that a shell tries first, in their order."""
    reasons = {name: _refusal(name, container, command) for name in dict.fromkeys((*tried, *ROUTES))}
    taken = next((name for name in tried if reasons[name] is None), "")
    for name, reason in reasons.items():
        if reason is None:
            yield Finding(_SUBJECT, "ok", f"{name}: {'open, and a shell goes this way' if name == taken else 'open'}")
        else:
            yield Finding(_SUBJECT, "note" if taken else "wrong", f"{name}: {reason}")


def _refusal(name: str, container: Container, command: Command) -> str | None:
    route: Route = __import__(ROUTES[name], fromlist=("route",)).route(Login())
    try:
        return route.refuses(container, command, asked=False)
    except DockshellError as error:
        return str(error)


def _login(container: Container, command: Command) -> Iterator[Finding]:
    files = container.engine.files(container)
    try:
        identity = identity_of(container, command, files)
        shell = login_shell(identity, files, command.shell)
    except DockshellError as error:
        yield Finding(_SUBJECT, "note", str(error))
        return
    name = printable(identity.name or str(identity.uid))
    yield Finding(_SUBJECT, "ok", f"the login shell is {printable(shell)}, as {name}")


def _sshd(container: Container) -> Iterator[Finding]:
    api = container.engine.api
    if api is None:
        return

    def inside(argv: Sequence[str]) -> tuple[int, bytes, bytes]:
        return aside(api, container.id, argv, limit=1 << 20, patience=_PATIENCE)

    try:
        facts = Service(container, container.engine.files(container), inside).look()
    except DockshellError as error:
        found = obstacle(container, failed=True)
        if found:
            yield Finding(_SUBJECT, "wrong", found.what, found.remedy)
        else:
            yield Finding(_SUBJECT, "note", str(error))
        return
    yield Finding(_SUBJECT, "ok", _described(facts))


def _described(facts: Facts) -> str:
    places = ", ".join(str(Endpoint(address, port)) for port, address in facts.listening)
    by_us = ", switched on by dockshell" if facts.recorded else ""
    return f"an sshd listens inside on {places}{by_us}" if places else "no sshd listens inside, and none is needed"
