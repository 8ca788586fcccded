"""Engines that lie, and containers that have what is asked of them, or what is brought beside them, used against the
host. Each test has a control, which shows that the attack works where nothing guards against it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dockshell.engines import sidecar, where
from dockshell.engines.aside import aside
from dockshell.model import Target
from dockshell.services import finding
from dockshell.tools import images
from dockshell.tools.busybox import static_busybox
from dockshell.variables import formats
from tests.conftest import COMMAND
from tests.contract.watching import until
from tests.impostor import Impostor
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

# A variable's value → what a person types once it is set. {hit}: a command that makes a file of the host's; {evil}: a
# directory of the container's own, as the host sees it; {host}: a directory of the host's.
VALUES = {
    "PROMPT_COMMAND": ("{hit}", "bash --norc -i <{host}/lines"),
    "PS0": ("$({hit})", "bash --norc -i <{host}/lines"),
    "PS1": ("$({hit})", "bash --norc -i <{host}/lines"),
    "PS2": ("$({hit})", "bash --norc -i <{host}/lines"),
    "PS4": ("$({hit})", "set -x; :"),
    "BASH_ENV": ("{evil}/script", "bash -c :"),
    "ENV": ("{evil}/script", "dash -i </dev/null"),
    "HISTFILE": ("{host}/hit", "bash --norc -i <{host}/lines"),
    "HOME": ("{evil}", "bash -i </dev/null"),
    "ZDOTDIR": ("{evil}", "zsh -c :"),
    "PATH": ("{evil}:/usr/bin:/bin", "git"),
    "IFS": ("p", "word=xpx; set -- $word; test $# = 1 || {hit}"),
    "LD_DEBUG": ("libs", "LD_DEBUG_OUTPUT={host}/hit /bin/true"),
    "PYTHONPATH": ("{evil}", "{python} -c ''"),
    "PERL5OPT": ("-Mevil", "PERL5LIB={evil} perl -e 1"),
    "GIT_SSH_COMMAND": ("{hit};", "git ls-remote ssh://localhost/x"),
    "TAR_OPTIONS": ("--checkpoint=1 --checkpoint-action=exec={evil}/script", "tar -cf {host}/tar -C /etc passwd"),
    "EDITOR": ("{hit} #", "EDITOR=${{EDITOR-true}} git config --file {host}/config --edit"),
    "PAGER": ("{hit} #", "script -qec 'git -p version' /dev/null"),
}
_EVIL = """
path=$PATH PATH=/bin
mkdir /evil && cd /evil
printf '#!/bin/sh\\n%s\\n' "$1" >script
chmod 755 script
cp script git
cp script .bashrc
cp script .zshenv
echo "import os; os.system('$1')" >sitecustomize.py
echo "system('$1'); 1;" >evil.pm
echo $$ >/tmp/number
PATH=$path exec /bin/sleep 100000
"""


def test_no_variable_of_a_container_is_executed(docker: Peer, dockshell: Run, world: World, tmp_path: Path) -> None:
    """Root inside gives a process an environment by which a shell of root's on the host, or what that starts next,
    executes what a container chose; or writes a file. `env --format sh` leaves it out, and names it."""
    world.need_root()
    for program in ("zsh", "perl", "git", "script"):
        world.need_program(program)
    name = docker.run("busybox")
    place = {
        "hit": f"touch {tmp_path}/hit", "host": tmp_path, "evil": f"/proc/{docker.pid(name)}/root/evil",
        "python": sys.executable,
    }  # fmt: skip
    (tmp_path / "lines").write_text("true\necho '\n'\n")
    values = {variable: value.format_map(place) for variable, (value, _) in VALUES.items()}
    given = [word for pair in values.items() for word in ("--env", "=".join(pair))]
    docker.sh("exec", "--detach", *given, name, "/bin/sh", "-c", _EVIL, "sh", place["hit"])
    number = until(lambda: docker.sh("exec", name, "cat", "/tmp/number", check=False).stdout.decode().strip())
    done = dockshell("env", name, "--from", number, "--format", "sh", "--show", engine=docker)
    assert done.returncode == 0, done
    told = done.stderr.decode().replace(",", "").split()
    assert values.keys() - set(told) == set()
    for variable, (_, typed) in VALUES.items():
        guardless, _ = formats.as_sh({variable: values[variable]})
        hits = [_hits(script, typed.format_map(place), tmp_path) for script in (guardless, done.stdout)]
        assert hits == [True, False], variable


def _hits(script: bytes, typed: str, place: Path) -> bool:
    """A shell reads the script and then does what is typed: is a file made?"""
    (place / "script").write_bytes(script)
    words = ["bash", "--norc", "-c", f". {place}/script; {typed}"]
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "TERM": "xterm"}
    subprocess.run(words, env=env, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    hits = list(place.glob("hit*"))
    for each in hits:
        each.unlink()
    return bool(hits)


def test_who_is_in_another_container_is_not_entered(world: World, docker: Peer, dockshell: Run) -> None:
    """An engine's process number and start fit, as those of a number that was taken anew within seconds do; its cgroup
    names another container. That one isn't entered. Where the cgroup can't contradict, for the engine's ids have
    another form, the start alone counts: the control."""
    world.need_root()
    other = docker.inspect(docker.shared("busybox"))
    for id, code in (("f" * 64, 125), ("web-1", 0)):
        told = {**other, "Id": id, "Name": "/web"}
        with Impostor([], inspected=told).serving() as engine:
            done = dockshell("exec", "--via", "nsenter", "web", "hostname", env={"DOCKER_HOST": engine.url})
        assert done.returncode == code, done
        entered = done.stdout.decode().strip() == other["Config"]["Hostname"]
        assert entered == (code == 0) and (entered or b"not proved to be the container's" in done.stderr), done


# Somebody without rights runs a program of theirs that is called as supervisord's interpreter would be, and says that
# this interpreter is another.
_FORGED = r"""
mkdir -m 777 /tmp/evil
cat >/tmp/evil/python3 <<'END'
#!/bin/sh
id -u >>/tmp/evil/asked
END
chmod 755 /tmp/evil/python3
cp /usr/bin/perl /tmp/evil/python-x
exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -c '
    exec -a /tmp/evil/python3 /tmp/evil/python-x -e "sleep 100000" supervisord'
"""


# A container that has just started gets some seconds until its services are looked for.
_AT_ONCE = "from dockshell.services import finding; finding._BEGINS = 0; from dockshell.cli import main; main()"


def test_a_forged_supervisor_gets_nothing_executed(docker: Peer, environment: dict[str, str], world: World) -> None:
    """`services` asks a supervisor by its own interpreter. What another user inside calls so is not executed as root,
    nor what lies where that says; with SYS_PTRACE, without which root inside couldn't look at it."""
    world.need_root()
    name = docker.run("baseimage", "bash", "-c", _FORGED, options=["--cap-add", "SYS_PTRACE"])
    until(lambda: b"supervisord" in docker.sh("exec", name, "cat", "/proc/1/cmdline").stdout)
    env = {**environment, "DOCKER_HOST": docker.url}
    done = subprocess.run([sys.executable, "-c", _AT_ONCE, "services", name], env=env, capture_output=True, check=False)
    assert docker.sh("exec", name, "cat", "/tmp/evil/asked", check=False).stdout == b"", done
    assert done.returncode == 1 and b"supervisord" in done.stderr, done
    # Without looking at whose process it is, and at what runs in it.
    guardless = finding._script().replace("ours() {", "ours() { return 0; }; former() {", 1)
    guardless = guardless.replace('-ef "/proc/$2/exe" ]', "]").replace(
        "roots_own() {", "roots_own() { return 0; }; former_too() {", 1
    )
    docker.sh("exec", "--user", "0", name, "sh", "-c", guardless, "sh", "look", check=False)
    assert docker.sh("exec", name, "cat", "/tmp/evil/asked").stdout == b"0\n"


# What runs in the sidecar's place, once somebody in the target has put it there: as much as it can get.
_GREEDY = r"""#!/.dockshell/busybox-real sh
real=/.dockshell/busybox-real
[ "$1" = greedy ] || exec $real "$@"
echo "files $(ulimit -n)"
echo "sysctl $($real cat /proc/sys/kernel/msgmax)"
$real dd if=/dev/zero of=/dev/null bs=150M count=1 2>/dev/null && echo memory
$real mkdir /tmp/made 2>/dev/null && echo made
number=0
while [ $number -lt 60 ] && $real sleep 30 >/dev/null 2>&1 </dev/null & do
    number=$((number + 1))
    echo "process $number"
done
"""
# As the user of the sidecar's process, whose files are those that it may reach, and with the right to write them that
# root in a default container has.
_REPLACE = """
cd "$1" && mv busybox busybox-real && cat >busybox && chmod 755 busybox
"""
_STRICT = (
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
)


def test_a_sidecar_is_no_way_out_of_limits(
    docker: Peer, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root in a container with limits replaces the program of the sidecar of a forward, which the engine then executes:
    no more memory, processes, files or system calls are to be had there, and no other sysctl. Without the target's
    limits (the control) there are."""
    world.need_root()
    (tmp_path / "profile.json").write_text(_STRICT)
    options = [
        "--memory", "64m", "--pids-limit", "30", "--ulimit", "nofile=77:77", "--sysctl", "kernel.msgmax=777",
        "--security-opt", f"seccomp={tmp_path}/profile.json", "--cpus", "2",
    ]  # fmt: skip
    name = docker.run("baseimage", "sleep", "100000", options=options)
    assert _gotten(docker, name) == {"files 77", "sysctl 777"}
    bare = {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}
    monkeypatch.setattr(sidecar, "confinement", lambda *_: bare)
    assert _gotten(docker, name) > {"memory", "made", "process 60"}


def _gotten(peer: Peer, name: str) -> set[str]:
    [engine] = where.engines(host=peer.url)
    [target] = engine.find(Target("name", name))
    assert engine.api
    with sidecar.Sidecar(engine.api, target, (65534, 65534), sidecar.Load(static_busybox())) as beside:
        rights = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_override"]
        become = ["setpriv", *rights, "--ambient-caps=+dac_override"]
        words = [*become, "sh", "-c", _REPLACE, "sh", beside.place]
        peer.sh("exec", "--interactive", name, *words, input=_GREEDY.encode())
        argv = [f"{sidecar.PLACE}/busybox", "greedy"]
        _, told, _ = aside(engine.api, beside.id, argv, "65534:65534", patience=60)
    lines = set(told.decode().splitlines())
    numbers = {line for line in lines if line.startswith("process ")}
    most = max((int(line.split()[1]) for line in numbers), default=0)
    return lines - numbers | ({"process 60"} if most > 30 else set())


def test_the_null_device_of_the_host_stays_outside(world: World, docker: Peer, dockshell: Run) -> None:
    """Root inside changes what its stdin, stdout and stderr lead to, with -d, or where the caller's are the null
    device: this machine's has been changed by nobody (its ctime), as it is where it is passed in (the control)."""
    world.need_root()
    name = docker.shared("busybox")
    change = "for number in 0 1 2; do chmod 666 /proc/self/fd/$number; done; touch /tmp/changed"
    words = ["sh", "-c", change]
    before = os.stat("/dev/null").st_ctime_ns
    assert dockshell("exec", "--via", "nsenter", "-d", name, *words, engine=docker).returncode == 0
    until(lambda: docker.sh("exec", name, "rm", "/tmp/changed", check=False).returncode == 0)
    null = subprocess.DEVNULL
    argv = [*COMMAND, "exec", "--via", "nsenter", "-H", docker.url, name, *words]
    subprocess.run(argv, stdin=null, stdout=null, stderr=null, check=True)
    assert docker.sh("exec", name, "rm", "/tmp/changed", check=False).returncode == 0
    assert os.stat("/dev/null").st_ctime_ns == before
    control = ["nsenter", "--target", str(docker.pid(name)), "--all", "chmod", "666", "/proc/self/fd/0"]
    subprocess.run(control, stdin=null, check=True)
    assert os.stat("/dev/null").st_ctime_ns != before


def test_a_container_without_a_null_device(world: World, docker: Peer, dockshell: Run) -> None:
    """Or with something else in its place, which is not opened: what a command reads and writes by -d is nothing all
    the same. (The engine's own exec refuses.)"""
    world.need_root()
    name = docker.run("busybox")
    root = Path(f"/proc/{docker.pid(name)}/root")
    null, seen = root / "dev" / "null", root / "tmp" / "seen"
    for put in (lambda: None, lambda: os.mkfifo(null), lambda: null.write_text("kept")):
        null.unlink()
        put()
        script = "cat; echo lost; stat -L -c %F,%t,%T /proc/self/fd/0 >/tmp/part; mv /tmp/part /tmp/seen"
        assert dockshell("exec", "--via", "nsenter", "-d", name, "sh", "-c", script, engine=docker).returncode == 0
        until(seen.exists)
        assert seen.read_text() == "character special file,1,3\n"
        seen.unlink()
        null.exists() or null.touch()
    assert null.read_text() == "kept"


class _Lying:
    """An engine that says of any image that it is the one with that id, and has a file /bin/tool of its own in it."""

    local, owner = False, 0

    def __init__(self, address: str, content: bytes) -> None:
        self.address, self._content = address, content

    def anew(self, patience: float = 0) -> _Lying:
        return self

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return {"Id": "0" * 64 if method == "POST" else "sha256:" + "a" * 64, "Config": {}}

    def download(self, container: str, path: str) -> io.BytesIO:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            member = tarfile.TarInfo("tool")
            member.size = len(self._content)
            tar.addfile(member, io.BytesIO(self._content))
        file.seek(0)
        return file


def test_an_image_of_one_engine_is_not_taken_for_another_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine has an image with the id of one that another engine has, and programs of its own in it: these are not
    brought into a container of the other. Kept by the id alone (the control: at one address), they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def tool(address: str, content: bytes) -> bytes:
        [place] = images.layers(_Lying(address, content), "image", lambda size: None)  # type: ignore[arg-type]
        return Path(place, "tool").read_bytes()

    assert tool("tcp://evil", b"evil") == b"evil"
    assert tool("tcp://good", b"good") == b"good"
    assert tool("tcp://evil", b"good") == b"evil"
    assert len(list((tmp_path / "dockshell" / "images").iterdir())) == 2


@pytest.mark.parametrize("engine", ["docker", "podman"], indirect=True)
def test_a_sidecar_of_a_read_only_container_is_none_to_write_to(engine: Peer, world: World) -> None:
    """Root in a container whose root can't be written finds none that can be in a sidecar's, nor anything of it left in
    the engine. Beside a container that may write (the control) it can."""
    world.need_root()
    write = 'for each in "$1" "$1/.." "$1/../tmp"; do echo >"$each/written" && exit; done; exit 1'
    engine.image("busybox")
    before = engine.image_ids("--all")
    for options, code in ((["--read-only"], 1), ([], 0)):
        name = engine.run("busybox", options=options)
        [found] = where.engines(host=engine.url)
        [target] = found.find(Target("name", name))
        assert found.api
        with sidecar.Sidecar(found.api, target, (0, 0), sidecar.Load(static_busybox())) as beside:
            done = engine.sh("exec", name, "sh", "-c", write, "sh", beside.place, check=False)
            ran = engine.sh("exec", name, beside.busybox, "echo", "ran")
        assert (done.returncode, ran.stdout) == (code, b"ran\n"), done
    assert engine.image_ids("--all") == before


def test_a_sidecar_is_in_the_user_namespace_of_its_target(
    podman: Peer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a container whose root is nobody on the host it is nobody there either. Without being told (the control)
    Podman makes it root's."""
    world.need_root()
    name = podman.run("busybox", options=["--uidmap", "0:100000:65536"])
    [engine] = where.engines(host=podman.url)
    [target] = engine.find(Target("name", name))
    assert engine.api
    load = sidecar.Load(static_busybox())
    with sidecar.Sidecar(engine.api, target, (0, 0), load) as beside:
        assert os.stat(f"/proc/{podman.pid(beside.id)}").st_uid == 100000
        assert aside(engine.api, target.id, [beside.busybox, "true"])[0] == 0
    monkeypatch.setattr(sidecar, "confinement", lambda *_: {})
    with sidecar.Sidecar(engine.api, target, (0, 0), sidecar.Load(static_busybox())) as beside:
        assert os.stat(f"/proc/{podman.pid(beside.id)}").st_uid == 0
