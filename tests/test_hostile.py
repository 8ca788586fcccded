"""Containers that do their worst: files that lead out or never end, a /proc and a devpts that lie, a process that lies
in wait for whoever enters. By the real command, on real engines; lines 20 to 22 of the contract are about the same."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.busy import slowdown
from tests.conftest import COMMAND
from tests.contract.watching import end_all, processes, unique, until
from tests.impostor import Impostor
from tests.world import Peer, World

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

VIAS = ("nsenter", "exec")


@pytest.fixture(params=VIAS)
def via(request: pytest.FixtureRequest) -> str:
    """Each route that reads the container's files from outside."""
    return str(request.param)


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a file of the host's that a container would like to see taken for its passwd and group."""
    place = tmp_path_factory.mktemp("host") / "secret"
    place.write_text("evil:x:0:0::/:/bin/sh\nevil:x:0:\n")
    place.chmod(0o644)
    return str(place)


_UP = "../" * 20
LINKS = (
    "ln -s {0} /etc/passwd",
    f"ln -s {_UP}{{1}} /etc/passwd",
    "ln -s /proc/1/root{0} /etc/passwd",
    "ln -s /proc/self/root{0} /etc/passwd",
    "ln -s /proc/thread-self/cwd/" + _UP + "{1} /etc/passwd",
    "ln -s b /etc/passwd; ln -s c /etc/b; ln -s /.." + "{0} /etc/c",
    "ln -s passwd /etc/passwd",
    "mv /etc /old; ln -s {2} /etc; ln -s secret /old/passwd",
    *(f"ln -s /proc/self/fd/{number} /etc/passwd" for number in (3, 5, 7)),
)


@pytest.mark.parametrize("link", LINKS, ids=range(len(LINKS)))
def test_no_link_leads_out(engine: Peer, dockshell: Run, via: str, link: str, secret: str) -> None:
    """Whoever stands in a file of the host's is unknown inside, however the container's passwd and group point there:
    absolutely, upwards, in a chain, in a circle, by a directory, through /proc's own links and descriptors."""
    script = link.format(secret, secret.lstrip("/"), os.path.dirname(secret))
    both = f"rm /etc/passwd /etc/group; {script}; {script.replace('passwd', 'group')}; exec sleep 100000"
    name = engine.run("busybox", "sh", "-c", both)
    for user in ("evil", "0:evil"):
        done = dockshell("exec", "--via", via, "-u", user, name, "id", engine=engine)
        assert (done.returncode, done.stdout) == (125, b""), done
        assert done.stderr.count(b"\n") == 1 and b"evil" in done.stderr


# By busybox alone, each within a second or two.
LARGE = {
    "million-lines": "yes user:x:7:7::/home:/bin/sh | head -n 1000000 >/etc/passwd",
    "endless-line": "{ printf root:x:0:0:; head -c 100000000 /dev/zero | tr '\\0' :; } >/etc/passwd",
    "full-of-zeros": "yes 0:0:0 | head -c 4000000 >/etc/passwd; yes 0:0:0 | head -c 4000000 >/etc/group",
    "sparse": "rm /etc/passwd; truncate -s 900G /etc/passwd",
}


# A child of pytest would begin with what pytest has: between fork and execve it is the same process, and counts.
_MEASURE = """
import os, resource, sys
status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)[1])
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def _most_memory(words: list[str], env: Mapping[str, str]) -> tuple[int, float, int]:
    """Runs the real command → its exit code, the seconds it took, and the most memory in bytes that any process of
    its had."""
    begun = time.monotonic()
    argv = [sys.executable, "-c", _MEASURE, *COMMAND, *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=60, check=False)
    code, memory = done.stdout.split()[-2:]
    return int(code), time.monotonic() - begun, int(memory)


@pytest.mark.parametrize("trap", LARGE)
def test_large_files_cost_little(docker: Peer, environment: dict[str, str], via: str, trap: str) -> None:
    """A million lines, or one of a hundred megabytes: soon done, in little memory. (The engine's own exec may refuse
    what it can't read.)"""
    name = docker.run("busybox")
    docker.sh("exec", name, "sh", "-c", LARGE[trap])
    env = {**environment, "DOCKER_HOST": docker.url}
    code, seconds, memory = _most_memory(["exec", "--via", via, "-u", "0", name, "true"], env)
    assert code == 0 or (via == "exec" and code in (125, 126))
    assert seconds < 20 * slowdown() and memory < 100 << 20, (seconds, memory)


RED = "\x1b[31m\x1b]0;title\x07\x9b2J\u202ered"


def test_nothing_is_said_raw(engine: Peer, dockshell: Run, via: str) -> None:
    """Escape sequences in labels, names of users, homes, shells and directories: whatever dockshell says of them, on
    stderr and in tables, is spelled out."""
    passwd = f"{RED}:x:0:0::/{RED}:/bin/{RED}\n"
    name = engine.run(
        "busybox", "sh", "-c", f"printf %s '{passwd}' >/etc/passwd; rmdir /home/app; exec sleep 100000",
        options=["--label", f"{RED}={RED}", "--env", f"RED={RED}", "--workdir", "/home/app", "--hostname", "host"],
    )  # fmt: skip
    asked = (
        (["-v", "exec", "--via", via, "-w", "/", name, "true"], 0),
        (["-v", "exec", "--via", via, name, "true"], 126),
        (["-v", "exec", "--via", via, "-w", "/", name, RED], 127),
        (["-v", "exec", "--via", via, "-w", f"/{RED}", name, "true"], 126),
        (["-v", "exec", "--via", via, "-u", RED[1:], name, "true"], 125),
        (["-v", "shell", "--via", via, name], 0),
        (["-v", "exec", f"label:{RED}", "true"], 2),
        (["-v", "ls"], 0),
        (["-v", "pid", name], 0),
    )
    for words, code in asked:
        done = dockshell(*words, engine=engine)
        said = done.stderr.decode() + done.stdout.decode()
        assert done.returncode == code, done
        assert said.replace("\n", "").isprintable(), (words, said)


@contextlib.contextmanager
def _mounted(engine: Peer, name: str, script: str) -> Iterator[None]:
    """Root of the host lays things over a container's own, as root inside could with CAP_SYS_ADMIN: the script runs in
    its mount namespace with the container's root, by its own sh."""
    pid = str(engine.pid(name))
    argv = ["nsenter", "--target", pid, "--mount", "--root", "--wd=/", "/bin/sh", "-c", "PATH=/bin:/sbin\n" + script]
    subprocess.run(argv, check=True, capture_output=True)
    yield


LIES = """
set -e
mount -t tmpfs none /proc
for p in self 1 thread-self; do
    mkdir -p /proc/$p/attr /proc/$p/ns /proc/$p/fd /proc/$p/attr/apparmor
    for n in CapInh CapPrm CapEff CapBnd CapAmb; do printf '%s:\\tffffffffffffffff\\n' $n; done >/proc/$p/status
    printf 'Name:\\tlie\\nUid:\\t0\\t0\\t0\\t0\\nSeccomp:\\t0\\nNoNewPrivs:\\t0\\nUmask:\\t0000\\n' >>/proc/$p/status
    echo 0::/ >/proc/$p/cgroup
    printf 'LIE=1\\0' >/proc/$p/environ
    echo lie >/proc/$p/attr/current
    echo lie >/proc/$p/attr/exec
    mkfifo /proc/$p/attr/apparmor/exec /proc/$p/mountinfo /proc/$p/oom_score_adj /proc/$p/limits
    ln -s / /proc/$p/root
    for n in mnt net pid user ipc uts cgroup time; do ln -s /etc/passwd /proc/$p/ns/$n; done
done
mkdir -p /proc/sys/kernel
mkfifo /proc/sys/kernel/cap_last_cap /proc/mounts /proc/stat
"""
FIELDS = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask")


def _status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        found = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return {name: found[name] for name in FIELDS}


def test_a_proc_that_lies_is_not_believed(engine: Peer, environment: dict[str, str], world: World) -> None:
    """With a /proc of the container's own making, the nsenter route gives a command what the container's first process
    really has, hangs at none of its FIFOs, and leaves nothing of its own in it."""
    world.need_root()
    world.need_program("nsenter")
    name, word = engine.run("busybox"), unique()
    first = engine.pid(name)
    env = {**environment, "DOCKER_HOST": engine.url}
    with _mounted(engine, name, LIES):
        argv = [
            *COMMAND,
            "exec",
            "--via",
            "nsenter",
            "--env-from",
            "init",
            name,
            "sh",
            "-c",
            f"echo $LIE; sleep {word}; :",
        ]
        with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout and process.stdout.readline() == b"\n"
                pid = next(pid for pid in until(lambda: processes(word)) if _comm(pid) == "sh")
                assert _status(pid) == _status(first)
                for kind in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup"):
                    assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{first}/ns/{kind}")
                with open(f"/proc/{pid}/cgroup", "rb") as ours, open(f"/proc/{first}/cgroup", "rb") as theirs:
                    assert ours.read() == theirs.read()
            finally:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM


def _comm(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()


PTMX = {
    "nothing": ":",
    "file": "echo >/dev/pts/ptmx",
    "fifo": "mkfifo /dev/pts/ptmx",
    "directory": "mkdir /dev/pts/ptmx",
    "null": "mknod /dev/pts/ptmx c 1 3",
    "link-to-null": "ln -s /dev/null /dev/pts/ptmx",
    "link-to-itself": "ln -s ptmx /dev/pts/ptmx",
    "link-out": "ln -s /proc/1/root/dev/pts/ptmx /dev/pts/ptmx",
    "device-that-is-not-there": "mknod /dev/pts/ptmx c 10 130",
}


def test_a_devpts_that_lies_gives_no_terminal(engine: Peer, dockshell: Run, world: World) -> None:
    """Whatever stands where a container's devpts should be: the caller is told to do without a terminal, at once, and
    nothing but a true ptmx is ever opened."""
    world.need_root()
    world.need_program("nsenter")
    for trap, script in PTMX.items():
        name = engine.run("busybox")
        with _mounted(engine, name, f"mount -t tmpfs none /dev/pts; {script}"):
            done = dockshell("exec", "--via", "nsenter", "-t", name, "true", engine=engine, timeout=60)
            assert done.returncode == 126 and b"-T" in done.stderr and done.stderr.count(b"\n") == 1, (trap, done)
            assert dockshell("exec", "--via", "nsenter", "-T", name, "true", engine=engine).returncode == 0


# Tries, as fast as it can, everything that would show or change a process that isn't the command yet: its program, its
# root and directory, its environment, its memory, its descriptors (ptrace(2), PTRACE_MODE_READ and ATTACH).
RACER = r"""
$| = 1; $SIG{TERM} = sub { exit };
my $own = join ",", (stat "/")[0, 1]; my %said;
sub seen { my $line = join " ", @_; print "$line\n" unless $said{$line}++ }
print "begun\n";
my $last = $$;
while (1) {
    for my $p ($last - 3 .. $last + 6) {
        next if $p == $$ || $p < 2 || !-e "/proc/$p";
        $last = $p if $p > $last;
        my $exe = readlink "/proc/$p/exe";
        seen("exe", $exe) if defined $exe && $exe =~ /python/;
        my @root = stat "/proc/$p/root/."; seen("root") if @root && "$root[0],$root[1]" ne $own;
        my @cwd = stat "/proc/$p/cwd/."; seen("cwd") if @cwd && $cwd[0] != (stat "/")[0];
        for (["environ", qr/CALLERS_SECRET/], ["maps", qr/python/]) {
            open my $h, "<", "/proc/$p/$$_[0]" or next;
            local $/; my $all = <$h>;
            seen($$_[0]) if defined $all && $all =~ $$_[1];
        }
        opendir my $d, "/proc/$p/fd" or next;
        for (map { readlink "/proc/$p/fd/$_" } readdir $d) {
            seen("fd", $_) if defined && /^(mnt:|user:|net:|socket:|anon_inode|\/proc|.*cgroup)/;
        }
    }
}
"""


def test_who_lies_in_wait_gets_nothing(engine: Peer, environment: dict[str, str], world: World) -> None:
    """Root inside, who races to look into whoever enters, a hundred times: no program, root, directory, environment,
    memory or descriptor of the host's is ever seen (CVE-2016-9962, CVE-2019-5736)."""
    world.need_root()
    name, word = engine.shared("baseimage"), unique()
    env = {**environment, "DOCKER_HOST": engine.url, "CALLERS_SECRET": "1"}
    argv = [*engine.cli, "exec", name, "perl", "-e", RACER, word]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={**env, **engine.env}) as racer:
        try:
            assert racer.stdout and racer.stdout.readline() == b"begun\n"
            for _ in range(100):
                subprocess.run([*COMMAND, "exec", "--via", "nsenter", name, "true"], env=env, check=True)
        finally:
            end_all(word, signal.SIGTERM)
        assert racer.stdout.read() == b""


def test_who_may_trace_whoever_enters_is_not_entered(docker: Peer, dockshell: Run, world: World) -> None:
    """With CAP_SYS_PTRACE there is no hiding from those inside, so nsenter refuses, and auto goes on to the engine's
    own exec."""
    world.need_root()
    name = docker.run("busybox", options=["--cap-add", "SYS_PTRACE"])
    done = dockshell("exec", "--via", "nsenter", name, "echo", "ran", engine=docker)
    assert (done.returncode, done.stdout) == (125, b"") and b"SYS_PTRACE" in done.stderr
    done = dockshell("exec", "-v", name, "echo", "ran", engine=docker)
    assert (done.returncode, done.stdout) == (0, b"ran\n") and b"SYS_PTRACE" in done.stderr


@pytest.mark.parametrize(
    "words", [["exec", "web", "true"], ["cp", "web:/etc/passwd", "-"], ["env", "--from", "init", "web"]]
)
def test_an_engine_that_names_a_process_of_ours(world: World, dockshell: Run, words: list[str]) -> None:
    """Whatever it says: who has our own mount namespace is in no container, and nothing is run or read there."""
    world.need_root()
    number = unique()
    with subprocess.Popen(["sleep", number]) as process:
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        told = {
            "Id": "f" * 64, "Name": "/web", "Created": began, "Config": {"Image": "image"},
            "State": {"Running": True, "Status": "running", "Pid": process.pid, "StartedAt": began}, "HostConfig": {},
            "NetworkSettings": {},
        }  # fmt: skip
        with Impostor([], inspected=told).serving() as engine:
            verb, *rest = words
            via = ["--via", "nsenter"] if verb != "env" else []
            done = dockshell(verb, *via, *rest, env={"DOCKER_HOST": engine.url})
        process.kill()
    assert done.returncode == 125 and done.stdout == b"", done
    assert verb == "env" or b"its mount namespace is this process's own" in done.stderr
