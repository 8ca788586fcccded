"""Other users of the host: what they leave in a directory where root works, and what they would like root to believe.
Each test has a control, which shows that the attack works where nothing guards against it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockshell.errors import DockshellError
from dockshell.linux import trusted
from dockshell.ssh import own
from dockshell.tools import images
from tests.conftest import COMMAND
from tests.contract.watching import unique, until
from tests.impostor import Impostor, listed
from tests.test_demo import HIDDEN
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A directory in which everything that a Python may import has been put by somebody else: whatever of it is
    executed adds its name to the file `ran` and ends the process. `-c` is an executable too."""
    place = tmp_path / "trap"
    (place / "dockshell").mkdir(parents=True)
    code = f"import os\nwith open({str(place / 'ran')!r}, 'a') as file: file.write(__name__ + '\\n')\nos._exit(66)\n"
    for name in sorted(sys.stdlib_module_names | {"docker", "paramiko", "rich", "asyncssh"} - {"os", "sys"}):
        (place / f"{name}.py").write_text(code)
    for name in ("__init__.py", "__main__.py"):
        (place / "dockshell" / name).write_text(code)
    (place / "-c").write_text(f"#!/bin/sh\necho -c >>'{place}/ran'\n")
    (place / "-c").chmod(0o755)
    return place


def _ran(trap: Path) -> str:
    try:
        return (trap / "ran").read_text()
    except FileNotFoundError:
        return ""
    finally:
        (trap / "ran").unlink(missing_ok=True)


_DIRECTLY = "from dockshell.cli import main; main()"
STARTS = {
    "script": COMMAND,
    "module": [sys.executable, "-P", "-m", "dockshell"],
    "string": [sys.executable, "-P", "-c", _DIRECTLY],
}


@pytest.mark.parametrize("start", STARTS)
def test_the_demo_executes_nothing_of_the_current_directory(
    world: World, environment: dict[str, str], trap: Path, start: str
) -> None:
    """The demo runs dockshell again and again. However it was itself started, no module or program of the directory
    that root stands in is taken for it."""
    world.need_root()
    env = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    control = subprocess.run([sys.executable, "-m", "dockshell", "version"], cwd=trap, env=env, check=False)
    assert control.returncode == 66 and _ran(trap)
    alone = [world.need_program("unshare"), "--mount", "sh", "-c", f'{HIDDEN} exec "$@"', "sh"]
    done = subprocess.run(
        [*alone, *STARTS[start], "demo"],
        cwd=trap, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert _ran(trap) == ""
    assert done.returncode == 0 and b"HELLO FROM OUTSIDE" in done.stdout, done


def test_a_browser_is_started_by_nothing_of_the_current_directory(
    docker: Peer, environment: dict[str, str], trap: Path, tmp_path: Path
) -> None:
    """`forward --open` starts the browser by Python's webbrowser, and not by one that lies in the current directory."""
    control = subprocess.run([sys.executable, "-m", "webbrowser", "http://[::1]:9/"], cwd=trap, check=False)
    assert control.returncode == 66 and _ran(trap)
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" >{seen}.part && mv {seen}.part {seen}\n')
    browser.chmod(0o755)
    env = {**environment, "DOCKER_HOST": docker.url, "BROWSER": str(browser)}
    argv = [*COMMAND, "forward", "--open", docker.shared("static"), ":80"]
    with subprocess.Popen(argv, cwd=trap, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as forward:
        try:
            until(lambda: seen.exists() or (trap / "ran").exists())
        finally:
            forward.terminate()
    assert _ran(trap) == ""
    assert seen.read_text().startswith("http://127.0.0.1:")


@pytest.mark.parametrize("script", ["dockshell", "docker-bash", "docker-ssh"])
def test_a_script_imports_nothing_that_lies_beside_it(trap: Path, environment: dict[str, str], script: str) -> None:
    """Python looks for modules in a script's own directory first, which may be one that more people write to than to
    Python's own, such as /usr/local/bin."""
    words = ["version"] if script == "dockshell" else ["--help"]
    content = (_ROOT / "scripts" / script).read_text()
    env = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    for guarded in (False, True):
        file = trap / "bin"
        file.write_text(content if guarded else content.replace("del sys.path[0]", "pass"))
        done = subprocess.run([sys.executable, file, *words], env=env, capture_output=True, cwd="/", check=False)
        assert (done.returncode, bool(_ran(trap))) == ((0, False) if guarded else (66, True)), done


_NEIGHBOUR = 4711  # a user of the host who has nothing to say to root


def _own(place: Path, uid: int) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def _runtime_directory(place: Path, url: str) -> dict[str, str]:
    (place / "docker.sock").symlink_to(url.removeprefix("unix://"))
    return {"XDG_RUNTIME_DIR": str(place)}


def _home(place: Path, url: str) -> dict[str, str]:
    (place / ".docker" / "run").mkdir(parents=True)
    (place / ".docker" / "run" / "docker.sock").symlink_to(url.removeprefix("unix://"))
    return {"HOME": str(place), "PYTHONPATH": ""}


def _context(place: Path, url: str) -> dict[str, str]:
    meta = place / "contexts" / "meta" / hashlib.sha256(b"evil").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": "evil", "Endpoints": {"docker": {"Host": url}}}))
    (place / "config.json").write_text(json.dumps({"currentContext": "evil"}))
    return {"DOCKER_CONFIG": str(place)}


def _connection(place: Path, url: str) -> dict[str, str]:
    (place / "containers").mkdir()
    table = {"Connection": {"Default": "evil", "Connections": {"evil": {"URI": url}}}}
    (place / "containers" / "podman-connections.json").write_text(json.dumps(table))
    return {"XDG_CONFIG_HOME": str(place)}


@pytest.mark.parametrize("lure", [_runtime_directory, _home, _context, _connection])
def test_no_engine_is_asked_that_another_user_chose(
    world: World, environment: dict[str, str], tmp_path: Path, lure: Callable[[Path, str], dict[str, str]]
) -> None:
    """Root with a variable that still means somebody else, as after su(1): a runtime directory, a home, Docker's
    contexts, Podman's connections. Nobody is asked, and -v or the error says whose it is. Whoever called sudo is
    believed, which is the control."""
    world.need_root()
    place = tmp_path / "theirs"
    place.mkdir()
    alone = [world.need_program("unshare"), "--mount", "sh", "-c", f'{HIDDEN} exec "$@"', "sh", *COMMAND]
    with Impostor([listed("web")]).serving() as engine:
        env = {**environment, **lure(place, engine.url)}
        _own(place, _NEIGHBOUR)
        done = subprocess.run([*alone, "-v", "ls"], env=env, capture_output=True, check=False)
        assert (done.returncode, done.stdout, engine.requests) == (125, b"", []), done
        assert str(place) in done.stderr.decode()
        sudo = {**env, "SUDO_UID": str(_NEIGHBOUR)}
        control = subprocess.run([*alone, "-v", "ls"], env=sudo, capture_output=True, check=False)
        assert control.returncode == 0 and b"web" in control.stdout and engine.requests, control
        assert b"not believed" not in control.stderr


def test_no_context_is_taken_that_another_user_made(world: World, environment: dict[str, str], tmp_path: Path) -> None:
    """One that is named by root, and whose file or certificate is somebody else's, is an error that says whose."""
    world.need_root()
    with Impostor([listed("web")]).serving() as engine:
        env = {**environment, **_context(tmp_path, engine.url)}
        argv = [*COMMAND, "--context", "evil", "ls"]
        meta = next(tmp_path.glob("contexts/meta/*/meta.json"))
        certificate = tmp_path / "contexts" / "tls" / meta.parent.name / "docker" / "ca.pem"
        certificate.parent.mkdir(parents=True)
        certificate.write_text("")
        for path in (meta, certificate):
            os.chown(path, _NEIGHBOUR, _NEIGHBOUR)
            done = subprocess.run(argv, env=env, capture_output=True, check=False)
            assert (done.returncode, engine.requests) == (125, []), done
            assert f"{path} belongs to user {_NEIGHBOUR} and is not believed" in done.stderr.decode()
            os.chown(path, 0, 0)
        certificate.unlink()
        control = subprocess.run(argv, env=env, capture_output=True, check=False)
        assert control.returncode == 0 and b"web" in control.stdout, control


def test_no_settings_are_taken_that_another_user_made(
    world: World, docker: Peer, dockshell: Run, tmp_path: Path
) -> None:
    """dockshell's own configuration, and the names of tools: a shell that another user chose is not started."""
    world.need_root()
    place = tmp_path / "dockshell"
    place.mkdir()
    (place / "config.toml").write_text('user = "65534"\n')
    (place / "tools").write_text("evil\t/evil\n")
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    name = docker.shared("busybox")
    _own(tmp_path, _NEIGHBOUR)
    done = dockshell("-v", "exec", name, "id", "-u", engine=docker, env=env)
    assert done.stdout == b"0\n" and f"{place}/config.toml belongs to user {_NEIGHBOUR}" in done.stderr.decode(), done
    done = dockshell("tools", "list", env=env)
    assert done.returncode == 125 and f"belongs to user {_NEIGHBOUR}" in done.stderr.decode(), done
    sudo = {**env, "SUDO_UID": str(_NEIGHBOUR)}
    assert dockshell("exec", name, "id", "-u", engine=docker, env=sudo).stdout == b"65534\n"
    assert b"evil" in dockshell("tools", "list", env=sudo).stdout


@contextlib.contextmanager
def _engine_of(uid: int, path: Path, told: dict[str, object]) -> Iterator[str]:
    """An engine that a process of that user answers for, at that path → its URL."""
    ready, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(uid, uid, uid)
            with Impostor([], inspected=told).serving(str(path)):
                os.write(theirs, b".")
                signal.pause()
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        assert os.read(ready, 1) == b"."
        yield f"unix://{path}"
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _told(pid: int, id: str = "f" * 64) -> dict[str, object]:
    """What an engine tells of a container `web` with that first process."""
    began = os.stat(f"/proc/{pid}").st_ctime
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    return {
        "Id": id, "Name": "/web", "Created": moment, "Config": {"Image": "image"}, "HostConfig": {},
        "State": {"Running": True, "Status": "running", "Pid": pid, "StartedAt": moment}, "NetworkSettings": {},
    }  # fmt: skip


@pytest.mark.parametrize("verb", ["exec", "cp"])
def test_another_user_s_engine_leads_nowhere(world: World, dockshell: Run, tmp_path: Path, verb: str) -> None:
    """Root names an engine that another user runs, and that says of a daemon of the host's, which has a mount namespace
    of its own, that it is a container: nothing is executed or written there. If root runs that engine, it is."""
    world.need_root()
    tmp_path.chmod(0o777)
    for above in list(tmp_path.parents)[:-2]:
        above.chmod(above.stat().st_mode | 0o011)
    hit = tmp_path / "hit"
    (tmp_path / "source").write_text("source")
    words = {
        "exec": ["exec", "--via", "nsenter", "web", "touch", str(hit)],
        "cp": ["cp", f"{tmp_path}/source", f"web:{hit}"],
    }[verb]
    with subprocess.Popen([world.need_program("unshare"), "--mount", "sleep", unique()]) as daemon:
        try:
            until(lambda: os.readlink(f"/proc/{daemon.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"))
            for uid in (_NEIGHBOUR, 0):
                socket = tmp_path / f"{uid}.sock"
                with _engine_of(uid, socket, _told(daemon.pid)) as url:
                    done = dockshell(words[0], "-H", url, *words[1:])
                assert (done.returncode, hit.exists()) == ((0, True) if uid == 0 else (125, False)), (uid, done)
        finally:
            daemon.kill()


@pytest.mark.parametrize(
    ("variable", "directory"), [("XDG_CACHE_HOME", images._directory), ("XDG_DATA_HOME", own.directory)]
)
def test_nothing_is_kept_where_another_user_could_exchange_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, directory: Callable[[], str]
) -> None:
    """Root's copies of images, and keys: not below a directory of somebody else's, whatever root has made in there
    before. A link that they have moved there since would be followed (the control)."""
    world.need_root()
    monkeypatch.setenv(variable, str(tmp_path / "theirs"))
    (tmp_path / "theirs").mkdir()
    made = Path(directory())
    assert made.is_dir() and made.stat().st_mode & 0o777 == 0o700
    os.chown(tmp_path / "theirs", _NEIGHBOUR, _NEIGHBOUR)
    with pytest.raises(DockshellError, match=f"theirs belongs to user {_NEIGHBOUR}"):
        directory()
    become = ["setpriv", f"--reuid={_NEIGHBOUR}", "--clear-groups"]
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "theirs", elsewhere)
    for above in (tmp_path, *tmp_path.parents[:-2]):
        above.chmod(above.stat().st_mode | 0o011)
    theirs = tmp_path / "theirs" / "dockshell"
    subprocess.run([*become, "mv", theirs, f"{theirs}.old"], check=True)
    subprocess.run([*become, "ln", "-s", elsewhere / "dockshell", theirs], check=True)
    monkeypatch.setattr(trusted, "believed", lambda uid: True)
    assert Path(directory()).samefile(elsewhere / made.relative_to(tmp_path / "theirs"))
