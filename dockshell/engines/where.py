"""Where the engines are: which are asked, in which order. The registry of what can be asked is here too.

The order is Docker's own (https://docs.docker.com/engine/manage-resources/contexts/): -H, --context, DOCKER_HOST,
DOCKER_CONTEXT, the context that `docker context use` chose; then Podman's: CONTAINER_HOST, CONTAINER_CONNECTION.
Whoever names a place means that place, so it is then the only one. Where nobody does, the sockets that Docker and
Podman listen on by default are asked, those that exist; where there is none, Podman's default connection.
"""

from __future__ import annotations

import os
from stat import S_ISSOCK

from dockshell.errors import EngineError, UsageError, printable
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.engines import Api, Engine
    from dockshell.engines.podman_config import Destination

__all__ = [
    "APIS",
    "OTHERS",
    "Address",
    "Tls",
    "additions",
    "api",
    "configuration",
    "defaults",
    "engine",
    "engines",
    "in_context",
    "named",
]

# What may stand before :// in an engine's address, and who speaks Docker's API over it: module and class.
APIS = {
    "unix": ("dockshell.engines.local", "LocalApi"),
    "tcp": ("dockshell.engines.sdk", "SdkApi"),
    "ssh": ("dockshell.engines.sdk", "SdkApi"),
}
# Engines that don't speak it, by what may stand before :// in a TARGET. They are asked if they are pinned so, or for a
# process. A new kind of engine is one file, and one line here.
OTHERS = {"kernel": ("dockshell.engines.kernel", "KernelEngine")}
_SYSTEM = ("/var/run/docker.sock", "/run/podman/podman.sock")
_TLS = "tcp://localhost:2376"  # where Docker's client looks that is told of TLS and of no host
_REMEDY = "start one, name one with -H, or look without one: kernel://NAME, pid:N"


@noun(frozen=True)
class Tls:
    """How to speak TLS with an engine: PEM files, empty for none. Without ca the system's authorities count; without
    verify whoever answers is believed, as Docker does where it is told so."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


@noun(frozen=True)
class Address:
    """An engine's address, who said so (`DOCKER_HOST`), and how to speak TLS there. podman: the private key's file for
    a service of Podman's, empty for ssh's own; None where it is Docker's client's place."""

    address: str
    said: str = ""
    tls: Tls | None = None
    podman: str | None = None


def engines(
    host: str = "",
    context: str = "",
    pinned: str = "",
    *,
    processes: bool = False,
    tls: Tls | None = None,
    podman: str | None = None,
) -> Iterator[Engine]:
    """The engines to ask, one after another, each made only when it is asked for. host, context, tls, podman: as
    named() takes them; pinned: what stood before :// in the target; processes: a process is looked for, which this
    kernel itself knows when no engine does.

    Raises EngineError where there is none to ask, or a named one can't be; UsageError for a host and a context
    together.
    """
    if pinned in OTHERS:
        yield _other(pinned)
        return
    place = named(host, context, tls, podman)
    if pinned == "podman" and not (host or context or tls) and podman is None:
        place = _podmans("", "", "") or place  # Docker's variables say nothing of Podman
    passed: list[str] = []
    offered = False
    for each in [place] if place else defaults() or _podmans_last():
        found = engine(each)
        if pinned and not _is(found, pinned):
            passed.append(f"{found.address} is {found.name}")
            continue
        offered = True
        yield found
    if processes and not pinned and (place is None or place.address.startswith("unix:")):
        offered = True
        for name in OTHERS:
            yield _other(name)
    if not offered:
        if place is None:
            passed += [f"{printable(path)} is another user's" for path in _sockets() if not _believed(path)]
        found_others = f" ({', '.join(passed)})" if passed else ""
        raise EngineError(f"no {pinned or 'container'} engine listens here{found_others}: {_REMEDY}")


def engine(place: Address) -> Engine:
    """The engine at that place, which isn't asked anything yet. Raises EngineError where the address can't be one's."""
    from dockshell.engines.docker import DockerEngine

    return DockerEngine(api(place))


def api(place: Address) -> Api:
    """Who speaks Docker's API with the engine at that place. Raises EngineError where the address can't be an
    engine's."""
    scheme, _, rest = place.address.partition("://")
    kind = APIS.get(scheme)
    if kind is None or not rest:
        known = ", ".join(f"{each}://" for each in APIS)
        raise EngineError(
            f"{place.said} says {printable(place.address)!r}, which is no engine's address: one begins with {known}"
        )
    module, name = kind
    if scheme == "unix":
        _check_socket(rest, place.said)
    made: Api = getattr(__import__(module, fromlist=(name,)), name)(
        *((rest,) if scheme == "unix" else (place.address, place.tls, 0.0, place.podman))
    )
    return made


def _other(name: str) -> Engine:
    module, kind = OTHERS[name]
    found: Engine = getattr(__import__(module, fromlist=(kind,)), kind)()
    return found


def _is(found: Engine, pinned: str) -> bool:
    """Is it of the pinned kind? One that doesn't answer isn't ruled out, so that whoever asks it learns why."""
    if found.address.endswith("/podman/podman.sock"):
        return pinned == "podman"
    try:
        return found.name == pinned
    except EngineError:
        return True


def _check_socket(path: str, said: str) -> None:
    """Says at once what connecting would say less well. Whether somebody listens there shows when it is asked."""
    if not said:
        return
    try:
        is_socket = S_ISSOCK(os.stat(path).st_mode)
    except PermissionError:
        raise EngineError(
            f"{said} says unix://{printable(path)}, where you may not look: use sudo, or name another with -H"
        ) from None
    except (OSError, ValueError):
        raise EngineError(
            f"{said} says unix://{printable(path)}, but there is no such socket: "
            "start the engine, or name another with -H"
        ) from None
    if not is_socket:
        raise EngineError(f"{said} says unix://{printable(path)}, but that is no socket: name the engine's socket")


def named(host: str, context: str, tls: Tls | None = None, podman: str | None = None) -> Address | None:
    """The place that somebody named; None where nobody did. host, context: -H and --context; tls: as --tls and the like
    have it, None for nothing. podman: --identity; then the first two are Podman's --url and --connection.

    Raises UsageError for what doesn't go together, EngineError for a context or connection that can't be had."""
    if podman is not None:
        return _podmans(host, context, podman) or _podmans_default(podman)
    if host and context:
        raise UsageError("-H and --context both say where the engine is: give one of them")
    if host:
        return _host(host, "-H", tls)
    variable = os.environ.get("DOCKER_HOST", "")
    if context and context != "default":
        return _without(tls, in_context(context, "--context"))
    if variable:
        return _host(variable, "DOCKER_HOST", tls)
    if context:
        return _host(_TLS, "--tls", tls) if tls else None
    if chosen := os.environ.get("DOCKER_CONTEXT", ""):
        return _without(tls, None if chosen == "default" else in_context(chosen, "DOCKER_CONTEXT"))
    if os.path.exists(os.path.join(configuration(), "config.json")):
        from dockshell.engines import contexts

        if chosen := contexts.current():
            return _without(tls, in_context(chosen, "the current context"))
    if tls:
        return _host(_TLS, "--tls", tls)
    return _podmans("", "", "")


def _without(tls: Tls | None, place: Address | None) -> Address | None:
    if tls and place:
        raise UsageError(
            f"{place.said} says itself how to speak TLS: leave out --tls and the like, or name a host by -H"
        )
    return place


def _podmans(url: str, connection: str, identity: str) -> Address | None:
    """The place of Podman's service as --url, --connection, CONTAINER_HOST or CONTAINER_CONNECTION name it, in this
    order: podman(1)."""
    if url and connection:
        raise UsageError("--url and --connection both say where Podman's service is: give one of them")
    for uri, name, said in (
        (url, connection, "--url" if url else "--connection"),
        (os.environ.get("CONTAINER_HOST", ""), "", "CONTAINER_HOST"),
        ("", os.environ.get("CONTAINER_CONNECTION", ""), "CONTAINER_CONNECTION"),
    ):
        if uri:
            return Address(_podmans_spelling(uri), said, podman=identity or os.environ.get("CONTAINER_SSHKEY", ""))
        if name:
            from dockshell.engines import podman_config

            found = podman_config.connection(name, said)
            return _podmans_place(found, f"{said} ({printable(name)})", identity)
    return None


def _podmans_place(found: Destination, said: str, identity: str) -> Address:
    return Address(_podmans_spelling(found.uri), said, podman=identity or found.identity)


def _podmans_default(identity: str) -> Address | None:
    """The place of Podman's default connection, if it has one."""
    from dockshell.engines import podman_config

    found = podman_config.default()
    if not found:
        return None
    name, destination = found
    return _podmans_place(destination, f"Podman's default connection ({printable(name)})", identity)


def _podmans_last() -> list[Address]:
    """The same for who named nothing, and has no engine here."""
    found = _podmans_default("")
    return [found] if found else []


def _podmans_spelling(uri: str) -> str:
    """Podman takes `unix:/path` and `unix://path` for a socket's absolute path too."""
    if uri.startswith("unix:"):
        return "unix:///" + uri.removeprefix("unix:").lstrip("/")
    return uri


def in_context(name: str, said: str) -> Address | None:
    """The place of that context's engine, None where it leaves it to the defaults. said: who named the context. Raises
    EngineError where there is no such context, or it is broken."""
    from dockshell.engines import contexts

    try:
        address, tls = contexts.endpoint(name, said)
    except EngineError:
        # podman's -c means one of its connections.
        from dockshell.engines import podman_config

        found = podman_config.find(name) if said == "--context" else None
        if found is None:
            raise
        return _podmans_place(found, f"--connection ({printable(name)})", "")
    return Address(_spelled(address), f"{said} ({printable(name)})", tls) if address else None


def _host(address: str, said: str, tls: Tls | None) -> Address:
    spelled = _spelled(address)
    if not spelled.startswith("tcp:"):
        if tls:
            raise UsageError(
                f"{said} says {printable(spelled)}, and TLS is for tcp://HOST:PORT: leave out --tls and the like"
            )
        return Address(spelled, said)
    from dockshell.engines import contexts

    return Address(spelled, said, tls or contexts.tls_of_environment())


def configuration() -> str:
    """The directory of Docker's client's own configuration."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def additions() -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """What each request to an engine has besides, as a person configured it for Docker's client: what begins its path,
    and header fields. Raises EngineError for what can't be sent."""
    variables = os.environ.get("DOCKER_API_VERSION") or os.environ.get("DOCKER_CUSTOM_HEADERS")
    if not variables and not os.path.exists(os.path.join(configuration(), "config.json")):
        return "", ()
    from dockshell.engines.client_config import headers, version_prefix

    return version_prefix(), headers()


def _spelled(address: str) -> str:
    """An address in full: `unix://` alone is Docker's own socket, a path is a socket's, a bare HOST:PORT is tcp."""
    if address == "unix://":
        return "unix:///var/run/docker.sock"
    if "://" in address:
        return address
    return f"unix://{address}" if address.startswith("/") else f"tcp://{address}"


def defaults() -> list[Address]:
    """The sockets that engines listen on by default, those that are there: Docker's, its rootless and Desktop kinds',
    Podman's. Not those of another user's, whom HOME or XDG_RUNTIME_DIR may still mean after su(1)."""
    return [Address(f"unix://{path}") for path in _sockets() if _believed(path)]


def _sockets() -> list[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    home = os.path.expanduser("~")
    docker, podman = _SYSTEM
    return [
        path
        for path in (
            docker,
            f"{runtime}/docker.sock",
            f"{home}/.docker/run/docker.sock",
            f"{home}/.docker/desktop/docker.sock",
            podman,
            f"{runtime}/podman/podman.sock",
        )
        if _listens(path)
    ]


def _believed(path: str) -> bool:
    """A socket below a directory of a person's: is it the caller's own, and was it put there by nobody else?"""
    if path in _SYSTEM:
        return True
    from dockshell.linux.trusted import foreign

    return not (foreign(path) or foreign(os.path.dirname(path)) or foreign(os.path.dirname(os.path.dirname(path))))


def _listens(path: str) -> bool:
    try:
        return S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
