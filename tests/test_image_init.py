"""my_init, in images that `dockshell image build` made: boot, life and end of a container."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pexpect
import pytest

from tests.busy import slowdown
from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

IMAGE = f"dockshell-test/init-{os.getpid()}"
_built: set[Peer] = set()

# put FILE: makes a program of what it reads.
_PUT = 'set -e\nput() { mkdir -p "${1%/*}"; cat >"$1"; chmod +x "$1"; }\n'
# A service that is known by its name, and goes on in spite of TERM.
_STUBBORN = "put /etc/service/stubborn/run <<'.'\n#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1000; done\n.\n"


def built(peer: Peer, dockshell: Run) -> str:
    """The reference of an image with the init and a service `plain`, made when it is first asked for."""
    if peer not in _built:
        tag = peer.adopt(IMAGE)
        with tempfile.TemporaryDirectory() as directory:
            plain = Path(directory, "plain")
            plain.mkdir()
            (plain / "run").write_text("#!/bin/sh\nexec sleep 1000\n")
            words = ("image", "build", "--from", peer.image("slim"), "--service", str(plain), "-t", tag)
            done = dockshell(*words, engine=peer, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        _built.add(peer)
    return IMAGE


Boot = Callable[..., str]


@pytest.fixture
def boot(docker: Peer, dockshell: Run) -> Boot:
    """boot(setup, *words, options=(), peer=docker): starts a container in which process 1 is a shell that does what
    setup says, and becomes my_init with these words. Returns its name."""

    def start(setup: str, *words: str, options: Sequence[str] = (), peer: Peer = docker) -> str:
        script = f'{_PUT}{setup}\nexec /sbin/my_init "$@"'
        return peer.run(built(peer, dockshell), "bash", "-c", script, "bash", *words, options=options)

    return start


def _end(peer: Peer, name: str) -> tuple[int, str]:
    """Waits for it → its exit status, and all that it said."""
    status = int(peer.ask("wait", name))
    logs = peer.sh("logs", name)
    return status, (logs.stdout + logs.stderr).decode(errors="replace").replace("\r", "")


def _until(peer: Peer, name: str, script: str, seconds: float = 60) -> str:
    """Waits until the script inside ends well; returns what it printed."""
    until = time.monotonic() + seconds
    while (done := peer.sh("exec", name, "sh", "-c", script, check=False)).returncode:
        assert time.monotonic() < until, (script, done.stderr, peer.sh("logs", name).stderr)
        time.sleep(0.05)
    return done.stdout.decode()


def test_it_boots_in_order(engine: Peer, boot: Boot) -> None:
    """Startup files by name, then rc.local, the services, the command, which sees what startup files changed; at its
    end the programs before and after; its status is the container's. What isn't executable is named."""
    name = boot(
        """
        for n in 20 10; do put /etc/my_init.d/$n <<<$'#!/bin/sh\\necho began '$n; done
        put /etc/my_init.d/30 <<'.'
#!/bin/sh
echo 30 sees "$GIVEN"
printf 'new\\n' >/etc/container_environment/MADE
rm /etc/container_environment/GONE
.
        echo hello >/etc/my_init.d/notes
        put /etc/rc.local <<<$'#!/bin/sh\\necho rc.local sees $MADE'
        put /etc/service/hello/run <<<$'#!/bin/sh\\necho service sees $MADE$GONE; touch /run/up; exec sleep 1000'
        put /etc/service/hello/finish <<<$'#!/bin/sh\nsleep 0.2; echo service finished'
        put /etc/my_init.pre_shutdown.d/a <<<$'#!/bin/sh\\nsv check hello >/dev/null && echo before; exit 4'
        put /etc/my_init.post_shutdown.d/a <<<$'#!/bin/sh\\ngrep -qsx runsv /proc/[0-9]*/comm || echo after'
        """,
        "--",
        "sh",
        "-c",
        'until [ -e /run/up ]; do sleep 0.1; done; echo "command sees $GIVEN$MADE$GONE$HOME"; exit 3',
        options=("-e", "GIVEN=given", "-e", "GONE=gone"),
        peer=engine,
    )
    status, said = _end(engine, name)
    assert status == 3
    told = ("began", "30 ", "rc.local sees", "service ", "command sees", "before", "after")
    assert [line for line in said.splitlines() if line.startswith(told)] == [
        "began 10",
        "began 20",
        "30 sees given",
        "rc.local sees new",
        "service sees new",
        "command sees givennew/root",
        "before",
        "service finished",
        "after",
    ]
    assert "/etc/my_init.d/notes is skipped" in said
    assert "/etc/my_init.pre_shutdown.d/a ended with status 4" in said
    assert "sh ended with status 3: the container stops" in said


# By an arithmetic expansion, which bash would make of it, this is a command (bash(1), ARITHMETIC EVALUATION).
_RECKONED = "a[$(touch /run/reckoned)]"
_BYTES = b"".join(bytes([n]) for n in range(1, 256))


def test_the_environment_survives(docker: Peer, boot: Boot) -> None:
    """Any bytes, to the last newline, are the same in a service, in what shells read, in the JSON and in the directory,
    whichever way they came in; no mode is wider than it has to be; what belongs to a user is in the JSON alone."""
    name = boot(
        r"""
        export ANY=$(for n in $(seq 1 255); do printf "\\$(printf %03o $n)"; done; echo x)
        ANY=${ANY%x}
        cd /etc/container_environment; mkdir DIRECTORY
        printf 'a"b'"'"'c$d`e\\' >ODD
        printf 'two\n\n' >ENDS; printf '\n' >ONE;
        printf 1 >dotted.name; printf file >GIVEN; head -c 200000 /dev/zero >LARGE
        mkfifo PIPE; printf %s "$RECKONED" >RANDOM
        put /etc/service/probe/run <<<$'#!/bin/sh\ncat /proc/$PPID/environ >/run/new; mv /run/new /run/env; sleep 100'
        """,
        options=(
            "-e",
            "GIVEN=by the engine",
            "-e",
            "IFS=a",
            "-e",
            "PPID=1",
            "-e",
            "DOCKED=two\n\n",
            "-e",
            "TMOUT=60",
            "-e",
            f"RECKONED={_RECKONED}",
        ),
    )
    _until(docker, name, "test -e /run/env")

    def listed(content: bytes) -> dict[str, bytes]:
        pairs = (entry.partition(b"=")[::2] for entry in content.split(b"\0") if entry)
        return {key.decode(): value for key, value in pairs}

    served = listed(docker.sh("exec", name, "cat", "/run/env").stdout)
    assert served["ANY"] == _BYTES and served["ODD"] == b"a\"b'c$d`e\\"
    assert (served["ENDS"], served["ONE"], served["GIVEN"]) == (b"two\n", b"", b"by the engine")
    assert (served["DOCKED"], served["dotted.name"]) == (b"two\n\n", b"1")
    parsed = json.loads(docker.sh("exec", name, "cat", "/etc/container_environment.json").stdout)
    in_json = {key: value.encode(errors="surrogateescape") for key, value in parsed.items()}
    for made in ("PWD", "SHLVL", "OLDPWD", "_"):  # by the shells around
        served.pop(made, None)
        in_json.pop(made, None)
    assert in_json == served and served["HOME"] == b"/root"

    apart = {"HOME"}
    script = (
        "cd /etc/container_environment; for f in *; do test -f $f && printf '%s=' $f && cat $f && printf '\\0'; done"
    )
    files = listed(docker.sh("exec", name, "sh", "-c", script).stdout)
    theirs = {key: value[:-1] if value.endswith(b"\n") else value for key, value in files.items()}
    theirs = {key: value for key, value in theirs.items() if key in served or key in apart}
    assert theirs == {key: value for key, value in served.items() if key not in apart}

    wanted = {
        key: value for key, value in served.items() if key not in (*apart, "IFS", "PPID", "RANDOM", "dotted.name")
    }
    for shell in ("dash", "bash"):
        script = "echo start; . /etc/profile; env -0"
        output = docker.sh("exec", name, "env", "-i", shell, "-c", script).stdout
        sourced = listed(output.removeprefix(b"start\n"))
        assert {key: value for key, value in sourced.items() if key in served and key != "HOME"} == wanted, shell
    assert docker.sh("exec", name, "test", "-e", "/run/reckoned", check=False).returncode == 1
    assert served["RANDOM"].startswith(b"a[")
    modes = (
        "stat -c '%a %u %g' /etc/container_environment /etc/container_environment.sh /etc/container_environment.json"
    )
    assert docker.ask("exec", name, "sh", "-c", modes).splitlines() == ["700 0 0", "640 0 8377", "640 0 8377"]
    stranger = docker.sh("exec", "-u", "nobody", name, "sh", "-c", ". /etc/profile.d/container_environment.sh; env")
    assert b"ODD" not in stranger.stdout and stranger.stderr == b""
    said = docker.sh("logs", name).stderr
    assert b"/etc/container_environment/LARGE is left out" in said and b"by the engine" not in said
    assert b"PIPE" not in said and b"DIRECTORY" not in said


def test_docker_stop_needs_no_kill(docker: Peer, boot: Boot) -> None:
    """Within the ten seconds that it waits everything is through, whatever hangs or ignores TERM: services, scripts of
    both directories at once, a command, a daemon, a startup file. Services get TERM and time. A second TERM hurries."""
    last = "put /etc/my_init.post_shutdown.d/z <<<$'#!/bin/sh\\ngrep -qsx sleep /proc/[0-9]*/comm || echo the last'\n"
    hung = "#!/bin/sh\ntrap '' TERM\nsleep 1000 & wait; wait; sleep 1000"
    daemon = "(trap '' TERM; exec setsid sleep 999) &\n"
    orderly = "put /etc/service/orderly/run <<'.'\n#!/bin/sh\ntrap 'sleep 0.5; echo orderly; exit' TERM\n"
    orderly += "touch /run/up; while :; do sleep 0.1; done\n.\n"
    everything = boot(
        f"""{_STUBBORN}{daemon}
        for at in pre post; do put /etc/my_init.${{at}}_shutdown.d/hangs <<<$'{hung.replace("'", chr(92) + "'")}'; done
        """,
        "sh",
        "-c",
        "trap '' TERM; touch /run/up; while :; do sleep 1000; done",
    )
    services = boot(_STUBBORN + orderly + daemon + last, options=("-e", "KILL_PROCESS_TIMEOUT=2"))
    starting = boot(
        f"put /etc/my_init.d/hangs <<<$'#!/bin/sh\\ntouch /run/up; trap \"echo told\" TERM; sleep 1000; exit 3'\n{last}"
    )
    hurried = boot(
        _STUBBORN + "put /etc/service/b/run <<<$'#!/bin/sh\\ntouch /run/up; exec sleep 1000'\n" + last,
        options=("-e", "KILL_PROCESS_TIMEOUT=1000"),
    )
    names = (everything, services, starting, hurried)
    for name in names:
        _until(docker, name, "test -e /run/up")
    begun = time.monotonic()
    stops = [
        subprocess.Popen([*docker.cli, "stop", "--time", "60", name], stdout=subprocess.DEVNULL) for name in names[:3]
    ]
    docker.sh("kill", "-s", "TERM", hurried)
    _until_said(docker, hurried, "Stopping the services")
    docker.sh("kill", "-s", "TERM", hurried)
    assert docker.ask("wait", hurried) == "0"
    took = []
    for stop in stops:
        stop.wait(120)
        took.append(time.monotonic() - begun)
    assert max(took) < 9.7 * slowdown(), took
    status, said = _end(docker, everything)
    assert status == 137  # the command's, who left TERM unheard
    assert "/etc/my_init.pre_shutdown.d/hangs is killed" in said
    assert "Killed, for TERM did not end it in time: stubborn, sh" in said
    assert "Killed, for TERM did not end it in time: sleep" in said
    assert "/etc/my_init.post_shutdown.d/hangs is killed" in said
    status, said = _end(docker, services)
    assert status == 0 and "the last" in said.splitlines()
    assert "orderly" in said.splitlines() and "Killed, for TERM did not end it in time: stubborn\n" in said
    status, said = _end(docker, starting)
    assert status == 0 and "the last" in said.splitlines() and "told" in said


def _until_said(peer: Peer, name: str, text: str) -> None:
    until = time.monotonic() + 60
    while text not in peer.sh("logs", name).stderr.decode():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_signals_reach_the_command(docker: Peer, boot: Boot) -> None:
    """HUP, QUIT, USR1, USR2 and INT do; a command that a signal ends gives 128+n. Without a command the first four are
    answered with what does it, and INT ends all well."""
    traps = "; ".join(f"trap 'echo got {each}' {each}" for each in ("HUP", "QUIT", "USR1", "USR2", "INT"))
    name = boot("", "sh", "-c", f"{traps}; echo ready >&2; while :; do sleep 0.05; done")
    without = boot("")
    killed = [(boot("", "sh", "-c", f"kill -{number} $$"), number) for number in (1, 9, 10, 15)]
    _until_said(docker, name, "ready")
    for each in ("HUP", "QUIT", "USR1", "USR2", "INT"):
        docker.sh("kill", "-s", each, name)
        until = time.monotonic() + 60
        while f"got {each}" not in docker.ask("logs", name):
            assert time.monotonic() < until, each
            time.sleep(0.02)
    docker.sh("stop", name)
    assert _end(docker, name)[0] == 128 + 15
    for name, number in killed:
        status, said = _end(docker, name)
        assert status == 128 + number and "sh was ended by SIG" in said
    for each, words in (("HUP", "sv hup"), ("QUIT", "sv quit"), ("USR1", "sv 1"), ("USR2", "sv 2")):
        docker.sh("kill", "-s", each, without)
        _until_said(docker, without, f"SIG{each} is for a command, and none runs: `{words} NAME`")
    docker.sh("kill", "-s", "INT", without)
    assert _end(docker, without)[0] == 0


_ORPHANS = """
import os, time
begun = time.monotonic()
for _ in range(100):
    if os.fork() == 0:
        for _ in range(100):
            if os.fork() == 0:
                os._exit(0)
        os._exit(0)
    os.wait()
while True:
    left = [name for name in os.listdir("/proc") if name.isdigit()]
    if len(left) == 2 or time.monotonic() > begun + 100:
        break
print(len(left), "left after", time.monotonic() - begun)
"""


def test_ten_thousand_orphans(docker: Peer, boot: Boot) -> None:
    """They come as quick as they can be made, and none is left a zombie a moment later."""
    name = boot("", "--skip-runit", "python3", "-ISc", _ORPHANS, options=("--pids-limit", "5000"))
    status, said = _end(docker, name)
    left, _, _, seconds = said.split("\n*** ")[0].splitlines()[-1].split()
    assert status == 0 and int(left) == 2 and float(seconds) < 30, said


def test_services_that_crash(docker: Peer, boot: Boot) -> None:
    """They are started again; when nobody is left to do that, the container ends with 1 and says why."""
    name = boot(
        "put /etc/service/crash/run <<<$'#!/bin/sh\\necho >>/run/began; kill -SEGV $$'\n"
        "put /etc/service/well/run <<<$'#!/bin/sh\\nexec sleep 1000'"
    )
    _until(
        docker, name, "test $(wc -l </run/began) -gt 1 && pidof=$(cat /etc/service/well/supervise/pid) && test $pidof"
    )
    docker.sh("exec", name, "bash", "-c", "kill -9 $(grep -l ^runsvdir /proc/[0-9]*/comm | cut -d/ -f3)")
    status, said = _end(docker, name)
    assert status == 1 and "runsvdir was ended by SIGKILL: nobody looks after the services" in said


@pytest.mark.parametrize(
    ("file", "status", "told"),
    [
        ("#!/bin/sh\nexit 7", 7, "/etc/my_init.d/10 ended with status 7: the container stops"),
        ("#!/bin/sh\nkill -9 $$", 137, "/etc/my_init.d/10 was ended by SIGKILL: the container stops"),
        ("#!/nowhere/sh", 127, "/etc/my_init.d/10 can't be executed: what its first line names"),
        ("true", 126, "/etc/my_init.d/10 can't be executed: Exec format error"),
    ],
)
def test_a_startup_file_that_fails(docker: Peer, boot: Boot, file: str, status: int, told: str) -> None:
    """It stops the boot, named with its status, which becomes the container's; --quiet hushes no error."""
    name = boot(f"put /etc/my_init.d/10 <<'.'\n{file}\n.\n", "--quiet", "--", "echo", "command")
    ended, said = _end(docker, name)
    assert ended == status and told in said and "command" not in said.split() and "Running" not in said


def test_commands_that_cannot_be(docker: Peer, boot: Boot) -> None:
    """127 for what isn't found, 126 for what can't be executed, with a sentence; --skip-startup-files and --skip-runit
    do what they say. What can be gets its arguments to the byte."""
    setup = "put /etc/my_init.d/10 <<<'#!/nowhere'"
    missing = boot(setup, "--skip-startup-files", "--skip-runit", "--", "no-such-program")
    directory = boot(setup, "--skip-startup-files", "--skip-runit", "/etc")
    odd = boot("set -- --skip-runit -- sh -c 'printf %s \"$1$2\" | od -An -tx1' sh $'\\377 \\n' ''", "--")
    status, said = _end(docker, odd)
    assert status == 0 and said.splitlines()[0] == " ff 20 0a"
    status, said = _end(docker, missing)
    assert status == 127 and "no-such-program is not found" in said and "runsvdir" not in said
    status, said = _end(docker, directory)
    assert status == 126 and "/etc can't be executed: Permission denied" in said


def test_what_else_runs_may_be_left(docker: Peer, boot: Boot) -> None:
    """--no-kill-all-on-exit ends command and services alone, and who is neither costs no time."""
    setup = "(trap '' TERM; exec setsid sleep 999) &"
    left = boot(setup, "--no-kill-all-on-exit", "true", options=("-e", "KILL_ALL_PROCESSES_TIMEOUT=60"))
    killed = boot(setup, "true", options=("-e", "KILL_ALL_PROCESSES_TIMEOUT=0.1"))
    status, said = _end(docker, left)
    assert status == 0 and "Killed" not in said
    status, said = _end(docker, killed)
    assert status == 0 and "Killed, for TERM did not end it in time: sleep" in said


def test_what_it_refuses(docker: Peer, dockshell: Run) -> None:
    """Who isn't root, options that it hasn't got, and a key where there is no sshd: a sentence, and no traceback."""
    image = built(docker, dockshell)
    user = docker.run(image, options=("--user", "1000"))
    option = docker.run(image, "/sbin/my_init", "--nope", "sh")
    key = docker.run(image, "/sbin/my_init", "--enable-insecure-key")
    assert _end(docker, user) == (
        1,
        "*** my_init is for root: set `USER root` in the image, and run what isn't by `setuser NAME COMMAND`\n",
    )
    assert _end(docker, option) == (2, "*** my_init: there is no option --nope: `my_init --help` lists them\n")
    status, said = _end(docker, key)
    assert status == 1 and said.count("\n") == 1 and "no sshd" in said


def test_a_full_disk(docker: Peer, boot: Boot) -> None:
    """The boot goes on, one line names the file and the reason, and no file is there in half."""
    name = boot(
        "",
        "sh",
        "-c",
        "ls -A /etc/container_environment; echo $BIG | wc -c; cat /etc/container_environment/SMALL",
        options=("--tmpfs", "/etc/container_environment:size=16k", "-e", "BIG=" + 20000 * "x", "-e", "SMALL=small"),
    )
    _, said = _end(docker, name)
    assert "20001" in said.splitlines() and "BIG" not in said.splitlines()
    assert said.count("can't be written") == 1
    assert "/etc/container_environment/BIG can't be written: No space left on device" in said
    assert "=my_init" not in said


def test_a_read_only_root(engine: Peer, dockshell: Run, boot: Boot) -> None:
    """With a tmpfs at /run and at /tmp it boots, its services run and can be looked after, and it stops well."""
    options = (
        "--read-only",
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/tmp",
        "-e",
        "GIVEN=given",
        "-e",
        "KILL_PROCESS_TIMEOUT=1000",
    )
    if engine.name == "podman":
        options = (*options[:1], "--read-only-tmpfs=false", *options[1:])
    image = built(engine, dockshell)
    name = engine.run(image, "/sbin/my_init", "sh", "-c", "echo $GIVEN $SVDIR; exec sleep 1000", options=options)
    _until(engine, name, "SVDIR=/run/service sv status plain | grep ^run:")
    engine.sh("stop", "--time", "60", name, timeout=120)
    status, said = _end(engine, name)
    assert status == 143 and "given /run/service" in said.splitlines()
    assert said.count("Read-only file system") == 1
    assert "/etc/service can't be written: its services are run from /run/service" in said


def test_under_another_init(docker: Peer, boot: Boot) -> None:
    """`docker run --init` puts one above: orphans are reaped, signals and statuses pass, and the end is as orderly,
    with a stubborn daemon killed."""
    name = boot(
        f"{_STUBBORN}(trap '' TERM; exec setsid sleep 999) &\n",
        "sh",
        "-c",
        "trap 'exit 5' TERM; (sleep 0.1 &); touch /run/up; while :; do sleep 0.1; done",
        options=("--init", "-e", "KILL_PROCESS_TIMEOUT=2", "-e", "KILL_ALL_PROCESSES_TIMEOUT=0.5"),
    )
    _until(docker, name, "test -e /run/up && test -e /etc/service/stubborn/supervise/ok")
    _until(docker, name, "! grep -q '^State:.Z' /proc/[0-9]*/status")
    docker.sh("stop", "--time", "60", name, timeout=120)
    status, said = _end(docker, name)
    assert status == 5 and "Killed, for TERM did not end it in time: stubborn" in said
    assert "Killed, for TERM did not end it in time: sleep" in said


def test_small_and_quick(docker: Peer, dockshell: Run) -> None:
    """15 MiB of memory at most; from process 1's start to the command's half a second at most; and a command that takes
    no time is through in a second, services and all; those alone that were asked for."""
    image = built(docker, dockshell)
    script = "cut -d' ' -f22 /proc/1/stat /proc/self/stat; grep VmRSS /proc/1/status; cat /proc/1/comm; ls /etc/service"
    for _ in range(6):  # the machine may be busy with other tests
        container = docker.run(image, "/sbin/my_init", "--quiet", "sh", "-c", script)
        status, said = _end(docker, container)
        first, command, memory, name, *services = said.splitlines()
        assert (status, name, services) == (0, "my_init", ["plain"])
        assert int(memory.split()[1]) < 15 << 10
        state = docker.inspect(container)["State"]
        began, ended = (datetime.fromisoformat(state[each]) for each in ("StartedAt", "FinishedAt"))
        booted = (int(command) - int(first)) / os.sysconf("SC_CLK_TCK")
        slow = slowdown()
        if booted < 0.5 * slow and (ended - began).total_seconds() < 0.9 * slow:
            break
    else:
        raise AssertionError((booted, began, ended))


def _interrupt(child: pexpect.spawn[bytes]) -> None:
    """Ctrl-C, until the command tells of it: a terminal throws away what was written just after the signal (isig() in
    the kernel's n_tty.c signals first and flushes then)."""
    for _ in range(6):
        child.send("\x03")
        if child.expect(["interrupted", pexpect.TIMEOUT], timeout=10) == 0:
            return
    raise AssertionError("the command was not interrupted")


def test_at_a_terminal(docker: Peer, dockshell: Run, terminal: Terminal) -> None:
    """The command has it: job control works, Ctrl-C reaches the command alone and services live on, and Ctrl-Z stops
    nothing for good. Without a command Ctrl-C ends the container."""
    image = built(docker, dockshell)
    name = f"dsh-tty-{os.getpid()}"
    words = (*docker.cli, "run", "--rm", "-it", "--name", name, image, "/sbin/my_init", "--quiet")
    traps = "trap 'echo interrupted' INT; trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done"
    child = terminal(command=(*words, "sh", "-c", traps))
    child.expect("ready")
    _until(docker, name, "sv status plain | grep ^run:")
    _interrupt(child)
    child.send("\x1a")
    _interrupt(child)
    assert docker.ask("exec", name, "sv", "status", "plain").startswith("run:")
    docker.sh("kill", "-s", "USR1", name)
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 9
    child = terminal(command=(*words, "bash", "--norc"))
    child.expect("# ")
    child.sendline("sh -c 'echo $((20 + 3)); exec sleep 100'")
    child.expect("23")  # it has the terminal now
    child.send("\x03")
    child.expect("# ")
    child.sendline("echo $((6 * 7))$(tty); exit 8")
    child.expect("42/dev/pts/0")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 8
    startup = "printf '#!/bin/sh\ntty\n' >/etc/my_init.d/10; chmod +x /etc/my_init.d/10; exec my_init"
    child = terminal(command=(*words[:-2], "sh", "-c", startup))
    child.expect("/dev/pts/0")
    child.expect("Services are run")
    child.send("\x03")
    child.expect("SIGINT: the container stops")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
