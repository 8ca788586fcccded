"""Which engines are asked, in which order, and what is said where an address can't be one's."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from dockshell.engines import podman_config, where
from dockshell.engines.contexts import tls_of_options
from dockshell.engines.where import Address, Tls
from dockshell.errors import EngineError, UsageError
from tests.world import World

_PATHS = {
    "docker": "run/docker.sock",
    "rootless": "user/docker.sock",
    "home": "home/.docker/run/docker.sock",
    "desktop": "home/.docker/desktop/docker.sock",
    "podman": "run/podman/podman.sock",
    "own podman": "user/podman/podman.sock",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of our own below tmp_path: no variable, no configuration, and no socket until a test makes one."""
    for name in [name for name in os.environ if name.startswith(("DOCKER_", "CONTAINER", "PODMAN_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "user"))
    monkeypatch.setattr(where, "_SYSTEM", (str(tmp_path / _PATHS["docker"]), str(tmp_path / _PATHS["podman"])))
    monkeypatch.setattr(podman_config, "_SYSTEM", (str(tmp_path / "etc/containers.conf"),))
    return tmp_path


@pytest.fixture
def listen(machine: Path) -> Iterator[Callable[..., str]]:
    """listen(path, software): an engine's socket that is listened on; software: what answers there calls itself, if
    anything answers."""
    opened: list[socket.socket] = []
    children: list[int] = []

    def start(path: str, software: str = "") -> str:
        full = machine / path
        full.parent.mkdir(parents=True, exist_ok=True)
        server = socket.socket(socket.AF_UNIX)
        opened.append(server)
        server.bind(str(full))
        server.listen()
        if software:
            child = os.fork()
            if not child:
                while True:
                    connection, _ = server.accept()
                    connection.recv(4096)
                    connection.sendall(f"HTTP/1.0 200 OK\r\nServer: {software}\r\n\r\nOK".encode())
                    connection.close()
            children.append(child)
        return f"unix://{full}"

    yield start
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    for server in opened:
        server.close()


def _context(machine: Path, name: str, endpoint: object, folder: str = "home/.docker") -> Path:
    key = sha256(name.encode()).hexdigest()
    meta = machine / folder / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    return machine / folder / "contexts" / "tls" / key / "docker"


def _configure(machine: Path, text: str, folder: str = "home/.docker") -> None:
    (machine / folder).mkdir(parents=True, exist_ok=True)
    (machine / folder / "config.json").write_text(text)


def _addresses(host: str = "", context: str = "", pinned: str = "", processes: bool = False) -> list[str]:
    return [engine.address for engine in where.engines(host, context, pinned, processes=processes)]


def _tcp(port: int) -> str:
    return f"tcp://127.0.0.1:{port}"


def test_the_default_sockets_that_exist_are_asked_in_order(listen: Callable[..., str]) -> None:
    """Docker's, the rootless one, Desktop's two, Podman's two; whatever isn't there is left out."""
    urls = [listen(path) for path in _PATHS.values()]
    assert _addresses() == urls
    for path in (_PATHS["docker"], _PATHS["desktop"]):
        os.unlink(str(urls[list(_PATHS.values()).index(path)]).removeprefix("unix://"))
    assert _addresses() == [urls[1], urls[2], urls[4], urls[5]]


def test_a_file_that_is_no_socket_is_no_engine(machine: Path, listen: Callable[..., str]) -> None:
    """Among the default places only sockets count."""
    (machine / "run").mkdir()
    (machine / _PATHS["docker"]).touch()
    podman = listen(_PATHS["podman"])
    assert _addresses() == [podman]


def test_with_no_engine_the_remedy_is_said(machine: Path) -> None:
    """No socket at all is one sentence that says what to do."""
    with pytest.raises(EngineError, match="no container engine listens here: start one, name one with -H"):
        _addresses()


def test_engines_are_made_as_they_are_asked_for(listen: Callable[..., str]) -> None:
    """Whoever is served by the first engine has not made the second, nor failed for want of a third."""
    first = listen(_PATHS["docker"])
    found = where.engines()
    assert next(found).address == first


def test_each_named_place_beats_the_next_and_is_the_only_one(
    machine: Path, listen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """-H, then --context, DOCKER_HOST, DOCKER_CONTEXT, the current context, the default sockets: Docker's own order."""
    default = listen(_PATHS["docker"])
    assert _addresses() == [default]
    for number, name in enumerate(("chosen", "variable", "option"), 1):
        _context(machine, name, {"Host": _tcp(number)})
    _configure(machine, '{"currentContext": "chosen"}')
    assert _addresses() == [_tcp(1)]
    monkeypatch.setenv("DOCKER_CONTEXT", "variable")
    assert _addresses() == [_tcp(2)]
    monkeypatch.setenv("DOCKER_HOST", _tcp(4))
    assert _addresses() == [_tcp(4)]
    assert _addresses(context="option") == [_tcp(3)]
    assert _addresses(host=_tcp(5)) == [_tcp(5)]


def test_host_and_context_together_are_refused(machine: Path) -> None:
    """As Docker's client refuses them."""
    with pytest.raises(UsageError, match="give one of them"):
        _addresses(host=_tcp(1), context="one")


def test_the_context_default_means_none(
    machine: Path, listen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`default` is DOCKER_HOST, or the default sockets, whatever context is current."""
    default = listen(_PATHS["docker"])
    _context(machine, "chosen", {"Host": _tcp(1)})
    _configure(machine, '{"currentContext": "chosen"}')
    assert _addresses(context="default") == [default]
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert _addresses() == [default]
    monkeypatch.setenv("DOCKER_HOST", _tcp(2))
    assert _addresses(context="default") == [_tcp(2)]


@pytest.mark.parametrize("text", ["{}", '{"currentContext": ""}', '{"currentContext": "default"}', '{"auths": {}}'])
def test_a_configuration_that_chooses_nothing_changes_nothing(
    machine: Path, listen: Callable[..., str], text: str
) -> None:
    """A config.json without a current context, as most are, leaves the default sockets."""
    default = listen(_PATHS["docker"])
    _configure(machine, text)
    assert _addresses() == [default]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"currentContext": 3}', "\x1b[31m", "[" * 100000])
def test_a_broken_configuration_is_named(machine: Path, text: str) -> None:
    """A config.json that can't be understood is one printable sentence that names the file, and -H does without it."""
    _configure(machine, text)
    with pytest.raises(EngineError, match=re.escape(str(machine / "home/.docker/config.json"))) as caught:
        _addresses()
    assert str(caught.value).isprintable()
    assert _addresses(host=_tcp(1)) == [_tcp(1)]


def test_an_unknown_context_is_answered_with_those_that_exist(machine: Path) -> None:
    """The sentence says who named it and what could have been meant."""
    _context(machine, "blue", {"Host": _tcp(1)})
    _context(machine, "red", {"Host": _tcp(2)})
    with pytest.raises(
        EngineError, match="--context names 'green', but there is no such context: choose one of default, blue, red"
    ):
        _addresses(context="green")


def test_a_context_s_name_leads_nowhere_else(machine: Path) -> None:
    """A name with slashes is a name."""
    with pytest.raises(EngineError, match="no such context"):
        _addresses(context="../../etc/passwd")


@pytest.mark.parametrize("endpoint", [None, [], "tcp://127.0.0.1:1", {"Host": 4}])
def test_a_broken_context_is_named(machine: Path, endpoint: object) -> None:
    """A context without a Docker engine's address says so."""
    _context(machine, "odd", endpoint)
    with pytest.raises(EngineError, match="context 'odd' says nothing of a Docker engine"):
        _addresses(context="odd")


def test_contexts_lie_where_docker_config_says(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_CONFIG moves config.json and the contexts."""
    monkeypatch.setenv("DOCKER_CONFIG", str(machine / "elsewhere"))
    _context(machine, "chosen", {"Host": _tcp(7)}, "elsewhere")
    _configure(machine, '{"currentContext": "chosen"}', "elsewhere")
    assert _addresses() == [_tcp(7)]


def test_a_context_brings_its_certificates(machine: Path) -> None:
    """The files that are there are used, SkipTLSVerify counts, and a context with neither speaks plain."""
    folder = _context(machine, "sure", {"Host": _tcp(1)})
    folder.mkdir(parents=True)
    for name in ("ca", "cert", "key"):
        (folder / f"{name}.pem").touch()
    _context(machine, "lax", {"Host": _tcp(2), "SkipTLSVerify": True})
    _context(machine, "plain", {"Host": _tcp(3), "SkipTLSVerify": False})
    assert where.named("", "sure") == Address(
        _tcp(1), "--context (sure)", Tls(f"{folder}/ca.pem", f"{folder}/cert.pem", f"{folder}/key.pem")
    )
    assert where.named("", "lax") == Address(_tcp(2), "--context (lax)", Tls(verify=False))
    assert where.named("", "plain") == Address(_tcp(3), "--context (plain)")


def test_the_environment_asks_for_tls(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_TLS_VERIFY with the files in DOCKER_CERT_PATH, else in Docker's configuration; DOCKER_TLS without
    verification; only on tcp."""
    (machine / "certs").mkdir()
    (machine / "certs" / "ca.pem").touch()
    assert where.named(_tcp(1), "") == Address(_tcp(1), "-H")
    monkeypatch.setenv("DOCKER_TLS", "1")
    assert where.named(_tcp(1), "") == Address(_tcp(1), "-H", Tls(verify=False))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert where.named(_tcp(1), "") == Address(_tcp(1), "-H", Tls())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(machine / "certs"))
    assert where.named(_tcp(1), "") == Address(_tcp(1), "-H", Tls(ca=str(machine / "certs" / "ca.pem")))
    assert where.named("ssh://there", "") == Address("ssh://there", "-H")


def test_options_ask_for_tls(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--tlsverify and --tls, with the files that were named, or the usual ones; at a host, or Docker's own default one
    for TLS; never left out where it can't be."""
    ca = str(machine / "certs" / "ca.pem")
    (machine / "certs").mkdir()
    Path(ca).touch()
    monkeypatch.setenv("DOCKER_CERT_PATH", str(machine / "certs"))
    assert tls_of_options(True, "", "c", "k") == Tls(ca, "c", "k")
    assert tls_of_options(None, "a", "", "") == Tls("a", verify=False)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert tls_of_options(None, "", "", "") == Tls(ca)
    assert tls_of_options(False, "", "", "") == Tls(ca, verify=False)
    tls = Tls("other")
    assert where.named(_tcp(1), "", tls) == Address(_tcp(1), "-H", tls)
    assert where.named("", "", tls) == Address("tcp://localhost:2376", "--tls", tls)
    assert where.named("", "default", tls) == Address("tcp://localhost:2376", "--tls", tls)
    for host in ("unix:///x", "ssh://there"):
        with pytest.raises(UsageError, match="TLS is for tcp"):
            where.named(host, "", tls)
    _context(machine, "chosen", {"Host": _tcp(2)})
    with pytest.raises(UsageError, match="says itself how to speak TLS"):
        where.named("", "chosen", tls)
    _configure(machine, '{"currentContext": "chosen"}')
    with pytest.raises(UsageError, match="says itself how to speak TLS"):
        where.named("", "", tls)
    monkeypatch.setenv("DOCKER_HOST", _tcp(3))
    assert where.named("", "", tls) == Address(_tcp(3), "DOCKER_HOST", tls)


_CONNECTIONS = {
    "Connection": {
        "Default": "far",
        "Connections": {
            "far": {"URI": "ssh://me@far:22/run/podman/podman.sock", "Identity": "/keys/far", "IsMachine": True},
            "near": {"URI": "unix:///near.sock", "Identity": ""},
        },
    }
}


def _podman(machine: Path, content: object, name: str = "podman-connections.json") -> Path:
    path = machine / "home/.config/containers" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_podmans_own_places_are_read(
    machine: Path, monkeypatch: pytest.MonkeyPatch, listen: Callable[..., str]
) -> None:
    """--url, --connection, CONTAINER_HOST, CONTAINER_CONNECTION, behind what names Docker's engine; the default
    connection for who has no engine here."""
    _podman(machine, _CONNECTIONS)
    far = Address("ssh://me@far:22/run/podman/podman.sock", "Podman's default connection (far)", podman="/keys/far")
    near = Address("unix:///near.sock", "--connection (near)", podman="")
    assert where.named("", "") is None and _addresses() == [far.address]
    assert where.named("", "near", podman="") == near
    assert where.named("", "near") == near  # podman's -c
    assert where.named("", "", podman="") == far
    assert where.named("", "", podman="/mine") == Address(far.address, far.said, podman="/mine")
    assert where.named("unix:/run/x", "", podman="") == Address("unix:///run/x", "--url", podman="")
    assert where.named("tcp://a:1", "", podman="") == Address("tcp://a:1", "--url", podman="")
    here = listen(_PATHS["podman"])
    assert _addresses() == [here]
    monkeypatch.setenv("CONTAINER_CONNECTION", "near")
    assert where.named("", "") == Address("unix:///near.sock", "CONTAINER_CONNECTION (near)", podman="")
    monkeypatch.setenv("CONTAINER_HOST", "ssh://there/run/x")
    assert where.named("", "") == Address("ssh://there/run/x", "CONTAINER_HOST", podman="")
    monkeypatch.setenv("CONTAINER_SSHKEY", "/keys/mine")
    assert where.named("", "") == Address("ssh://there/run/x", "CONTAINER_HOST", podman="/keys/mine")
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker:1")
    assert where.named("", "") == Address("tcp://docker:1", "DOCKER_HOST")
    assert _addresses(pinned="podman") == ["ssh://there/run/x"]
    with pytest.raises(UsageError, match="--url and --connection both"):
        where.named("unix:/x", "near", podman="")


def test_connections_of_containers_conf(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older Podmans', and those that are written by hand: the person's own file goes before the system's, and what
    `podman system connection` keeps before both."""
    (machine / "etc").mkdir()
    old = '[engine]\nactive_service = "{0}"\n[engine.service_destinations.{0}]\nuri = "unix:///{0}"\nidentity = "/k"\n'
    (machine / "etc/containers.conf").write_text(old.format("system"))
    said = "Podman's default connection"
    assert where.named("", "", podman="") == Address("unix:///system", f"{said} (system)", podman="/k")
    _podman(machine, old.format("own"), "containers.conf")
    assert where.named("", "", podman="") == Address("unix:///own", f"{said} (own)", podman="/k")
    assert podman_config.names() == ["own", "system"]
    _podman(machine, _CONNECTIONS)
    assert podman_config.names() == ["far", "near", "own", "system"]
    assert podman_config.default() == ("far", podman_config.connection("far", ""))
    monkeypatch.setenv("CONTAINERS_CONF", str(machine / "etc/containers.conf"))
    monkeypatch.setenv("PODMAN_CONNECTIONS_CONF", str(machine / "none"))
    assert podman_config.names() == ["system"]


def test_a_connection_that_is_none(machine: Path, world: World) -> None:
    """Is an error that names those that there are; a file that makes no sense is named; somebody else's is passed
    over."""
    with pytest.raises(EngineError, match="--connection names 'x', but Podman has no such connection"):
        where.named("", "x", podman="")
    path = _podman(machine, _CONNECTIONS)
    with pytest.raises(EngineError, match="choose one of far, near"):
        where.named("", "x", podman="")
    for table in ('{"Connection":', {"Default": 1}, {"Connections": {"x": {"URI": 1}}}):
        _podman(machine, table if isinstance(table, str) else {"Connection": table})
        with pytest.raises(EngineError, match=re.escape(str(path))):
            where.named("", "x", podman="")
    _podman(machine, "[]")
    assert podman_config.names() == []
    _podman(machine, _CONNECTIONS)
    world.need_root()  # to give it away
    os.chown(path, 65534, 65534)
    assert podman_config.names() == []


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("unix://", "unix:///var/run/docker.sock"),
        ("/run/engine.sock", "unix:///run/engine.sock"),
        ("10.0.0.1:2375", "tcp://10.0.0.1:2375"),
        ("ssh://me@there:2222", "ssh://me@there:2222"),
    ],
)
def test_addresses_may_be_short(machine: Path, monkeypatch: pytest.MonkeyPatch, said: str, meant: str) -> None:
    """What Docker's client takes as an address is one here."""
    monkeypatch.setenv("DOCKER_HOST", said)
    assert where.named("", "") == Address(meant, "DOCKER_HOST")


@pytest.mark.parametrize(
    "address", ["npipe:////./pipe/docker_engine", "http://there:2375", "fd://", "tcp://", "://", "unix:x://"]
)
def test_an_address_of_another_kind_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """The sentence says who named it and how an address begins."""
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError, match=r"DOCKER_HOST says .*one begins with unix://, tcp://, ssh://"):
        _addresses()


def test_a_named_socket_that_can_t_be_one_is_explained(
    machine: Path, listen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, not a socket, or with nobody behind it: three sentences, each with what to do."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{machine}/missing.sock")
    with pytest.raises(
        EngineError, match=r"DOCKER_HOST says unix://.*missing.sock, but there is no such socket: start the engine"
    ):
        _addresses()
    (machine / "file").touch()
    with pytest.raises(EngineError, match=r"-H says unix://.*file, but that is no socket: name the engine's"):
        _addresses(host=f"unix://{machine}/file")
    dead = machine / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(dead))
    [engine] = where.engines(f"unix://{dead}")
    assert "start it" in (engine.refuses() or "")


def test_a_socket_that_is_forbidden_is_explained() -> None:
    """Who may not write to the socket, or look at it, is told about the group and sudo."""
    program = (
        "import os, sys\n"
        "from dockshell.engines import docker, local, where\n"
        "if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "try: print([each.refuses() for each in where.engines(sys.argv[1])])\n"
        "except Exception as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{directory}/engine.sock")
        server.listen()

        def ask() -> str:
            argv = [sys.executable, "-c", program, f"unix://{directory}/engine.sock"]
            return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

        os.chmod(directory, 0o755)
        os.chmod(f"{directory}/engine.sock", 0o400)
        assert re.search("no permission .*group, or use sudo", ask())
        os.chmod(directory, 0o600)
        assert re.search("may not look: use sudo", ask())
        os.chmod(directory, 0o700)


def test_a_pin_leaves_only_engines_of_that_name(listen: Callable[..., str]) -> None:
    """docker:// and podman:// go by what an engine says of itself: Podman at Docker's place is Podman."""
    disguised = listen(_PATHS["docker"], "Libpod/5.4.0 (linux)")
    real = listen(_PATHS["rootless"], "Docker/28.0 (linux)")
    podman = listen(_PATHS["podman"], "Libpod/5.4.0 (linux)")
    assert _addresses(pinned="docker") == [real]
    assert _addresses(pinned="podman") == [disguised, podman]


def test_a_pin_that_nothing_fits_says_what_there_is(listen: Callable[..., str]) -> None:
    """The error names the engines that were passed over."""
    url = listen(_PATHS["docker"], "Docker/28.0 (linux)")
    with pytest.raises(EngineError, match=rf"no podman engine listens here \({re.escape(url)} is docker\)"):
        _addresses(pinned="podman")


def test_an_engine_that_is_down_is_not_passed_over_in_silence(machine: Path, listen: Callable[..., str]) -> None:
    """Nobody knows what a dead socket would have said, so it is offered, and whoever asks it hears why."""
    dead = machine / _PATHS["rootless"]
    dead.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(dead))
    assert _addresses(pinned="docker") == [f"unix://{dead}"]


def test_the_kernel_is_asked_when_pinned_or_for_a_process(machine: Path, listen: Callable[..., str]) -> None:
    """kernel:// asks it alone, a process asks it last, and nothing else asks it; a process here isn't sought on an
    engine elsewhere."""
    assert _addresses(pinned="kernel") == ["this kernel"]
    assert _addresses(processes=True) == ["this kernel"]
    url = listen(_PATHS["docker"])
    assert _addresses() == [url]
    assert _addresses(processes=True) == [url, "this kernel"]
    assert _addresses(host=url, processes=True) == [url, "this kernel"]
    assert _addresses(host=_tcp(1), processes=True) == [_tcp(1)]
    assert _addresses(host=_tcp(1), pinned="kernel") == ["this kernel"]


def test_a_local_engine_costs_no_heavy_import(listen: Callable[..., str]) -> None:
    """Finding the engine on a local socket imports neither the SDK nor what it stands on."""
    url = listen(_PATHS["docker"])
    program = (
        "import sys; from dockshell.engines import where; [e.address for e in where.engines(sys.argv[1])]\n"
        "heavy = {'docker', 'requests', 'ssl', 'socket', 'hashlib', 'subprocess', 'typing', 'paramiko'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program, url], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    assert done.stdout == "[]\n"
