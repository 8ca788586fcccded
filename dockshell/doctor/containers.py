"""The containers that run: could one of them take its host over, or anybody log in to it by the key that everybody
has?"""

from __future__ import annotations

import shlex
import time

from dockshell.doctor.finding import Finding
from dockshell.doctor.takeover import has_hosts_users, risks
from dockshell.engines.docker import from_inspect, from_listing, is_ours
from dockshell.errors import EngineError, printable
from dockshell.ssh import listening
from dockshell.ssh.exposure import INSECURE_TAIL, from_elsewhere, insecure_key
from dockshell.ssh.service import switched_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.doctor.engines import Met
    from dockshell.engines import Files
    from dockshell.model import Container

__all__ = ["findings", "of_one"]

_SUBJECT = "danger"
_MOST = 200  # containers that are looked at
_PATIENCE = 20.0  # seconds for all of them


def findings(met: list[Met]) -> Iterator[Finding]:
    """What there is to say of those of every engine that answered, and how many they were."""
    until = time.monotonic() + _PATIENCE
    looked = there = 0
    failures: list[str] = []
    for each in met:
        if each.engine is None:
            continue
        try:
            rows = [from_listing(row, each.engine) for row in each.engine.api.containers()]
            running = [row for row in rows if not is_ours(row)]
            there += len(running)
            for row in running:
                if looked < _MOST and time.monotonic() < until:
                    looked += 1
                    yield from _tried(row.id, each, failures)
        except EngineError as error:
            failures.append(str(error))
    if failures:
        yield Finding(_SUBJECT, "note", f"not all containers could be looked at: {failures[0]}")
    if not any(each.engine for each in met):
        return
    left = f" of {there}, for there are many: name one to have it looked at" if looked < there else ""
    yield Finding(_SUBJECT, "ok", f"running containers that were looked at: {looked}{left}")


def _tried(id: str, met: Met, failures: list[str]) -> Iterator[Finding]:
    """of_one(), which doesn't keep the others from being looked at where it fails."""
    try:
        yield from of_one(id, met)
    except EngineError as error:
        failures.append(str(error))


def of_one(id: str, met: Met) -> Iterator[Finding]:
    """What there is to say of the container with that id, of an engine that answered. Raises EngineError."""
    if met.engine is None:
        return
    try:
        facts = met.engine.api.inspect(id)
    except EngineError as error:
        if error.status == 404:  # it ended meanwhile
            return
        raise
    container = from_inspect(facts, met.engine)
    name, program = printable(container.name), met.engine.name
    for risk in risks(facts, met.place.address.removeprefix("unix://")):
        what = f"{name} {risk.why}: make it anew without `{risk.cause}`"
        if risk.grade != "danger":
            yield Finding(_SUBJECT, risk.grade, what)
        elif met.rootless:
            # Root inside is a person without root outside, and so can take no more than that one's account.
            yield Finding(_SUBJECT, "note", f"{what} (root is its engine's owner there, which is not the host's root)")
        elif met.remapped and not has_hosts_users(facts):
            yield Finding(_SUBJECT, "note", f"{what} (root inside is a user without rights on the host)")
        else:
            yield Finding(_SUBJECT, "danger", f"{what}, or stop it", f"{program} stop {shlex.quote(name)}")
    yield from _insecure(container)


def _insecure(container: Container) -> Iterator[Finding]:
    """Does an sshd inside take the insecure key, and who reaches it?"""
    heard = listening.listeners(container)
    if heard == {}:
        return
    files = container.engine.files(container)
    path = insecure_key(files)
    if not path:
        return
    port = 22 if heard and 22 in heard else listening.configured_port(files)
    if heard is not None and port not in heard:
        return
    name = printable(container.name)
    places = _places(container, port, (heard or {}).get(port, set()))
    if places:
        what = (
            f"everybody who can reach {places}, which is more than this machine, can become root in {name}, for it "
            "takes the insecure key, which is public"
        )
        yield Finding(_SUBJECT, "danger", what, _remedy(container, files, path))
    else:
        what = f"whoever reaches the sshd in {name} from this machine can become root there, by the insecure key"
        yield Finding(_SUBJECT, "note", what, _remedy(container, files, path))


def _places(container: Container, port: int, addresses: set[str]) -> str:
    """Where others reach that port: as published, or as it listens in a container on the host's own network."""
    found = [f"{each.address or '0.0.0.0'}:{each.outside}" for each in from_elsewhere(container.ports, [port])]
    if container.local and listening.shares_network(container):
        found += [f"{each}:{port}" for each in sorted(addresses) if not each.startswith(("127.", "::1"))]
    return printable(", ".join(found))


def _remedy(container: Container, files: Files, path: str) -> str:
    name = shlex.quote(printable(container.name))
    if switched_on(files):
        return f"dockshell ssh disable {name}"
    script = shlex.quote(f"\\,{INSECURE_TAIL},d")
    return f"dockshell exec -u root {name} sed -i {script} {shlex.quote(printable(path))}"
