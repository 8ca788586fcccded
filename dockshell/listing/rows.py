"""The engines' containers, a Row each: listed, glanced at, or asked in full."""

from __future__ import annotations

from dockshell.environment import SHELLS, identity_of, login_shell
from dockshell.errors import DockshellError, EngineError, NoShell, UserError
from dockshell.model import Command, Target, noun, replace
from dockshell.routes import ROUTES, UNSEEN, Login
from dockshell.target import LATEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockshell.engines import Files
    from dockshell.model import Container
    from dockshell.resolve import Place
    from dockshell.routes import Route

__all__ = ["Listing", "Row", "asked", "glanced", "listed"]

_UNSEEN_WAYS = tuple((name, UNSEEN) for name in ROUTES)


@noun(frozen=True)
class Row:
    """A container as a listing shows it. target: the words that name it, with its engine in front where containers of
    several are listed; shell: the name of the one inside, empty for none, UNSEEN; ways: (route, why it refuses) of each
    route, None where it doesn't, UNSEEN where nobody has looked."""

    container: Container
    target: str
    shell: str = UNSEEN
    ways: tuple[tuple[str, str | None], ...] = _UNSEEN_WAYS


@noun(frozen=True)
class Listing:
    """failures: of the engines that could not be asked, a sentence each; engines: what the others had, a line each."""

    rows: tuple[Row, ...]
    engines: tuple[str, ...]
    failures: tuple[str, ...]


def listed(place: Place, filters: Mapping[str, list[str]], *, everything: bool = False, last: int = 0) -> Listing:
    """The containers of every engine that answers, newest first, as their listings have them: one request each.
    filters: those of Docker's API; everything: those that don't run, too, which are also there where a status is asked
    for; last: so many, the newest of all, 0 for no limit. Raises EngineError where no engine answers."""
    engines: list[str] = []
    failures: list[str] = []
    found: list[list[Container]] = []
    for engine in place.engines(LATEST):
        try:
            containers = engine.all(filters) if everything or "status" in filters else engine.alive(filters)
            engines.append(f"{engine.name} at {engine.address}: {len(containers)} listed")
        except EngineError as error:
            failures.append(str(error))
            continue
        if containers:
            found.append(containers)
    if not engines:
        raise EngineError("; ".join(failures))
    rows = tuple(Row(each, _target(each, pinned=len(found) > 1)) for containers in found for each in containers)
    if last:
        rows = tuple(sorted(rows, key=lambda row: row.container.created, reverse=True)[:last])
    return Listing(rows, tuple(engines), tuple(failures))


def _target(container: Container, *, pinned: bool) -> str:
    return f"{container.engine.name}://{container.name}" if pinned else container.name


def glanced(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The same with what can be seen from here at no great cost, the engine not asked again: the first process of each
    container, whether bash, zsh, ash or sh lies in its files, and a glance at each route."""
    from dockshell.linux.census import first_processes
    from dockshell.routes.glances import Glances

    here = [row.container.id for row in rows if row.container.local and row.container.state == "running"]
    processes = first_processes(here)
    glances = Glances()
    seen = []
    for row in rows:
        pid = processes.get(row.container.id, 0)
        files = _files(pid)
        shell = UNSEEN if files is None or isinstance(files, OSError) else _shell(files)
        seen.append(Row(row.container, row.target, shell, glances.at(row.container, pid, files)))
    return tuple(seen)


def _files(pid: int) -> Files | OSError | None:
    from dockshell.linux.rootfs import RootFiles

    if not pid:
        return None
    try:
        return RootFiles(pid)
    except OSError as error:
        return error


def _shell(files: Files) -> str:
    return next((path.rpartition("/")[2] for path in SHELLS if files.executable(path)), "")


def asked(row: Row) -> Row:
    """The same with all that can be known: the engine tells its state anew, its login shell is looked for, and each
    route is asked whether it would take a login shell."""
    from dockshell.routes.glances import standing

    try:
        found = row.container.engine.find(Target("name", row.container.id))
        if not found:
            return row  # it went meanwhile
        container = found[0]
        row = replace(row, container=replace(row.container, state=container.state))
        if container.state != "running":
            return replace(row, ways=tuple((name, standing(container)) for name in ROUTES))
        return replace(row, shell=_login_shell(container), ways=_ways(container))
    except EngineError as error:
        return replace(row, ways=tuple((name, str(error)) for name in ROUTES))


def _login_shell(container: Container) -> str:
    files = container.engine.files(container)
    try:
        who = identity_of(container, Command(), files, names_only=True)
        return login_shell(who, files).rpartition("/")[2]
    except UserError:
        return _shell(files)
    except NoShell:
        return ""


def _ways(container: Container) -> tuple[tuple[str, str | None], ...]:
    from dockshell.routes.nsenter import Nsenter
    from dockshell.routes.toolbox import Toolbox

    told: list[tuple[str, str | None]] = []
    login, command, nsenter = Login(), Command(), Nsenter()
    for name, module in ROUTES.items():
        try:
            # The toolbox asks nsenter, whose answer is there already.
            standing_by: dict[str, Route] = {"nsenter": nsenter, "toolbox": Toolbox(login.voice, nsenter)}
            route = standing_by.get(name) or __import__(module, fromlist=("route",)).route(login)
            told.append((name, route.refuses(container, command, asked=False)))
        except DockshellError as error:
            told.append((name, str(error)))
    return tuple(told)
