"""Confinement: lines 19 to 22 of the contract. (More of 21 and 22 is in tests/unit.)"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import signal
import subprocess
from collections.abc import Sequence

import pytest

from dockshell.linux.seccomp import program_of
from tests.contract.cell import SANDBOX, Cell, direct
from tests.contract.watching import end_all, processes, unique, until
from tests.impostor import Impostor, listed
from tests.world.images import LOCKED

# What a process is confined by, as it sees it itself. The groups belong to line 15.
FIELDS = (
    "Uid Gid CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters Umask SigBlk SigIgn Cpus_allowed"
)
PROBE = f"""
for field in {FIELDS}; do echo "$field: $(grep "^$field:" /proc/self/status)"; done
for file in cgroup oom_score_adj attr/current coredump_filter timens_offsets; do
    echo "$file: $(cat /proc/self/$file 2>&1)"
done
for kind in cgroup ipc net pid time user uts; do echo "$kind: $(readlink /proc/self/ns/$kind)"; done
echo "root: $(readlink /proc/self/root)"
"""
LIMITS = "cat /proc/self/limits"
# Options that change each kind of confinement, and the image that they are for.
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "plain": ("busybox", ()),
    "user": ("app", ()),
    "locked": ("locked", LOCKED),
    "capabilities": ("busybox", ("--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "NET_ADMIN")),
    "limits": (
        "busybox",
        ("--ulimit", "nofile=1010:1010", "--ulimit", "core=0:0", "--ulimit", "nproc=950:950", "--pids-limit", "77"),
    ),
    "oom": ("busybox", ("--oom-score-adj", "321")),
    "unfiltered": ("busybox", ("--security-opt", "seccomp=unconfined")),
    "numbers": ("busybox", ("--user", "1234:5678")),
    "no-new-privileges": ("app", ("--security-opt", "no-new-privileges")),
    "hosts": ("busybox", ("--network", "host", "--uts", "host", "--ipc", "host", "--pid", "host")),
}


def _container(cell: Cell, variant: str) -> str:
    image, options = VARIANTS[variant]
    if not options or options is LOCKED:
        return cell.peer.shared(image)
    return cell.with_options(image, *options)


def _by_engine(cell: Cell, container: str, script: str, options: Sequence[str] = ()) -> str:
    """What a probe says by the engine's own exec."""
    return cell.peer.reply(container, script, options).decode()


def _told(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 0, done
    return done.stdout.decode()


@direct
@pytest.mark.line(19)
@pytest.mark.parametrize("variant", VARIANTS)
def test_confinement_is_that_of_the_engines_exec(cell: Cell, variant: str) -> None:
    """Field by field what the engine's own exec gives in the same container."""
    container = _container(cell, variant)
    script = PROBE + LIMITS
    told = _told(cell.sh(script, container=container)).splitlines()
    assert told == _by_engine(cell, container, script).splitlines()


@direct
@pytest.mark.line(19)
@pytest.mark.parametrize("variant", ["plain", "locked", "capabilities"])
@pytest.mark.parametrize("user", ["app", "root", "4321:8765"])
def test_confinement_of_another_user_is_that_of_the_engines_exec(cell: Cell, variant: str, user: str) -> None:
    """The same with -u: who is not root has no effective capability, and root in a locked container hardly any."""
    container = _container(cell, variant)
    told = _told(cell.sh(PROBE, container=container, options=["-u", user])).splitlines()
    assert told == _by_engine(cell, container, PROBE, ["--user", user]).splitlines()


@pytest.mark.line(19)
def test_confinement_of_a_login_is_the_containers(cell: Cell) -> None:
    """At home, where every cell can be: the same as the engine's own exec; in the sandbox, as process 1 there."""
    told = _told(cell.sh(PROBE)).splitlines()
    if cell.home != SANDBOX:
        assert told == _by_engine(cell, cell.home, PROBE).splitlines()
        return
    with open(f"/proc/{cell.pid()}/status", encoding="ascii") as file:
        expected = {line.partition(":")[0]: line.strip() for line in file}
    fields = [name for name in FIELDS.split() if name not in ("SigIgn",)]
    assert {line for line in told if "\t" in line} >= {f"{name}: {expected[name]}" for name in fields}
    for kind in ("cgroup", "ipc", "net", "pid", "time", "user", "uts"):
        assert f"{kind}: {os.readlink(f'/proc/{cell.pid()}/ns/{kind}')}" in told


@pytest.mark.line(19)
def test_mount_namespace_is_the_containers(cell: Cell) -> None:
    """The very same one that its first process is in."""
    told = _told(cell.run("readlink", "/proc/self/ns/mnt"))
    assert told.strip() == os.readlink(f"/proc/{cell.pid()}/ns/mnt")


@pytest.mark.line(19)
def test_limits_of_a_login_are_the_containers(cell: Cell) -> None:
    """At home, as the engine's own exec gives them; in the sandbox, as process 1 has them."""
    told = _told(cell.sh(LIMITS))
    if cell.home != SANDBOX:
        assert told == _by_engine(cell, cell.home, LIMITS)
    else:
        with open(f"/proc/{cell.pid()}/limits", encoding="ascii") as file:
            assert told == file.read()


@pytest.mark.line(19)
def test_seccomp_filter_is_the_containers_own(cell: Cell) -> None:
    """The very same program, instruction by instruction, as process 1 is under."""
    container = cell.home if cell.home != SANDBOX else cell.peer.shared("busybox")
    word = unique()
    with cell.started("sleep", word, container=container):
        (pid,) = until(lambda: processes(word))
        program = program_of(pid)
        own = program_of(cell.pid(container))
        assert len(program) == len(own) > 80
        if cell.route != "exec":  # the engine's own exec makes it anew, with the same calls in another order
            assert program == own


@pytest.mark.line(19)
def test_privileged_is_all_there_is_and_says_so(cell: Cell) -> None:
    """Every capability that can be given, and a line on stderr; where the engine itself can't, so it says."""
    container = cell.peer.shared("busybox")
    script = "grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status"
    engine = cell.peer.sh("exec", "--privileged", container, "sh", "-c", script, check=False)
    done = cell.sh(script, options=["--privileged"], container=container)
    assert b"dockshell: privileged" in done.stderr
    if engine.returncode == 0:
        assert (done.returncode, done.stdout) == (0, engine.stdout)
    elif cell.route == "exec":
        assert done.returncode in (125, 126) and done.stdout == b"" and b"Traceback" not in done.stderr
    else:
        with open("/proc/self/status", encoding="ascii") as file:
            own = next(line for line in file if line.startswith("CapEff:"))
        assert own.encode() in done.stdout
    assert b"privileged" not in cell.sh(script, container=container).stderr


@pytest.mark.line(20)
def test_no_descriptor_but_three_gets_in(cell: Cell) -> None:
    """Whatever the caller left open, also beyond what a process may open by now, and whatever dockshell opened
    itself."""
    extra = [os.open("/", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY), *os.pipe()]
    extra += [os.dup2(extra[0], number) for number in (77, 900)]

    def fewer() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    try:
        with cell.started("ls", "/proc/self/fd", pass_fds=extra, preexec_fn=fewer) as process:
            assert process.stdout
            told = process.stdout.read().split()
    finally:
        for descriptor in extra:
            os.close(descriptor)
    assert told == [b"0", b"1", b"2", b"3"]  # 3 is the directory that ls reads


@pytest.mark.line(20)
def test_no_descriptor_but_three_gets_in_with_a_terminal(cell: Cell) -> None:
    """The other end of the terminal neither."""
    child = cell.terminal("sh", "-c", "echo open: $(ls /proc/self/fd | tr '\\n' ' ')")
    child.expect(rb"open: ([\d ]+)\r\n")
    assert child.match.group(1).split() in ([b"0", b"1", b"2", b"3"], [b"0", b"1", b"2", b"3", b"10"])


# Looks at the processes that are about to be, as fast as it can. What may be traced may be read (ptrace(2)).
WATCH = r"""
$| = 1; $SIG{TERM} = sub { exit }; print "begun\n";
my $last = $$;
while (1) {
    for my $p ($last - 3 .. $last + 6) {
        next if $p == $$ || $p < 2;
        my $program = readlink "/proc/$p/exe";
        print "seen: $p $program\n" if defined $program && $program =~ /PROGRAM/;
        $last = $p if $p > $last && -e "/proc/$p";
    }
}
"""


@pytest.mark.line(20)
def test_entering_process_shows_nothing_of_itself(cell: Cell) -> None:
    """Root inside, who watches for it, never gets to see the program of who enters (as in CVE-2019-5736)."""
    container, word = cell.peer.shared("baseimage"), unique()
    with cell.watched("exec perl -e '" + WATCH.replace("PROGRAM", cell.program) + "' " + word, container) as seen:
        for _ in range(8):
            assert cell.run("true", container=container).returncode == 0
        end_all(word, signal.SIGTERM)
        assert seen.read() == b""


@pytest.mark.line(20)
def test_directory_can_not_be_outside(cell: Cell) -> None:
    """A directory by the number of a descriptor (CVE-2024-21626) is refused, or is inside after all."""
    inside = cell.sh("ls -di /").stdout.split()[0]
    for number in (3, 5, 7, 8, 9):
        done = cell.sh("echo ran; cd ..; cd ../../../..; ls -di .", options=["-w", f"/proc/self/fd/{number}"])
        if done.returncode == 0:
            assert done.stdout.split()[-2] == inside
        else:
            assert done.returncode in (125, 126, 127) and b"ran" not in done.stdout, done


KEYRING = "perl -e '$name = \"\\0\" x 200; syscall(250, 6, -3, $name, 200); print $name'"


@direct
@pytest.mark.line(20)
def test_keyring_of_the_caller_stays_outside(cell: Cell) -> None:
    """The session keyring, with what the caller has in it, is another inside: keyctl(2), KEYCTL_DESCRIBE."""
    command = ("sh", "-c", "exec sleep 100000")
    container = cell.with_options("baseimage", "--security-opt", "seccomp=unconfined", command=command)
    libc = ctypes.CDLL(None)
    join = functools.partial(libc.syscall, 250, 1, b"callers-own")
    with cell.started("sh", "-c", KEYRING, container=container, preexec_fn=join) as process:
        told, _ = process.communicate(timeout=60)
    assert b"keyring;" in told and b"callers-own" not in told


ABSOLUTE, RELATIVE = "ln -s {0} /etc/passwd", "ln -s ../../../../../../../../..{0} /etc/passwd"
FIFO, DIRECTORY, ENDLESS = "mkfifo /etc/passwd", "mkdir /etc/passwd", "ln -s /dev/zero /etc/passwd"


@direct
@pytest.mark.line(21)
@pytest.mark.parametrize("trap", [ABSOLUTE, RELATIVE], ids=["absolute", "relative"])
def test_links_do_not_lead_out(cell: Cell, trap: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A passwd that is a link to a file of the host's is no passwd: whoever stands in it is unknown."""
    place = tmp_path_factory.getbasetemp() / "passwd"
    place.write_text("evil:x:0:0::/:/bin/sh\n")
    place.chmod(0o644)
    command = ["sh", "-c", f"rm /etc/passwd; {trap.format(place)}; exec sleep 100000"]
    container = cell.with_options("busybox", command=command)
    done = cell.run("echo", "ran", container=container, options=["-u", "evil"])
    assert cell.refused(done), done
    assert cell.run("true", container=container).returncode == 0


@direct
@pytest.mark.line(21)
@pytest.mark.parametrize("trap", [FIFO, DIRECTORY, ENDLESS], ids=["fifo", "directory", "endless"])
def test_nothing_but_a_file_is_read(cell: Cell, trap: str) -> None:
    """What would hang whoever opens it, or never ends, is no passwd either."""
    container = cell.with_options("busybox", command=["sh", "-c", f"rm /etc/passwd; {trap}; exec sleep 100000"])
    done = cell.run("echo", "ran", container=container, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"ran\n"), done


@pytest.mark.line(21)
@pytest.mark.parametrize(
    ("words", "options"),
    [(["/tmp/\x1b[31mred\x07"], []), (["true"], ["-u", "no\x1b]0;body\x07"]), (["true"], ["-w", "/\x1b[2J\x07"])],
    ids=["program", "user", "directory"],
)
def test_escape_sequences_are_not_printed_raw(cell: Cell, words: list[str], options: list[str]) -> None:
    """What is said can't drive the terminal, whatever it is about."""
    done = cell.run(*words, options=options)
    said = done.stdout + done.stderr
    assert done.returncode and said
    assert b"\x1b" not in said and b"\x07" not in said, done


@direct
@pytest.mark.line(22)
def test_container_that_ended_is_not_entered(cell: Cell) -> None:
    """Whatever its number has come to mean since."""
    container = cell.peer.run("busybox")
    argv = cell.argv("echo", "ran", target=cell.target(container))
    cell.peer.sh("kill", container)
    until(lambda: not cell.peer.inspect(container)["State"]["Running"])
    done = subprocess.run(argv, env=cell.environment(), capture_output=True, timeout=60, check=False)
    assert cell.refused(done), done


@direct
@pytest.mark.line(22)
def test_container_that_was_restarted_is_entered_where_it_is(cell: Cell) -> None:
    """By its name, in its new process's namespaces; not by the number that its process had before."""
    container = cell.peer.run("busybox")
    before = cell.target(container)
    cell.peer.sh("restart", "--time", "0", container)
    assert cell.sh("readlink /proc/self/ns/pid", container=container).stdout.decode().strip() == os.readlink(
        f"/proc/{cell.pid(container)}/ns/pid"
    )
    if before != container:
        argv = cell.argv("echo", "ran", target=before)
        done = subprocess.run(argv, env=cell.environment(), capture_output=True, timeout=60, check=False)
        assert cell.refused(done), done


@pytest.mark.parametrize("cell", [("nsenter", "docker"), ("nsenter", "docker26")], ids="-".join, indirect=True)
@pytest.mark.line(22)
def test_number_that_came_to_mean_another_is_not_entered(cell: Cell) -> None:
    """Told that the container's first process has a number which is another container's, or no container's, nothing
    enters it. (tests/unit/test_linux.py has the proof by itself.)"""
    facts = cell.peer.inspect(cell.home)
    another = cell.peer.run("busybox")
    with subprocess.Popen(["sleep", "1000"]) as process:
        ran = []
        for pid in (facts["State"]["Pid"], cell.pid(another), process.pid):
            state = {**facts["State"], "Pid": pid}
            rows = [listed(cell.home, id=facts["Id"])]
            with Impostor(rows, inspected={**facts, "State": state}).serving() as engine:
                argv = cell.argv("echo", "ran", target=cell.believing(cell.home, pid))
                env = cell.environment({"DOCKER_HOST": engine.url})
                done = subprocess.run(argv, env=env, capture_output=True, timeout=60, check=False)
            ran.append((done.returncode, done.stdout))
        process.kill()
    assert ran == [(0, b"ran\n"), (125, b""), (125, b"")]
