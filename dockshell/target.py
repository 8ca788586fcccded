"""Words → Target. Pure.

The grammar:

    TARGET   = [ENGINE "://"] WHAT
    ENGINE   = "docker" | "podman" | "kernel"       pins the engine
    WHAT     = "@latest"                            the running container that was created last
             | "label:" KEY ["=" VALUE]             the container with that label
             | "pid:" NUMBER                        the container in which the host's process NUMBER runs
             | NAME [":" REPLICA]

A NAME fits, in this order of rank: a container's exact name; a prefix of its id; `PROJECT/SERVICE` or `SERVICE` of
Compose, of which REPLICA picks one; an unambiguous beginning of a name. The best rank at which anything fits decides.
From the third rank on containers that don't run count only if no running one fits."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.model import Target

__all__ = ["ENGINES", "LATEST", "fits", "labelled", "parse", "serves", "several"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dockshell.model import Container

ENGINES = ("docker", "podman", "kernel")
LATEST = Target("latest")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_HEX = frozenset("0123456789abcdef")
_MANY = frozenset(",*?[")


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


def fits(target: Target, containers: list[Container]) -> list[Container]:
    """Those of the containers that the target's words fit, all of the best rank (see above); the rule for names and
    labels that every engine shares."""
    if target.kind == "label":
        return _living([c for c in containers if labelled(c, target.value)])
    if not target.replica:
        if exact := [c for c in containers if c.name == target.value]:
            return exact
        if set(target.value) <= _HEX and (known := [c for c in containers if c.id.startswith(target.value)]):
            return known
    project, _, service = target.value.rpartition("/")
    served = [c for c in containers if serves(c, project, service, target.replica)]
    if served or target.replica or project:
        return _living(served)
    return _living([c for c in containers if c.name.startswith(target.value)])


def labelled(container: Container, words: str) -> bool:
    """Has it that label, as `KEY` or `KEY=VALUE` says?"""
    key, equals, value = words.partition("=")
    return key in container.labels and (not equals or container.labels[key] == value)


def serves(container: Container, project: str, service: str, replica: int = 0) -> bool:
    """Is it of that Compose service? project: empty for any; replica: its number, 0 for any."""
    labels = container.labels
    return (
        labels.get("com.docker.compose.service") == service
        and project in ("", labels.get("com.docker.compose.project"))
        and str(replica or "") in ("", labels.get("com.docker.compose.container-number"))
    )


def _living(found: list[Container]) -> list[Container]:
    return [c for c in found if c.state == "running"] or found
