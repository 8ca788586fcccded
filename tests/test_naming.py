"""Which container a TARGET names (contract 23): never another than the one that a person means. On real engines, with
the labels that Docker Compose gives to the containers that it makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

import dockshell as library
from dockshell.errors import Ambiguous
from tests.impostor import Impostor, listed
from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Terminal = Callable[..., "pexpect.spawn[bytes]"]

_SERVICE = f"svc{os.getpid()}"
_SHOP, _BLOG = f"shop{os.getpid()}", f"blog{os.getpid()}"
_NOWHERE = {"DOCKER_HOST": "unix:///nowhere.sock"}


def _labels(project: str, service: str, number: int, directory: Path | None = None, *, once: bool = False) -> list[str]:
    facts = {
        "project": project,
        "service": service,
        "container-number": str(number),
        "oneoff": str(once),
        "project.working_dir": str(directory or "/nowhere"),
    }
    return [word for name, value in facts.items() for word in ("--label", f"com.docker.compose.{name}={value}")]


class _Projects:
    """Two projects with a service of one name: shop with a one-off container and two replicas, and blog with one. A
    container's name is what it is known by here; directory: that of shop, with compose.yaml and a directory below."""

    once: str
    second: str
    first: str
    blog: str

    def __init__(self, peer: Peer, directory: Path) -> None:
        self.peer = peer
        self.directory = directory / _SHOP
        self.other = directory / _BLOG
        for each in (self.directory / "below", self.other):
            each.mkdir(parents=True, exist_ok=True)
        (self.directory / "compose.yaml").touch()
        made = {
            "once": (_SHOP, 1, self.directory, True),
            "second": (_SHOP, 2, self.directory, False),
            "first": (_SHOP, 1, self.directory, False),
            "blog": (_BLOG, 1, self.other, False),
        }
        for name, (project, number, at, once) in made.items():
            options = _labels(project, _SERVICE, number, at, once=once)
            known = peer.kept(f"naming {name}", lambda options=options: peer.run("busybox", options=options))
            setattr(self, name, known)


@pytest.fixture
def projects(engine: Peer, tmp_path_factory: pytest.TempPathFactory) -> _Projects:
    """On each engine."""
    return _Projects(engine, tmp_path_factory.getbasetemp())


def _entered(done: subprocess.CompletedProcess[bytes]) -> str:
    """The number of the container's first process, as `dockshell pid` tells it."""
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().strip()


def _refused(done: subprocess.CompletedProcess[bytes], code: int = 125) -> str:
    """The one line of a command that printed nothing else."""
    assert (done.returncode, done.stdout) == (code, b"")
    line = done.stderr.decode()
    assert line.startswith("dockshell: ") and line.count("\n") == 1 and line[:-1].isprintable()
    return line


def test_a_service_goes_before_an_id(engine: Peer, dockshell: Run, tmp_path: Path) -> None:
    """`db`, `be` and `cafe` are hexadecimal, and so is this service: what its name is the beginning of is no reason to
    enter another container, by any verb. A name goes before both."""
    other = engine.shared("busybox")
    called = engine.inspect(other)["Id"][:7]
    assert _entered(dockshell("pid", called, engine=engine)) == str(engine.pid(other))
    service = engine.run("busybox", options=[*_labels(_SHOP, called, 1), "--hostname", "service"])
    assert dockshell("exec", called, "hostname", engine=engine).stdout == b"service\n"
    assert dockshell("exec", "--via", "exec", called, "hostname", engine=engine).stdout == b"service\n"
    assert dockshell(called, input=b"hostname\n", engine=engine).stdout == b"service\n"
    assert dockshell("exec", f"{called},{called}", "hostname", engine=engine).stdout.endswith(b" service\n")
    dockshell("cp", f"{called}:/etc/hostname", str(tmp_path), engine=engine)
    assert (tmp_path / "hostname").read_text().strip() == "service"
    assert b"container: " + service.encode() in dockshell("config", "-v", called, engine=engine).stderr
    assert b"HOSTNAME=service" in dockshell("env", "--from", "init", "--format", "docker", called, engine=engine).stdout
    engine.run("busybox", name=called, options=["--hostname", "named"])
    assert dockshell("exec", called, "hostname", engine=engine).stdout == b"named\n"


def test_the_project_of_the_directory(projects: _Projects, dockshell: Run) -> None:
    """In a project's directory, and below it, its service is meant, in the replica of the lowest number. Elsewhere one
    of two projects is an error that names both, and -p, -f and the environment say which."""
    peer = projects.peer

    def found(*options: str, cwd: Path = Path("/"), env: dict[str, str] | None = None) -> str:
        return _entered(dockshell("pid", *options, _SERVICE, engine=peer, cwd=cwd, env=env))

    first, second, blog = (str(peer.pid(name)) for name in (projects.first, projects.second, projects.blog))
    file = str(projects.directory / "compose.yaml")
    assert found(cwd=projects.directory) == found(cwd=projects.directory / "below") == first
    assert found(cwd=projects.other) == blog
    assert found("-p", _BLOG, cwd=projects.directory) == found("--project-name", _BLOG) == blog
    assert found("--project", _SHOP, "--index", "2") == found("-f", file, "--index=2") == second
    assert found("-f", "../compose.yaml", cwd=projects.directory / "below") == first
    assert found(env={"COMPOSE_PROJECT_NAME": _BLOG}, cwd=projects.directory) == blog
    assert found(env={"COMPOSE_FILE": file}) == first
    line = _refused(dockshell("pid", _SERVICE, engine=peer, cwd=Path("/")))
    assert f"{_SHOP}/{_SERVICE}" in line and f"{_BLOG}/{_SERVICE}" in line
    missing = _refused(dockshell("pid", "-p", "nonesuch", _SERVICE, engine=peer, cwd=projects.directory))
    assert (
        f"no container belongs to the service nonesuch/{_SERVICE} " in missing
        and f"the projects are {_BLOG}" in missing
    )


def test_as_docker_compose_has_it(projects: _Projects, dockshell: Run) -> None:
    """`docker compose -p NAME -f FILE exec --index N SERVICE CMD` with other first words is taken, and a shell the same
    way; `-p` alone still picks."""
    peer, file = projects.peer, str(projects.directory / "compose.yaml")
    words = [_SERVICE, "hostname"]
    name = peer.inspect(projects.second)["Config"]["Hostname"] + "\n"
    for line in (
        ["-p", _SHOP, "-f", file, "exec", "--index", "2", *words],
        ["exec", "-p", _SHOP, f"{_SERVICE}:2", "hostname"],
        ["--file", file, "exec", "--index=2", *words],
    ):
        assert dockshell(*line, engine=peer).stdout.decode() == name, line
    shell = dockshell("-p", _SHOP, f"{_SERVICE}:2", input=b"hostname\n", engine=peer)
    assert shell.stdout.decode() == name
    both = dockshell("exec", "--index", "1", f"{_SERVICE}:2", "true", env=_NOWHERE)
    assert "two replicas" in _refused(both, 2)
    assert "two projects" in _refused(dockshell("ip", "-p", "a", "b/web", env=_NOWHERE), 2)
    assert "from 1" in _refused(dockshell("ip", "--index", "x", "web", env=_NOWHERE), 2)
    assert "name a service" in _refused(dockshell("exec", "--index", "1", "pid:1", "true", env=_NOWHERE), 2)
    assert "no such file" in _refused(dockshell("exec", "-f", "/none", "web", "true", engine=peer), 2)
    assert "--pick takes a terminal" in _refused(dockshell("-p", "web", env=_NOWHERE), 2)


def test_verbose_says_the_rule(projects: _Projects, dockshell: Run) -> None:
    """-v says how what was typed led to the container."""
    id = projects.peer.inspect(projects.blog)["Id"]
    for words, rule in {
        projects.blog: "by its name",
        id[:20]: "by the beginning of its id",
        _SERVICE: f"as the service {_SERVICE} of the project {_BLOG}, the project here",
        f"{_SHOP}/{_SERVICE}": f"as the service {_SERVICE} of the project {_SHOP}",
    }.items():
        done = dockshell("ip", "-v", words, engine=projects.peer, cwd=projects.other)
        assert done.stderr.decode().splitlines()[0].endswith(f", {rule}")


def test_many_are_of_one_project(projects: _Projects, dockshell: Run) -> None:
    """`--service` is that of the project here, else a doubt; -p narrows all that is chosen."""
    peer = projects.peer

    def told(*options: str, cwd: Path = Path("/")) -> set[str]:
        done = dockshell("exec", "-v", *options, "--", "echo", "here", engine=peer, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return {line.split()[0] for line in done.stdout.decode().splitlines()}

    shop = {projects.first, projects.second, projects.once}
    assert told("--service", _SERVICE, cwd=projects.directory) == shop
    assert told("--service", _SERVICE, "-p", _BLOG) == told("-p", _BLOG, "--all") == {projects.blog}
    assert told("--service", f"{_BLOG}/{_SERVICE}", cwd=projects.directory) == {projects.blog}
    doubt = _refused(dockshell("exec", "--service", _SERVICE, "true", engine=peer, cwd=Path("/")))
    assert f"--service {_BLOG}/{_SERVICE}" in doubt and f"--service {_SHOP}/{_SERVICE}" in doubt


def test_a_program_says_its_project(projects: _Projects, monkeypatch: pytest.MonkeyPatch) -> None:
    """For connect() the current directory says nothing; project= does."""
    monkeypatch.chdir(projects.directory)
    with pytest.raises(Ambiguous, match=f"{_BLOG}/{_SERVICE}"):
        library.connect(_SERVICE, host=projects.peer.url)
    found = library.connect(_SERVICE, host=projects.peer.url, project=_SHOP)
    assert found.container.name == projects.first


def test_a_proxy_knows_no_directory(projects: _Projects, dockshell: Run, tmp_path: Path) -> None:
    """`ssh SERVICE.dockshell` names the same container wherever it is typed, so that of two projects none is taken,
    unless the line of the configuration has -p."""

    def answered(*options: str) -> str:
        proxy = " ".join([*_program(), "proxy", "-H", projects.peer.url, *options, _SERVICE])
        words = ["-o", f"ProxyCommand={proxy}", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        done = subprocess.run(
            ["ssh", "-F", "/dev/null", "-q", *words, ".@it", "hostname"],
            cwd=projects.directory, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return (done.stdout + done.stderr).decode()

    assert "more than one project" in answered()
    assert projects.peer.inspect(projects.second)["Config"]["Hostname"] in answered("-p", _SHOP, "--index", "2")


def _program() -> list[str]:
    from tests.conftest import COMMAND

    return list(COMMAND)


def test_completion_means_the_same(projects: _Projects, dockshell: Run) -> None:
    """A path inside is completed in the container that the line would enter; in doubt in none."""
    words = ("__complete", "--", "dockshell", "cp")
    for option in ((), ("-p", _SHOP)):
        inside = (*words, *option, f"{_SERVICE}:/etc/host")
        where = Path("/") if option else projects.directory
        if option:
            inside = (*words[:3], "exec", *option, _SERVICE, "/etc/host")
        assert b"/etc/hostname" in dockshell(*inside, engine=projects.peer, cwd=where).stdout, inside
    assert dockshell(*words, f"{_SERVICE}:/etc/host", engine=projects.peer, cwd=Path("/")).stdout == b""


def test_completion_of_projects(projects: _Projects, dockshell: Run) -> None:
    """-p is completed with the projects that run, and then TARGET with the services of that one."""

    def offered(*words: str) -> list[str]:
        done = dockshell("__complete", "--", "dockshell", "exec", *words, engine=projects.peer, cwd=Path("/"))
        return [line.split("\t")[0] for line in done.stdout.decode().splitlines()]

    assert {_SHOP, _BLOG} <= set(offered("-p", ""))
    assert offered("-p", _SHOP[:-1]) == [_SHOP]
    assert offered("-p", _SHOP, "") == offered("-f", str(projects.directory / "compose.yaml"), "s") == [_SERVICE]


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("exce web ls", "exec"),
        ("exce web", "exec"),
        ("sh", "shell"),
        ("sl", "ls"),
        ("lss", "ls"),
        ("docter", "doctor"),
        ("help exce", "help exec"),
    ],
)
def test_a_slip_of_a_verb(dockshell: Run, line: str, verb: str) -> None:
    """A word that is nearly a verb is wrong usage, whether an engine runs or not."""
    assert f"did you mean `dockshell {verb}" in _refused(dockshell(*line.split(), env=_NOWHERE), 2)


def test_a_container_called_like_a_slip(docker: Peer, dockshell: Run) -> None:
    """It is entered by its exact name, and no other is because its name begins so; `shell` takes any name."""
    longer = docker.run("busybox", name=f"shel-{os.getpid()}", options=["--hostname", "longer"])
    assert "did you mean `dockshell shell`" in _refused(dockshell("shel", input=b"hostname", engine=docker), 2)
    for words in (["shell", "shel"], ["--", "shel"]):
        assert dockshell(*words, input=b"hostname", engine=docker).stdout == b"longer\n"
    docker.sh("rename", longer, "shel")
    try:
        assert dockshell("shel", input=b"hostname", engine=docker).stdout == b"longer\n"
        assert "did you mean" in _refused(dockshell("shel", "web", engine=docker), 2)
    finally:
        docker.sh("rename", "shel", longer)


def test_help_and_version_are_verbs(dockshell: Run) -> None:
    """They show what the options show."""
    for words, same in ((["help"], ["--help"]), (["help", "exec"], ["exec", "--help"]), (["version"], ["--version"])):
        done = dockshell(*words, env=_NOWHERE)
        assert (done.returncode, done.stdout) == (0, dockshell(*same).stdout)


def test_what_was_taken_is_said_at_a_terminal(engine: Peer, dockshell: Run, terminal: Terminal) -> None:
    """Who named none learns which it is, in one line on stderr; in a pipe, or by name, nothing is said."""
    name = engine.run("busybox")
    image = engine.inspect(name)["Config"]["Image"]
    child = terminal(engine=engine, env={"PS1": "# "}, timeout=60)
    child.expect(rf"dockshell: {name} \({image}, up \d+ seconds?\)\r\n".encode())
    child.sendline(b"exit")
    child.expect(pexpect.EOF)
    for words in (["shell"], ["exec", "@latest", "true"]):
        done = dockshell(*words, engine=engine)
        assert (done.returncode, done.stderr) == (0, b"")
    child = terminal("exec", name, "true", engine=engine, timeout=60)
    child.expect(pexpect.EOF)
    assert name.encode() not in child.before


def test_what_it_is_called_is_printable(terminal: Terminal) -> None:
    """A name or an image of a hostile engine drives no terminal."""
    row = listed("x")
    facts = {
        "Id": row["Id"], "Name": "/ev\x1b[31mil", "Created": "2026-01-01T00:00:00Z",
        "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"},
        "Config": {"Image": "a\nb"}, "HostConfig": {}, "NetworkSettings": {},
    }  # fmt: skip
    with Impostor([row], inspected=facts).serving() as engine:
        child = terminal(env={"DOCKER_HOST": engine.url}, timeout=60)
        child.expect(rb"dockshell: ev\\x1b\[31mil \(a\\nb, up \d+ days\)\r\n")
        child.close(force=True)


def test_an_exact_name_is_one_request(docker: Peer, dockshell: Run) -> None:
    """However many containers there are, and whatever Compose has here, no list is asked for."""
    row = listed("web")
    facts = {"Id": row["Id"], "Name": "/web", "Created": "", "State": {"Status": "exited"}, "Config": {}}
    with Impostor([row], inspected={**facts, "HostConfig": {}, "NetworkSettings": {}}).serving() as engine:
        _refused(dockshell("pid", "web", env={"DOCKER_HOST": engine.url}))
        assert engine.requests == ["/containers/web/json"] * len(engine.requests)
