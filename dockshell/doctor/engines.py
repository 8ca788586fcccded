"""The engines: which there are, which of them answer, and what the others lack.

Those that dockshell would ask by itself, all that have a socket at a usual place, and the contexts on file. What is on
another machine is asked only where it is the one in use: nobody is to be connected to for curiosity."""

from __future__ import annotations

import os
import shutil
import threading
import time
from stat import S_IMODE

from dockshell.doctor.finding import Finding, as_root
from dockshell.engines import contexts, where
from dockshell.engines.docker import DockerEngine
from dockshell.engines.where import Address
from dockshell.errors import EngineError, printable
from dockshell.model import noun
from dockshell.resolve import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from dockshell.engines import Engine
    from dockshell.model import Target

__all__ = ["Answering", "Met", "findings", "meet"]

_SUBJECT = "engines"
# Seconds for an engine to answer, by how far it is.
_PATIENCE = {"unix": 2.5, "tcp": 5.0, "ssh": 10.0}
_MOMENT = 0.5  # seconds more, for its own words of why it doesn't
_OLDEST = (1, 40)  # the oldest API that dockshell was tried with: Podman 4's


@noun(frozen=True)
class Met:
    """An engine that was asked, or left alone. used: dockshell asks it by itself; engine: None where it doesn't answer
    or wasn't asked, with the reason. version, info: its answers to GET /version and /info, which may hold anything."""

    place: Address
    used: bool
    engine: DockerEngine | None = None
    reason: str = ""
    version: Mapping[str, Any] = {}
    info: Mapping[str, Any] = {}

    @property
    def local(self) -> bool:
        """Is it on this machine, as far as its address tells?"""
        return self.place.address.startswith("unix:")

    @property
    def rootless(self) -> bool:
        """Does it run without root itself, so that whoever it obeys gets no more than its owner's rights?"""
        return self._has("name=rootless") or self.info.get("Rootless") is True  # Docker's word, and Podman's

    @property
    def remapped(self) -> bool:
        """Does it run as root, and root inside its containers is another user outside, unless one is started with
        --userns host? https://docs.docker.com/engine/security/userns-remap/"""
        return self._has("name=userns") and not self.rootless

    def _has(self, option: str) -> bool:
        options = self.info.get("SecurityOptions")
        return isinstance(options, list) and option in options


def meet(place: Place) -> list[Met]:
    """Asks them, all at once. Raises UsageError where -H and --context are both given."""
    used, others, met = _addresses(place)
    questions = [*(_Question(each, True) for each in used), *(_Question(each, False) for each in others)]
    for each in questions:
        each.start()
    return met + [each.answer() for each in questions]


class _Question(threading.Thread):
    """To one engine; left to itself when its time is over."""

    def __init__(self, place: Address, used: bool) -> None:
        super().__init__(daemon=True)
        self._place = place
        self._used = used
        late = f"the engine at {printable(place.address)} does not answer in time: see that it runs"
        self._met = Met(place, used, reason=late)
        self._patience = _PATIENCE.get(place.address.partition("://")[0], 0.0)
        self._until = time.monotonic() + self._patience + _MOMENT
        self._failure: Exception | None = None

    def run(self) -> None:
        try:
            self._met = self._asked()
        except Exception as error:  # it's for whoever waits for the answer
            self._failure = error

    def _asked(self) -> Met:
        try:
            engine = DockerEngine(where.api(self._place).anew(self._patience))
            if reason := engine.refuses():
                return Met(self._place, self._used, reason=reason)
            answers = [engine.api.ask("GET", path) for path in ("/version", "/info")]
        except EngineError as error:
            return Met(self._place, self._used, reason=str(error))
        version, info = (each if isinstance(each, dict) else {} for each in answers)
        return Met(self._place, self._used, engine, version=version, info=info)

    def answer(self) -> Met:
        """What came of it, waited for no longer than it may take."""
        self.join(max(0.0, self._until - time.monotonic()))
        if self._failure:
            raise self._failure
        return self._met


class Answering(Place):
    """Where to look, but for the engines that didn't answer, which nobody waits for again."""

    def __init__(self, place: Place, met: list[Met]) -> None:
        super().__init__(place.host, place.context, look=place.project, tls=place.tls, podman=place.podman)
        self._silent = [each.place.address for each in met if each.engine is None]

    def engines(self, target: Target) -> Iterator[Engine]:
        return (each for each in super().engines(target) if each.address not in self._silent)


def _addresses(place: Place) -> tuple[list[Address], list[Address], list[Met]]:
    """Those that are in use, others to be asked, and those about which there is something to say without."""
    told = []
    used: list[Address] = []
    try:
        named = where.named(place.host, place.context, place.tls, place.podman)
        used = [named] if named else where.defaults()
    except EngineError as error:
        told.append(Met(Address(""), True, reason=str(error)))
    others = where.defaults()
    for name in contexts.names():
        try:
            found = where.in_context(name, "context")
        except EngineError as error:
            told.append(Met(Address(""), False, reason=str(error)))
            continue
        if found and found.address.startswith("unix:"):
            others.append(found)
        elif found and found.address not in [each.address for each in used]:
            told.append(Met(found, False, reason=_left_alone(name, found)))
    distinct = {_socket(each): each for each in (*reversed(others), *used)}
    return used, [each for each in reversed(distinct.values()) if each not in used], told


def _left_alone(name: str, place: Address) -> str:
    address = printable(place.address)
    return (
        f"context {name} is {address}, elsewhere and not in use, so it was not asked: `dockshell -c {name} doctor` does"
    )


def _socket(place: Address) -> str:
    """The same for two names of one socket: /run and /var/run are one directory."""
    path = place.address.removeprefix("unix://")
    return place.address if path == place.address else os.path.realpath(path)


def findings(met: list[Met], place: Place) -> Iterator[Finding]:
    """What there is to say of each."""
    answered = any(each.used and each.engine for each in met)
    instead = _unsaid(place) if any(each.engine and not each.used for each in met) else ""
    if not any(each.used for each in met):
        yield Finding(_SUBJECT, "wrong", _none(), _start())
    for each in met:
        if each.engine:
            yield from _well(each)
        else:
            grade = "wrong" if each.used and not answered else "note"
            yield Finding(_SUBJECT, grade, each.reason, _remedy(each, instead))


def _unsaid(place: Place) -> str:
    """What takes back that another engine is to be used than those at the usual places."""
    if place.host or place.context:
        return ""
    variable = next((name for name in ("DOCKER_HOST", "DOCKER_CONTEXT") if os.environ.get(name)), "")
    return f"unset {variable}" if variable else "docker context use default"


def _well(met: Met) -> Iterator[Finding]:
    assert met.engine
    api = str(met.version.get("ApiVersion", ""))
    said = f", by {met.place.said}" if met.place.said else ""
    mapped = ", without root" if met.rootless else ", root inside is another user here" if met.remapped else ""
    what = f"{met.engine.name} {met.version.get('Version', '')} (API {api}) at {met.engine.address}{said}{mapped}"
    if _number(api) < _OLDEST:
        yield Finding(_SUBJECT, "note", f"{what}, which is older than any that dockshell was tried with")
    else:
        yield Finding(_SUBJECT, "ok", what)


def _number(api: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isascii() and part.isdigit() else 0 for part in api.split("."))


def _none() -> str:
    """What whoever looks for an engine is told."""
    try:
        next(iter(where.engines()))
    except EngineError as error:
        return str(error)
    return "no container engine listens here"


def _remedy(met: Met, instead: str) -> str:
    """For a socket that doesn't let us in, at which nobody listens, or which isn't there. instead: makes another engine
    the one in use."""
    path = met.place.address.removeprefix("unix://")
    try:
        facts = os.stat(path) if met.local else None
    except OSError:
        return instead or _start()
    if facts is None:
        return instead if met.used and not path else ""
    return _start() if os.access(path, os.R_OK | os.W_OK) else _join(facts)


def _join(facts: os.stat_result) -> str:
    """A group that only root is in lets nobody else in; one that may write there does."""
    import grp
    import pwd

    try:
        group, person = grp.getgrgid(facts.st_gid).gr_name, pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "sudo dockshell doctor"
    if facts.st_gid == 0 or not S_IMODE(facts.st_mode) & 0o020:
        return "sudo dockshell doctor"
    return as_root(f"usermod -aG {group} {person}") + f" && newgrp {group}"


def _start() -> str:
    systemd = os.path.isdir("/run/systemd/system")
    if shutil.which("dockerd"):
        return as_root("systemctl start docker" if systemd else "service docker start")
    if shutil.which("podman"):
        user = "--user " if os.geteuid() else ""
        return f"systemctl {user}enable --now podman.socket" if systemd else "podman system service --time=0 &"
    return ""
