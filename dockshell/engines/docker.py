"""Any engine that speaks Docker's API: Docker, and Podman's service."""

from __future__ import annotations

from dockshell import target as targets
from dockshell.errors import EngineError
from dockshell.linux.process import Process, host_container
from dockshell.model import Container, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from dockshell.engines import Api, Files
    from dockshell.model import Target
    from dockshell.target import Project

__all__ = ["SIDECAR", "DockerEngine", "from_inspect", "from_listing", "is_ours"]

# The label of containers of ours that stand beside another (sidecar.py) or in for one (standin); empty in an image that
# was kept of one.
SIDECAR = "dockshell.sidecar"


class DockerEngine:
    """The `Engine` behind an `Api`."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @property
    def name(self) -> str:
        return self.api.server()

    @property
    def address(self) -> str:
        return self.api.address

    def refuses(self) -> str | None:
        try:
            self.api.server()
        except EngineError as error:
            return str(error)
        return None

    def find(self, target: Target, project: Callable[[], Project] = targets.elsewhere) -> list[Container]:
        if target.kind == "latest":
            running = {"status": ["running"]}
            newest = self._listed(self.api.containers(limit=1, filters=running))
            newest = newest or self._listed(self.api.containers(filters=running))[:1]
            return [self._inspect(each.id) for each in newest]
        if target.kind == "pid":
            inside = host_container(int(target.value)) if self.api.local else ""
            found = self._look_up(inside) if inside else None
            return [found] if found else []
        if target.kind == "name" and not target.replica and "/" not in target.value:
            # The engine's own index answers that in one request, however many containers there are. What it knows by
            # the beginning of an id is not taken from there: a service goes before that.
            found = self._look_up(target.value)
            if found and target.value in (found.name, found.id):
                return [found]
        fitting = targets.fits(target, self.all(), project())
        return [self._inspect(each.id) for each in fitting] if len(fitting) == 1 else fitting

    def all(self, filters: Mapping[str, list[str]] | None = None) -> list[Container]:
        listed = self._listed(self.api.containers(everything=True, limit=_ANY_NUMBER, filters=filters))
        return sorted(listed, key=lambda each: each.created, reverse=True)

    def alive(self, filters: Mapping[str, list[str]] | None = None) -> list[Container]:
        # Podman refuses to hear of a state that it has no name for.
        states = _ALIVE if self.name == "docker" else _ALIVE[:2]
        return self.all({**(filters or {}), "status": list(states)})

    def newest(self) -> Container | None:
        listed = self._listed(self.api.containers(everything=True, limit=1))
        return next(iter(listed or self.all()), None)

    def files(self, container: Container) -> Files:
        if container.local and container.pid:
            try:
                process = Process(container.pid)
                process.look()
                if process.belongs_to(container.id, container.started, container.owner):
                    from dockshell.linux.rootfs import RootFiles  # with ctypes, which who may not look does without

                    return RootFiles(container.pid)
            except OSError:
                pass  # without the right to look at the process, the engine can still be asked
        from dockshell.engines.archive import ArchiveFiles

        return ArchiveFiles(self.api, container)

    def running(self, container: Container) -> bool:
        try:
            return self._inspect(container.id).state == "running"
        except EngineError as error:
            if error.status == 404:
                return False
            raise

    def _listed(self, rows: list[dict[str, Any]]) -> list[Container]:
        """Without our own, which are nobody's."""
        return [each for each in (from_listing(row, self) for row in rows) if not is_ours(each)]

    def _look_up(self, name: str) -> Container | None:
        try:
            return self._inspect(name)
        except EngineError as error:
            # 404: nothing; else it may be a prefix that fits several ids, which engines report with various statuses.
            if error.status:
                return None
            raise

    def _inspect(self, name: str) -> Container:
        return from_inspect(self.api.inspect(name), self)


def is_ours(container: Container) -> bool:
    """Is it a container that dockshell made for itself? Its label alone says nothing, for an image can have that, and
    its containers with it; nobody but who makes a container names it."""
    return bool(container.labels.get(SIDECAR)) and container.name.startswith("dockshell-")


def from_inspect(facts: Any, engine: DockerEngine) -> Container:
    """The engine's answer to inspect → Container. Raises EngineError where it isn't one."""
    try:
        state, config, host, network = (
            _table(facts[part]) for part in ("State", "Config", "HostConfig", "NetworkSettings")
        )
        return Container(
            id=_id(facts["Id"]),
            name=_text(facts["Name"]).removeprefix("/"),
            engine=engine,
            image=_text(config.get("Image")),
            state="paused" if state.get("Paused") else _text(state["Status"]),
            pid=_number(state.get("Pid"), _MOST_PIDS),
            created=_seconds(_text(facts["Created"])),
            started=_seconds(_text(state.get("StartedAt"))),
            ended=_seconds(_text(state.get("FinishedAt"))),
            user=_text(config.get("User")),
            env=_texts(config.get("Env")),
            directory=_text(config.get("WorkingDir")),
            hostname=_text(config.get("Hostname")),
            labels=_labels(config.get("Labels")),
            addresses=_addresses(network),
            ports=_ports(_table(network.get("Ports"))),
            groups=_texts(host.get("GroupAdd")),
            umask=_umask(config.get("Umask"), host.get("Umask")),
            runtime=_text(host.get("Runtime")),
            local=engine.api.local,
            owner=engine.api.owner,
        )
    except _NONSENSE as error:
        raise EngineError(
            f"the engine at {engine.address} described a container in a way that makes no sense ({error!r})"
        ) from None


def from_listing(facts: Any, engine: DockerEngine) -> Container:
    """One row of the engine's listing → Container, with the few facts that it holds."""
    try:
        id = _id(facts["Id"])
        return Container(
            id=id,
            name=next((name.removeprefix("/") for name in _texts(facts.get("Names")) if name.count("/") < 2), id[:12]),
            engine=engine,
            image=_text(facts.get("Image")),
            state=_text(facts.get("State")),
            status=_text(facts.get("Status")),
            created=float(_number(facts.get("Created"), _LATEST)),
            labels=_labels(facts.get("Labels")),
            addresses=_addresses(_table(facts.get("NetworkSettings"))),
            ports=_listed_ports(facts.get("Ports") or []),
            local=engine.api.local,
            owner=engine.api.owner,
        )
    except _NONSENSE as error:
        raise EngineError(
            f"the engine at {engine.address} listed a container in a way that makes no sense ({error!r})"
        ) from None


_ALIVE = ("running", "paused", "restarting")
_NONSENSE = (KeyError, TypeError, AttributeError, ValueError, OverflowError)
_MOST_PIDS = 1 << 22  # PID_MAX_LIMIT of the kernel's threads.h
_LATEST = 1 << 62
# Podman puts its listing in order only where it is given a limit; else those of the same second, which is all that the
# listing tells of a container's age, come in any order.
_ANY_NUMBER = (1 << 31) - 1


def _text(value: Any) -> str:
    """Text, empty for none. Raises TypeError or ValueError for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    value.encode()  # JSON can hold halves of characters
    return value


def _id(value: Any) -> str:
    """An empty one would be found in every process's cgroup."""
    if not _text(value):
        raise ValueError("the id is missing")
    return _text(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | None):
        raise TypeError(f"{value!r:.40} is no list")
    return tuple(map(_text, value or ()))


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise TypeError(f"{value!r:.40} is no object")
    return value or {}


def _number(value: Any, most: int) -> int:
    if not isinstance(value, int | None):
        raise TypeError(f"{value!r:.40} is no whole number")
    if not 0 <= (value or 0) <= most:
        raise ValueError(f"{value!r:.40} is out of range")
    return int(value or 0)


def _umask(podman: Any, docker: Any) -> int:
    """What the engine's exec has. podman: an octal number as text (Config.Umask); docker: a number, none where the
    runtime's own holds (HostConfig.Umask of API 1.56, moby#53463)."""
    if docker is None:
        return _number(int(_text(podman) or "0022", 8), 0o7777)
    return _number(docker, 0o7777)


def _labels(value: Any) -> dict[str, str]:
    return {_text(name): _text(each) for name, each in _table(value).items()}


def _addresses(network: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Every network's; the old top-level IPAddress is empty on user-defined networks and gone from API 1.52."""
    found = []
    for name, value in _table(network.get("Networks")).items():
        one = _table(value)
        addresses = (_text(one.get("IPAddress")), _text(one.get("GlobalIPv6Address")))
        found += [(_text(name), address) for address in addresses if address]
    return tuple(found)


def _ports(ports: dict[str, Any]) -> tuple[Port, ...]:
    found = []
    for inside, bindings in ports.items():
        number, _, protocol = inside.partition("/")
        if protocol in ("", "tcp"):
            found += [
                Port(_port(number), _text(each.get("HostIp")), _port(each["HostPort"])) for each in bindings or ()
            ]
    return tuple(found)


def _listed_ports(ports: list[dict[str, Any]]) -> tuple[Port, ...]:
    """The same of a listing, which has numbers where inspect has text."""
    return tuple(
        Port(_number(each["PrivatePort"], 0xFFFF), _text(each.get("IP")), _number(each["PublicPort"], 0xFFFF))
        for each in ports
        if each.get("Type") == "tcp" and each.get("PublicPort")
    )


def _port(text: Any) -> int:
    return _number(int(_text(text)), 0xFFFF)


def _seconds(moment: str) -> float:
    """RFC 3339 with up to nine digits of fraction and any offset → seconds since 1970; 0 for none."""
    if not moment or moment.startswith("0001-"):
        return 0.0
    date, _, clock = moment.partition("T")
    year, month, day = map(int, date.split("-"))
    sign = -1 if "-" in clock else 1
    clock, _, offset = clock.removesuffix("Z").replace("-", "+").partition("+")
    hours, minutes, seconds = clock.split(":")
    ahead = sign * (int(offset[:2]) * 3600 + int(offset[-2:]) * 60) if offset else 0
    # Days since 1970 in the proleptic Gregorian calendar, with the year begun in March so that leap days come last.
    y, m = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 1 - 719468
    if not (1 <= year <= 9999 and 1 <= month <= 12 and 0 <= float(seconds) < 61):
        raise ValueError(f"{moment!r:.40} is no moment")
    return days * 86400 + int(hours[:2]) * 3600 + int(minutes[:2]) * 60 + float(seconds) - ahead
