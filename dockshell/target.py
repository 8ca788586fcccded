"""Words → Target. Pure.

The grammar:

    TARGET   = [ENGINE "://"] WHAT
    ENGINE   = "docker" | "podman" | "kernel"       pins the engine
    WHAT     = "@latest"                            the running container that was created last
             | "label:" KEY ["=" VALUE]             the container with that label
             | "pid:" NUMBER                        the container in which the host's process NUMBER runs
             | NAME [":" REPLICA]

A NAME fits, in this order of rank: a container's exact name, or its whole id; a service of Compose, `SERVICE` or
`PROJECT/SERVICE`, of which REPLICA picks one container; the beginning of an id; the beginning of a name. The best rank
at which anything fits decides, and more than one container there is an error.

A service is looked for in the project of where the caller is (Project) before all others. Of its containers those that
run come first, then those that aren't one-off (`docker compose run`), then the lowest number: what `docker compose
exec` takes (https://github.com/docker/compose/blob/main/pkg/compose/containers.go). By the beginning of a name, too,
one that doesn't run counts only if no running one fits."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.model import Target, noun

__all__ = [
    "ELSEWHERE",
    "ENGINES",
    "EXACT",
    "ID",
    "LATEST",
    "Project",
    "as_service",
    "belongs",
    "elsewhere",
    "fits",
    "labelled",
    "nearest",
    "parse",
    "project_of",
    "rank",
    "replica_of",
    "rule",
    "serves",
    "service_of",
    "several",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockshell.model import Container

ENGINES = ("docker", "podman", "kernel")
LATEST = Target("latest")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_HEX = frozenset("0123456789abcdef")
_MANY = frozenset(",*?[")
_COMPOSE = "com.docker.compose."
EXACT, _HERE, _SERVICE, ID, _BEGINNING = range(5)  # the ranks at which a name may fit


@noun(frozen=True)
class Project:
    """The Compose project of where the caller is. name: where somebody named it (-p, COMPOSE_PROJECT_NAME). Else it is
    the one whose working directory is the first of these directories in which any is; usual: the name that Compose
    would give it, which decides between two projects of one directory. only: no other project is meant."""

    name: str = ""
    directories: tuple[str, ...] = ()
    usual: str = ""
    only: bool = False


ELSEWHERE = Project()


def elsewhere() -> Project:
    """The project of a caller that is in none."""
    return ELSEWHERE


def parse(words: str) -> Target:
    """The Target that the words name. Raises UsageError where they follow no rule of the grammar."""
    engine, pinned, what = words.partition("://")
    if not pinned or ":" in engine:
        engine, pinned, what = "", "", words  # a :// in a label's value, as in label:url=http://web
    elif engine not in ENGINES:
        raise UsageError(f"{printable(engine)!r} is no engine: TARGET may begin with {'://, '.join(ENGINES)}://")
    kind, colon, value = what.partition(":")
    if what == "@latest" or (pinned and not what):
        return Target("latest", engine=engine)
    if colon and kind == "label":
        if not value.partition("=")[0] or not value.isprintable():
            raise UsageError("label: needs a key, as in label:app=web")
        return Target("label", value, engine)
    if colon and kind == "pid":
        if not _number(value) or int(value) < 1:
            raise UsageError("pid: needs the number of a process, as in pid:4711")
        return Target("pid", str(int(value)), engine)
    name, colon, replica = what.removeprefix("/").partition(":")
    if colon and (not _number(replica) or int(replica) < 1):
        raise UsageError(f"after {printable(name)}: goes the number of a replica, from 1")
    project, slash, service = name.partition("/")
    if not all(map(_plain, (project, service) if slash else (name,))):
        raise UsageError(
            f"{printable(words)!r} can't be a container: "
            "a name, an id, project/service, label:KEY, pid:N or @latest can"
        )
    return Target("name", name, engine, int(replica) if colon else 0)


def as_service(target: Target, project: str = "", index: str = "", *, named: bool = False) -> Target:
    """The target where -p (project) or --index (a replica's number) say more of it. named: a project was named, so that
    nothing but a service of that is meant. Raises UsageError where they do not go together."""
    if target.kind != "name":
        raise UsageError(f"-p, -f and --index are about a service of Compose, and {target} is none: name a service")
    if index and not (_number(index) and int(index) > 0):
        raise UsageError(f"--index takes the number of a replica, from 1; not {printable(index)!r}")
    if index and target.replica not in (0, int(index)):
        raise UsageError(f"{target} and --index {int(index)} are two replicas: give one of them")
    of, slash, service = target.value.rpartition("/")
    if project and slash and of != project:
        raise UsageError(f"{target} and -p {printable(project)} are two projects: give one of them")
    if project and not _plain(project):
        raise UsageError(f"-p takes a project's name, which {printable(project)!r} can't be: `dockshell ls` shows them")
    kind = "service" if named or project else target.kind
    return Target(
        kind, f"{project}/{service}" if project else target.value, target.engine, int(index or target.replica)
    )


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _plain(name: str) -> bool:
    """Docker's own rule for names: [a-zA-Z0-9][a-zA-Z0-9_.-]*."""
    return name[:1] in _LETTERS and bool(name) and all(c in _LETTERS or c in "_.-" for c in name)


def several(words: str) -> bool:
    """Do the words mean many containers, by a list or a pattern (fleet/words.py)? A label's value may hold anything, so
    what begins with `label:` is one TARGET as a whole."""
    what = words.partition("://")[2] or words
    return not what.startswith(("label:", "pid:")) and not _MANY.isdisjoint(what)


def fits(
    target: Target, containers: Sequence[Container], project: Project = ELSEWHERE, *, stopped: bool = False
) -> list[Container]:
    """Those of the containers that the target's words fit, all of the best rank (see above), in the order given; the
    rule for names and labels that every engine shares. stopped: those that don't run come before those that do."""
    if target.kind == "label":
        return _preferred([c for c in containers if labelled(c, target.value)], stopped)
    name = target.value
    if target.kind == "name" and not target.replica:
        # The id first: engines make it, while a name may be chosen to look like another's id.
        exact = [c for c in containers if c.id == name] or [c for c in containers if c.name == name]
        if exact:
            return exact
    served = _served(target, containers, project, stopped)
    if served or target.kind == "service" or target.replica or "/" in name:
        return served
    if set(name) <= _HEX and (known := [c for c in containers if c.id.startswith(name)]):
        return known
    return _preferred([c for c in containers if c.name.startswith(name)], stopped)


def _served(target: Target, containers: Sequence[Container], project: Project, stopped: bool) -> list[Container]:
    named, _, service = target.value.rpartition("/")
    served = [c for c in containers if serves(c, named, service, target.replica)]
    served = _preferred(served if named and not project.only else nearest(served, project), stopped)
    first: dict[str, tuple[bool, int]] = {}
    for each in served:
        of = project_of(each)
        first[of] = min(_order(each), first.get(of, _order(each)))
    return [c for c in served if _order(c) == first[project_of(c)]]


def nearest(containers: Sequence[Container], project: Project) -> Sequence[Container]:
    """Those of the containers that belong to the project, if any do; else all of them, or none where only that one is
    meant."""
    here: Sequence[Container] = ()
    if project.name:
        here = [c for c in containers if project_of(c) == project.name]
    else:
        found = ([c for c in containers if _directory(c) == directory] for directory in project.directories)
        here = next(filter(None, found), ())
        here = [c for c in here if project_of(c) == project.usual] or here
    return here or (() if project.only else containers)


def belongs(container: Container, project: Project) -> bool:
    """Is it the project's?"""
    return project_of(container) == project.name if project.name else _directory(container) in project.directories


def rank(target: Target, container: Container, project: Project = ELSEWHERE) -> int:
    """How well a container fits which fits(); the lowest is the best, and EXACT leaves no doubt."""
    if target.kind not in ("name", "service"):
        return EXACT
    if target.kind == "name" and not target.replica and target.value in (container.id, container.name):
        return EXACT
    named, _, service = target.value.rpartition("/")
    if serves(container, named, service, target.replica):
        return _HERE if named or belongs(container, project) else _SERVICE
    return ID if set(target.value) <= _HEX and container.id.startswith(target.value) else _BEGINNING


def rule(target: Target, container: Container, project: Project = ELSEWHERE) -> str:
    """By what a container was found that fits, as the end of a sentence."""
    if target.kind in ("label", "pid"):
        return f"by its {'label' if target.kind == 'label' else 'process'}"
    found = rank(target, container, project)
    if found in (_HERE, _SERVICE):
        here = ", the project here" if belongs(container, project) else ""
        service = target.value.rpartition("/")[2]
        return f"as the service {service} of the project {printable(project_of(container))}{here}"
    if found == EXACT:
        return "by its name" if container.name == target.value else "by its id"
    return f"by the beginning of its {'id' if found == ID else 'name'}"


def labelled(container: Container, words: str) -> bool:
    """Has it that label, as `KEY` or `KEY=VALUE` says?"""
    key, equals, value = words.partition("=")
    return key in container.labels and (not equals or container.labels[key] == value)


def serves(container: Container, project: str, service: str, replica: int = 0) -> bool:
    """Is it of that Compose service? project: empty for any; replica: its number, 0 for any."""
    labels = container.labels
    return (
        labels.get(_COMPOSE + "service") == service
        and project in ("", labels.get(_COMPOSE + "project"))
        and str(replica or "") in ("", labels.get(_COMPOSE + "container-number"))
    )


def project_of(container: Container) -> str:
    """The name of its Compose project, empty for none."""
    return container.labels.get(_COMPOSE + "project", "")


def service_of(container: Container) -> str:
    """The name of its Compose service, empty for none."""
    return container.labels.get(_COMPOSE + "service", "")


def replica_of(container: Container) -> int:
    """Its number among those of its service; 0 for none, and for what is no number, which Compose never gives."""
    number = container.labels.get(_COMPOSE + "container-number", "")
    return int(number) if _number(number) else 0


def _directory(container: Container) -> str:
    return container.labels.get(_COMPOSE + "project.working_dir", "")


def _order(container: Container) -> tuple[bool, int]:
    """By what Compose chooses among a service's containers. What has no number comes last."""
    return container.labels.get(_COMPOSE + "oneoff") == "True", replica_of(container) or 1 << 40


def _preferred(found: Sequence[Container], stopped: bool) -> list[Container]:
    """Those that run, or, if asked for, those that don't; all of them where there are none such."""
    if stopped:
        return [c for c in found if c.state not in ("running", "paused")] or list(found)
    return [c for c in found if c.state == "running"] or list(found)
