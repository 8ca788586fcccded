"""`dockshell services`: real services of runit, s6 and supervisord, in a real Debian that has all three."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import COMMAND
from tests.messages import without_progress
from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Row = dict[str, Any]

_DOCKERFILE = """FROM dockshell-test/slim
RUN apt-get update && apt-get install -y --no-install-recommends runit s6 supervisor daemontools procps
"""
_START = r"""
make() { mkdir -p "$1"; printf '#!/bin/sh\n%s\n' "$2" >"$1/run"; chmod 755 "$1/run"; }
make /srv/runit/talks 'exec 2>&1; printf "\033]0;pwned\007\377 talks\n"; exec sleep 100000'
make /srv/runit/talks/log 'mkdir -p /var/log/talks; exec svlogd /var/log/talks'
make /srv/runit/plain 'echo plain; exec sleep 100000'
make /srv/runit/crashes 'exit 3'
make /srv/runit/stubborn "trap '' TERM; while :; do sleep 1; done"
make /srv/runit/off 'exec sleep 100000'
touch /srv/runit/off/down
bad="/srv/runit/$(printf '\033]0;pwned\007 \377')"
make "$bad" 'exec sleep 100000'
touch "$bad/down"
make /srv/elsewhere 'exec >/var/log/linked; echo linked; exec sleep 100000'
ln -s /srv/elsewhere /srv/runit/linked
mkdir /run/linked
ln -s /run/linked /srv/elsewhere/supervise
make /srv/runit/theirs 'exec chpst -u nobody sh -c "echo theirs; exec sleep 100000" >>/srv/theirs.log 2>&1'
make /srv/runit/dropped 'exec python3 -u -c "
import os, time
print(\"dropped\"); os.setgid(65534); os.setuid(65534); time.sleep(100000)" >>/srv/dropped.log 2>&1'
make /srv/runit/stamped 'echo stamped; exec chpst -u nobody sleep 100000'
make /srv/runit/stamped/log 'mkdir -p main; chown nobody main; exec chpst -u nobody svlogd -t ./main'
make /srv/runit/silent 'exec chpst -u nobody sleep 100000 >/dev/null'
make /srv/runit/shared 'exec chpst -u nobody sleep 100000'
make /srv/runit/slow 'exec >>/srv/slow.log; echo cannot bind; sleep 1.2; exit 1'
touch /srv/runit/slow/down
make /run/service/talks 'echo s6 talks; exec sleep 100000'
make /run/service/talks/log 'mkdir -p /var/log/s6; exec s6-log t /var/log/s6'
mkfifo /run/feeds
mkdir -m 777 /var/log/feeds
make /run/service/feeds 'exec >/run/feeds; echo fed; exec s6-setuidgid daemon sleep 100000'
make /run/service/fed 'exec </run/feeds; exec s6-setuidgid nobody s6-log t /var/log/feeds'
make /run/service/loops 'exit 4'
make /run/service/idle 'exec sleep 100000'
touch /run/service/idle/down
cat >/etc/supervisor/conf.d/test.conf <<'END'
[program:web]
command=sh -c 'echo out; exec sleep 100000'
stopsignal=KILL
[program:dies]
command=sh -c 'echo I die; exit 1'
startretries=0
[program:loud]
command=sh -c 'exec sleep 100000'
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
[program:many]
process_name=%(process_num)s
numprocs=2
command=sleep 100000
END
mkdir -m 777 /srv/own
cat >/srv/own/own.conf <<'END'
[supervisord]
logfile=/srv/own/log
pidfile=/srv/own/pid
[unix_http_server]
file=/srv/own/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///srv/own/socket
[program:own]
command=sh -c 'id -u; exec sleep 100000'
END
(cd /srv/own && exec chpst -u daemon supervisord -n -c own.conf) &
s6-svscan /run/service &
supervisord -n -c /etc/supervisor/supervisord.conf &
cd /srv
exec runsvdir -P runit 'log: ......'
"""

_ALL_ANSWER = """
for each in /etc/supervisor/supervisord.conf /srv/own/own.conf; do
    until supervisorctl -c $each pid; do sleep 0.1; done
done >/dev/null
"""


_TALKATIVE = ("runit/talks", "runit/stamped", "runit/theirs", "runit/dropped", "s6/feeds", "s6/talks")


def _supervised(peer: Peer) -> str:
    """The name of a container with all three, which the tests share and leave as they found it."""

    def make() -> str:
        peer.image("slim")
        peer.build("dockshell-test/supervised", _DOCKERFILE)
        name = peer.run("dockshell-test/supervised", "bash", "-c", _START)
        peer.ask("exec", name, "timeout", "90", "sh", "-c", _ALL_ANSWER)
        return name

    return peer.kept("supervised", make)


@pytest.fixture
def supervised(engine: Peer) -> str:
    """On each engine."""
    return _supervised(engine)


def _rows(done: subprocess.CompletedProcess[bytes]) -> dict[str, Row]:
    """What --json printed, by supervisor and name."""
    assert done.returncode in (0, 3), done.stderr
    return {f"{each['supervisor']}/{each['name']}": each for each in json.loads(done.stdout)}


def _settled(rows: dict[str, Row]) -> bool:
    """Has supervisord seen how each of its own does?"""
    own = [each["state"] for name, each in rows.items() if name.startswith("supervisord/")]
    return "starting" not in own and "failed" in own


def _once(look: Callable[[], dict[str, Row]], good: Callable[[dict[str, Row]], bool]) -> dict[str, Row]:
    until = time.monotonic() + 90
    while not good(rows := look()):
        assert time.monotonic() < until, rows
    return rows


def test_all_supervisors_are_shown(engine: Peer, supervised: str, dockshell: Run) -> None:
    """Services of three supervisors in one table: how they are, by their supervisor's own word, and what they wrote,
    wherever that went, as root or as another user. One that ends again and again is not said to run."""
    rows = _once(
        lambda: _rows(dockshell("services", "--json", supervised, engine=engine)),
        lambda rows: all(rows[name]["last"] for name in _TALKATIVE) and _settled(rows),
    )
    states = {name: each["state"] for name, each in rows.items()}
    assert states == {
        "runit/crashes": "restarting", "runit/dropped": "running", "runit/linked": "running", "runit/off": "down",
        "runit/plain": "running", "runit/shared": "running", "runit/silent": "running", "runit/slow": "down",
        "runit/stamped": "running", "runit/stubborn": "running", "runit/talks": "running", "runit/theirs": "running",
        "runit/\x1b]0;pwned\x07 \udcff": "down",
        "s6/fed": "running", "s6/feeds": "running", "s6/idle": "down", "s6/loops": "restarting", "s6/talks": "running",
        "supervisord/dies": "failed", "supervisord/loud": "running", "supervisord/many:0": "running",
        "supervisord/many:1": "running", "supervisord/own": "running", "supervisord/web": "running",
    }  # fmt: skip
    lasts = {name: each["last"] for name, each in rows.items() if each["last"]}
    assert lasts == {
        "runit/talks": "\x1b]0;pwned\x07\ufffd talks",
        "runit/linked": "linked",
        "runit/stamped": "stamped",
        "runit/theirs": "theirs",
        "runit/dropped": "dropped",
        "s6/feeds": "fed",
        "s6/talks": "s6 talks",
        "supervisord/dies": "I die",
        "supervisord/own": "1",
        "supervisord/web": "out",
    }
    in_the_containers = {name for name, each in rows.items() if each["words"] == "container"}
    assert in_the_containers >= {"runit/plain", "runit/off", "runit/shared", "s6/loops", "supervisord/loud"}
    assert rows["runit/silent"]["words"] == "nowhere"
    assert rows["s6/loops"]["why"] == "ended with 4"
    for name in ("runit/talks", "s6/talks", "supervisord/web"):
        command = engine.ask("exec", supervised, "cat", f"/proc/{rows[name]['pid']}/comm")
        assert command == "sleep"


def test_the_table_is_for_people(docker: Peer, dockshell: Run) -> None:
    """A row each, the supervisor's name where there are several, what is in the container's log said so; and nothing
    that drives a terminal."""
    done = dockshell("services", _supervised(docker), engine=docker)
    assert (done.returncode, without_progress(done.stderr)) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["NAME", "STATE", "SINCE", "PID", "SUPERVISOR", "LAST", "LINE"]
    plain = next(line for line in lines if line.startswith("plain")).split()
    assert (plain[1], plain[4:]) == ("running", ["runit", "(docker", "logs)"])
    assert any(line.endswith(r"\x1b]0;pwned\x07� talks") for line in lines)
    assert b"\x1b" not in done.stdout
    assert dockshell("services", _supervised(docker), b"\x1b]0;pwned\x07 \xff", "status", engine=docker).returncode == 3


@pytest.mark.parametrize("name", ["off", "idle", "many:0"])
def test_down_and_up(docker: Peer, dockshell: Run, name: str) -> None:
    """Each waits until it is so; `status` ends with 0 for what runs and with 3 for what doesn't, as LSB has it. `up` of
    what runs and `down` of what doesn't change nothing, and are fine."""
    web = _supervised(docker)

    def act(action: str) -> None:
        done = dockshell("services", web, name, action, engine=docker)
        assert done.returncode == 0, done.stderr

    def status() -> tuple[int, str, int]:
        done = dockshell("services", "--json", web, name, "status", engine=docker)
        [row] = _rows(done).values()
        return done.returncode, row["state"], row["pid"]

    act("up")
    code, state, pid = status()
    assert (code, state) == (0, "running") and pid
    act("up")
    assert status() == (0, "running", pid)
    act("down")
    act("down")
    assert status() == (3, "down", 0)
    if name == "many:0":
        act("up")


@pytest.mark.parametrize("name", ["linked", "s6/talks", "web", "own"])
def test_restart(docker: Peer, dockshell: Run, name: str) -> None:
    """It is another process then, which runs; also where a link leads to the service, and its `supervise` elsewhere,
    and where its supervisor is another user's (own)."""
    web = _supervised(docker)
    [before] = _rows(dockshell("services", "--json", web, name, "status", engine=docker)).values()
    done = dockshell("services", web, name, "restart", engine=docker)
    assert done.returncode == 0, done.stderr
    [after] = _rows(dockshell("services", "--json", web, name, "status", engine=docker)).values()
    assert after["state"] == "running" and after["pid"] != before["pid"]


def test_restart_on_podman(podman: Peer, dockshell: Run) -> None:
    """The same there."""
    web = _supervised(podman)
    done = dockshell("services", web, "plain", "restart", engine=podman)
    assert done.returncode == 0 and b"plain  running" in done.stdout, done.stderr


def test_a_crash_loop_is_not_restarted(docker: Peer, dockshell: Run) -> None:
    """One that runs for more than a second each time, and then ends: `restart` is no success, and says what it last
    wrote."""
    web = _supervised(docker)
    done = dockshell("services", web, "slow", "restart", engine=docker, timeout=60)
    dockshell("services", web, "slow", "down", engine=docker)
    assert (done.returncode, done.stdout) == (1, b"")
    last = done.stderr.decode().splitlines()[-1]
    assert "slow is started and does not stay up (it last wrote 'cannot bind'): `dockshell services" in last


@pytest.mark.parametrize(
    ("name", "says"),
    [("crashes", ": `docker logs"), ("dies", "dies log` may tell why")],
)
def test_what_does_not_stay_up_is_told(docker: Peer, dockshell: Run, name: str, says: str) -> None:
    """`up` of one that ends at once: 1, and where to read why."""
    done = dockshell("services", _supervised(docker), name, "up", engine=docker)
    assert (done.returncode, done.stdout) == (1, b"")
    last = done.stderr.decode().splitlines()[-1]
    assert f"{name} is started and does not stay up" in last and says in last


def test_what_does_not_stop_is_told(docker: Peer, dockshell: Run) -> None:
    """One that ignores TERM: after some seconds a word, after ten an error with a remedy, and that works."""
    web = _supervised(docker)
    done = dockshell("services", web, "stubborn", "down", engine=docker)
    assert done.returncode == 1 and f"dockshell: stopping stubborn in {web} ...\n" in done.stderr.decode()
    failed = done.stderr.decode().splitlines()[-1]
    assert "still runs 10 seconds after it was told to end" in failed
    remedy = failed.split("`")[1]
    assert remedy.startswith(f"dockshell exec -u root {web} sh -c 'kill -KILL ")
    assert dockshell("exec", "-u", "root", web, "sh", "-c", remedy.split("'")[1], engine=docker).returncode == 0
    _once(
        lambda: _rows(dockshell("services", "--json", web, "stubborn", "status", engine=docker)),
        lambda rows: rows["runit/stubborn"]["state"] == "down",
    )
    assert dockshell("services", web, "stubborn", "up", engine=docker).returncode == 0


def test_log(docker: Peer, dockshell: Run) -> None:
    """The last lines, with what could drive a terminal spelled out; one whose words are in the container's log has none
    of its own, which is said."""
    web = _supervised(docker)
    done = dockshell("services", web, "runit/talks", "log", engine=docker)
    assert (done.returncode, without_progress(done.stderr)) == (0, b"")
    assert set(done.stdout.decode().splitlines()) == {r"\x1b]0;pwned\x07\xff talks"}
    done = dockshell("services", web, "plain", "log", engine=docker)
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"plain has no log of its own: `docker logs {web}` has what it writes" in done.stderr.decode()


@pytest.mark.parametrize(
    ("name", "program", "log"),
    [("s6/talks", "s6-tai64nlocal", "/var/log/s6"), ("stamped", "tai64nlocal", "/srv/runit/stamped/log/main")],
)
def test_the_times_of_a_log(docker: Peer, dockshell: Run, name: str, program: str, log: str) -> None:
    """Are shown as the logger's own program reads them, which s6's does by leap seconds."""
    web = _supervised(docker)
    _once(
        lambda: _rows(dockshell("services", "--json", web, name, "status", engine=docker)),
        lambda rows: all(each["last"] for each in rows.values()),
    )
    done = dockshell("services", web, name, "log", engine=docker)
    theirs = docker.ask("exec", "--env", "TZ=UTC", web, "sh", "-c", f"{program} <{log}/current")
    assert done.returncode == 0 and done.stdout.decode().splitlines() == [
        f"{date}T{time}Z {line}" for date, time, line in (each.split(" ", 2) for each in theirs.splitlines())
    ]


def test_follow(docker: Peer, terminal: Callable[..., pexpect.spawn[bytes]]) -> None:
    """--follow goes on with what comes, until Ctrl-C ends it with 130; nothing of it stays inside."""
    web = _supervised(docker)
    child = terminal("services", "--follow", web, "linked", "log", engine=docker)
    child.expect(rb"linked\r\n")
    docker.sh("exec", web, "sh", "-c", r"printf 'more \033[31m\n' >>/var/log/linked")
    child.expect(rb"more \\x1b\[31m\r\n")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130
    docker.sh("exec", web, "sh", "-c", "echo linked >>/var/log/linked")
    until = time.monotonic() + 60
    while not docker.sh("exec", web, "pgrep", "-x", "tail", check=False).returncode:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_term_ends_a_follow(docker: Peer, environment: dict[str, str]) -> None:
    """`--follow | head -n 1` ends, and TERM ends the rest."""
    words = [*COMMAND, "services", "--follow", _supervised(docker), "linked", "log"]
    with subprocess.Popen(
        words, env={**environment, "DOCKER_HOST": docker.url}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline() == b"linked\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (-signal.SIGTERM, 143)


def test_names(docker: Peer, dockshell: Run) -> None:
    """Two words are about the newest container; a name that there isn't is told with those that come nearest first,
    and one that several have with how to say which."""
    web = _supervised(docker)
    done = dockshell("services", web, "lincked", "status", engine=docker)
    assert done.returncode == 1
    assert f"no service 'lincked' in {web}: there is linked, " in done.stderr.decode()
    done = dockshell("services", web, "talks", "restart", engine=docker)
    assert done.returncode == 1 and b"say runit/talks or s6/talks" in done.stderr
    newest = docker.run("busybox")
    done = dockshell("services", "plain", "status", engine=docker)
    assert done.returncode == 1 and f"in {newest}: nothing is supervised there" in done.stderr.decode()


@pytest.mark.parametrize("image", ["busybox", "static"])
def test_nothing_supervises(docker: Peer, dockshell: Run, image: str) -> None:
    """A container without any of the three, or without a shell: 1, and what to do instead, which works."""
    done = dockshell("services", docker.shared(image), engine=docker)
    assert (done.returncode, done.stdout, without_progress(done.stderr).count(b"\n")) == (1, b"", 1)
    says = {"busybox": "neither runsvdir nor s6-svscan nor supervisord", "static": "has no /bin/sh"}[image]
    assert says in done.stderr.decode()
    program, *words = done.stderr.decode().split("`")[1].split()
    assert program == "docker" and "sleep" in docker.ask(*words)


def test_no_such_container(docker: Peer, dockshell: Run) -> None:
    """125, as everywhere."""
    assert dockshell("services", "no-such-container", engine=docker).returncode == 125


def test_other_supervisors_are_named(docker: Peer, dockshell: Run) -> None:
    """daemontools' svscan, with a command that shows what it supervises; OpenRC and systemd as well."""
    _supervised(docker)
    make = "mkdir -p /srv/a; printf '#!/bin/sh\\nexec sleep 9999\\n' >/srv/a/run; chmod 755 /srv/a/run; "
    name = docker.run("dockshell-test/supervised", "sh", "-c", f"{make} exec svscan /srv")
    done = dockshell("services", name, engine=docker)
    assert (done.returncode, done.stdout, without_progress(done.stderr).count(b"\n")) == (1, b"", 1)
    said = done.stderr.decode()
    assert f"{name} has services that daemontools' svscan supervises: `dockshell exec -u root {name} " in said
    shown = dockshell(*shlex.split(said.split("`")[1])[1:], engine=docker)
    assert shown.returncode == 0 and b"/srv/a: up" in shown.stdout
    done = dockshell("services", name, "nginx", "restart", engine=docker)
    assert done.returncode == 1 and b"no service 'nginx'" in done.stderr and b"svscan supervises" in done.stderr
    script = "mkdir /run/openrc; touch /run/openrc/softlevel; cp /bin/sleep /run/systemd; exec /run/systemd 9999"
    done = dockshell("services", docker.run("dockshell-test/supervised", "sh", "-c", script), engine=docker)
    assert done.returncode == 1 and b"services that systemd supervises: " in done.stderr
    assert b" systemctl list-units --type=service` shows them" in done.stderr


@pytest.mark.parametrize(
    "words",
    [["web", "nginx"], ["web", "nginx", "start"], ["--follow", "web"], ["--follow", "web", "x", "up"],
     ["--json", "web", "x", "restart"]],
)  # fmt: skip
def test_wrong_words(dockshell: Run, words: list[str]) -> None:
    """Are wrong usage, told in one line with an example, before anything is asked."""
    done = dockshell("services", *words)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


def test_one_that_cannot_be_asked(docker: Peer, dockshell: Run) -> None:
    """A supervisord that nobody can speak to: said, with 1; what else there is, is shown all the same."""
    script = (
        "mkdir -p /srv/runit/one; printf '#!/bin/sh\\nexec sleep 100000\\n' >/srv/runit/one/run; "
        "chmod 755 /srv/runit/one/run; printf '[supervisord]\\nnodaemon=true\\n' >/deaf.conf; "
        "supervisord -c /deaf.conf & exec runsvdir /srv/runit"
    )
    _supervised(docker)
    name = docker.run("dockshell-test/supervised", "bash", "-c", script)
    until = time.monotonic() + 60
    while docker.sh("exec", name, "pgrep", "-x", "supervisord", check=False).returncode:
        assert time.monotonic() < until
        time.sleep(0.05)
    done = dockshell("services", name, engine=docker)
    assert done.returncode == 1 and done.stdout.splitlines()[1].startswith(b"one   running")
    assert b"not all services are shown: supervisord: " in done.stderr and b"supervisorctl" in done.stderr


_LOOKS = (("services",), ("ssh", "status"), ("doctor",))


def test_a_reached_pids_limit_is_named(engine: Peer, dockshell: Run) -> None:
    """With a command that raises it; nothing is said to be amiss with the sshd or the shell."""
    _supervised(engine)
    sleeping = "for each in 1 2 3 4; do sleep 9999 & done; wait"
    name = engine.run("dockshell-test/supervised", "sh", "-c", sleeping)
    _sleep_there(engine, name, 4)
    _place(engine.pid(name), "pids").joinpath("pids.max").write_text("5")
    for words in _LOOKS:
        done = dockshell(*words, name, engine=engine)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode and f"the pids limit of {name} (5) is reached" in said and "switched" not in said
    done = dockshell("services", name, engine=engine)
    _remedied(engine, done.stderr.decode().split("`")[1])
    done = dockshell("services", name, engine=engine)
    assert b"nothing that supervises services runs in" in done.stderr


def test_a_frozen_container_is_named(engine: Peer, dockshell: Run) -> None:
    """One that somebody has frozen by its cgroup, of which its engine knows nothing: with the command that has it go
    on."""
    _supervised(engine)
    name = engine.run("dockshell-test/supervised", "sh", "-c", "sleep 9999 & wait")
    _sleep_there(engine, name, 1)
    place = _freeze(engine.pid(name))
    for words in _LOOKS:
        done = dockshell(*words, name, engine=engine)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode and f"{name} is frozen by its cgroup" in said and "switched" not in said
    done = dockshell("services", name, engine=engine)
    assert place in done.stderr.decode()
    _remedied(engine, done.stderr.decode().split("`")[1])
    done = dockshell("services", name, engine=engine)
    assert b"nothing that supervises services runs in" in done.stderr


def _sleep_there(peer: Peer, name: str, number: int) -> None:
    """Waits until so many `sleep`s run in there."""
    until = time.monotonic() + 60
    while sum(each.rstrip().endswith(" sleep 9999") for each in peer.ask("top", name).splitlines()) < number:
        assert time.monotonic() < until
        time.sleep(0.05)


def _place(pid: int, controller: str) -> Path:
    """That process's cgroup: of version 1 by that controller, else of version 2."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    places = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    if controller in places:
        return Path(f"/sys/fs/cgroup/{controller}{places[controller]}")
    return Path(f"/sys/fs/cgroup{places['']}")


def _freeze(pid: int) -> str:
    """Freezes that process's cgroup; returns its directory."""
    place = _place(pid, "freezer")
    legacy = place.joinpath("freezer.state")
    if legacy.exists():
        legacy.write_text("FROZEN")
    else:
        place.joinpath("cgroup.freeze").write_text("1")
    return str(place)


def _remedied(peer: Peer, remedy: str) -> None:
    """Types what is to be typed."""
    if remedy.startswith("docker "):
        peer.sh(*shlex.split(remedy)[1:])
    else:
        subprocess.run(["sh", "-c", remedy], check=True)


def test_without_root(docker: Peer, nobody: Run, dockshell: Run) -> None:
    """Who isn't root here sees and does the same, by the engine's exec."""
    web = _supervised(docker)
    theirs = _rows(nobody("services", "--json", web))
    ours = _rows(dockshell("services", "--json", web, engine=docker))
    told = ("name", "where", "logs", "words", "last")
    assert [[each[key] for key in told] for each in theirs.values()] == [
        [each[key] for key in told] for each in ours.values()
    ]
    done = nobody("-v", "services", web, "linked", "restart")
    assert done.returncode == 0 and b"exec: taken" in done.stderr
    assert nobody("services", web, "linked", "log").stdout.endswith(b"linked\n")


def test_completion(docker: Peer, dockshell: Run) -> None:
    """A TARGET, then its services in /etc/service, then what can be done."""
    web = docker.shared("baseimage")
    first = dockshell("__complete", "--", "dockshell", "services", web[:-1], engine=docker).stdout
    assert web.encode() in first
    names = dockshell("__complete", "--", "dockshell", "services", web, "ss", engine=docker).stdout
    assert names.splitlines() == [b"sshd\tservice"]
    actions = dockshell("__complete", "--", "dockshell", "services", web, "sshd", "", engine=docker).stdout
    assert actions.split() == [b"up", b"down", b"restart", b"status", b"log"]
