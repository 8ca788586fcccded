"""Any engine that speaks Docker's API: Docker, and Podman's service."""

from __future__ import annotations

from dockshell import target as targets
from dockshell.errors import EngineError
from dockshell.linux.process import Process, host_container
from dockshell.model import Container, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dockshell.engines import Api, Files
    from dockshell.model import Target

__all__ = ["DockerEngine", "from_inspect", "from_listing"]


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

    def find(self, target: Target) -> list[Container]:
        if target.kind == "latest":
            newest = self.api.containers(limit=1, filters={"status": ["running"]})
            return [self._inspect(each["Id"]) for each in newest[:1]]
        if target.kind == "pid":
            inside = host_container(int(target.value)) if self.api.local else ""
            found = self._look_up(inside) if inside else None
            return [found] if found else []
        if target.kind == "name" and not target.replica and "/" not in target.value:
            # An exact name or the beginning of an id: the engine's own index answers that however many containers there
            # are.
            found = self._look_up(target.value)
            if found and (found.name == target.value or found.id.startswith(target.value)):
                return [found]
        fitting = targets.fits(target, self.all())
        return [self._inspect(each.id) for each in fitting] if len(fitting) == 1 else fitting

    def all(self) -> list[Container]:
        listed = [from_listing(each, self) for each in self.api.containers(everything=True)]
        return sorted(listed, key=lambda each: each.created, reverse=True)

    def newest(self) -> Container | None:
        listed = self.api.containers(everything=True, limit=1)
        return from_listing(listed[0], self) if listed else None

    def files(self, container: Container) -> Files:
        if container.local and container.pid:
            try:
                if Process(container.pid).belongs_to(container.id, container.started):
                    from dockshell.linux.rootfs import RootFiles  # with ctypes, which listings do without

                    return RootFiles(container.pid)
            except OSError:
                pass  # without the right to look at the process, the engine can still be asked
        from dockshell.engines.archive import ArchiveFiles

        return ArchiveFiles(self.api, container.id)

    def running(self, container: Container) -> bool:
        try:
            return self._inspect(container.id).state == "running"
        except EngineError as error:
            if error.status == 404:
                return False
            raise

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


def from_inspect(facts: dict[str, Any], engine: DockerEngine) -> Container:
    """The engine's answer to inspect → Container. Raises EngineError where it isn't one."""
    try:
        state, config, host, network = (
            facts[part] or {} for part in ("State", "Config", "HostConfig", "NetworkSettings")
        )
        return Container(
            id=facts["Id"],
            name=facts["Name"].removeprefix("/"),
            engine=engine,
            image=config.get("Image") or "",
            state="paused" if state.get("Paused") else state["Status"],
            pid=state.get("Pid") or 0,
            created=_seconds(facts["Created"]),
            started=_seconds(state.get("StartedAt") or ""),
            user=config.get("User") or "",
            env=tuple(config.get("Env") or ()),
            directory=config.get("WorkingDir") or "",
            hostname=config.get("Hostname") or "",
            labels=config.get("Labels") or {},
            addresses=_addresses(network),
            ports=_ports(network.get("Ports") or {}),
            groups=tuple(host.get("GroupAdd") or ()),
            umask=int(config.get("Umask") or "0022", 8),
            runtime=host.get("Runtime") or "",
            local=engine.api.local,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EngineError(
            f"the engine at {engine.address} described a container in a way that makes no sense ({error!r})"
        ) from None


def from_listing(facts: dict[str, Any], engine: DockerEngine) -> Container:
    """One row of the engine's listing → Container, with the few facts that it holds."""
    try:
        return Container(
            id=facts["Id"],
            name=next(
                (name.removeprefix("/") for name in facts.get("Names") or () if name.count("/") < 2), facts["Id"][:12]
            ),
            engine=engine,
            image=facts.get("Image") or "",
            state=facts.get("State") or "",
            created=float(facts.get("Created") or 0),
            labels=facts.get("Labels") or {},
            addresses=_addresses(facts.get("NetworkSettings") or {}),
            local=engine.api.local,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EngineError(
            f"the engine at {engine.address} listed a container in a way that makes no sense ({error!r})"
        ) from None


def _addresses(network: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Every network's; the old top-level IPAddress is empty on user-defined networks and gone from API 1.52."""
    found = []
    for name, one in (network.get("Networks") or {}).items():
        found += [(name, address) for address in (one.get("IPAddress"), one.get("GlobalIPv6Address")) if address]
    return tuple(found)


def _ports(ports: dict[str, Any]) -> tuple[Port, ...]:
    found = []
    for inside, bindings in ports.items():
        number, _, protocol = inside.partition("/")
        if protocol in ("", "tcp"):
            found += [Port(int(number), each.get("HostIp") or "", int(each["HostPort"])) for each in bindings or ()]
    return tuple(found)


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
    return days * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds) - ahead
