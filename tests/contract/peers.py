"""`./dev contract --peers`: the same tests, of what one would type instead of dockshell: `docker exec`, `podman exec`
and util-linux `nsenter` the way it is mostly typed.

Each is given its own words for what a test asks for, as a person who knows it would. Where it has none, the test is not
kept; but not counted, if it is about safety. Left out is what only dockshell has words for (NOT_COMPARABLE). Nothing
here fails a run: it shows, in table.py's table, which lines of the contract are kept, and how many tests of others."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import pytest

from dockshell.options import Arguments, parse
from tests.contract.cell import KIND, Cell
from tests.contract.exceptions import EXCEPTIONS
from tests.world.bounds import within

__all__ = ["NOT_COMPARABLE", "PEERS", "versions"]

# Whose tests they get.
PEERS = {
    ("exec", "docker26"): "docker exec",
    ("exec", "podman"): "podman exec",
    ("nsenter", "docker"): "nsenter",
}
NOT_COMPARABLE = {
    "test_stdout_is_the_commands_alone": "asks for -v",
    "test_only_debug_shows_a_traceback": "asks for --debug",
    "test_what_is_wrongly_put_is_2": "each program has a number of its own for that",
    "test_timeout_ends_the_session": "asks for --timeout",
    "test_privileged_is_all_there_is_and_says_so": "compares with docker exec --privileged",
    "test_environment_of_process_1": "asks for --env-from",
    "test_no_login_shell_is_an_error_with_a_remedy": "asks for dockshell's own remedy",
}
_SECONDS = 30  # more than a test waits for by itself: what takes longer hangs

_versions: dict[str, str] = {}


def versions() -> Mapping[str, str]:
    """Which ones were tested."""
    return _versions


class CanNotSayError(Exception):
    """It has no word for that."""


class TooLongError(Exception):
    """It hangs."""


class _Other(Cell):
    """A cell in which something else than dockshell is typed. What that leaves behind in a container is ended by
    sweep()."""

    speaker = ""

    def __init__(self, *anything: Any) -> None:
        super().__init__(*anything)
        self._inhabitants: dict[str, set[int]] = {}
        name = PEERS[self.route, self.engine]
        if name not in _versions:
            _versions[name] = self.version()

    def version(self) -> str:
        """Its own, and the engine's."""
        raise NotImplementedError

    def typed(self, said: Arguments, target: str, words: Sequence[str | bytes], terminal: bool) -> list[str | bytes]:
        """Its words for what was said in dockshell's. Raises CanNotSayError."""
        raise NotImplementedError

    def argv(
        self,
        *words: str | bytes,
        options: Sequence[str] = (),
        container: str = "",
        target: str = "",
        terminal: bool = False,
    ) -> list[str | bytes]:
        if not target:
            space = _pid_namespace(self.pid(container))
            self._inhabitants.setdefault(space, _in_namespace(space))
        said = parse(["exec", *options, "target", "command"])
        return self.typed(said, target or self.target(container), words or ("sh", "-l"), terminal)

    def run(self, *words: str | bytes, **more: Any) -> subprocess.CompletedProcess[bytes]:
        done = super().run(*words, **more)
        done.returncode = _as_a_shell(done.returncode)
        return done

    @contextlib.contextmanager
    def started(self, *words: str | bytes, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
        with super().started(*words, **more) as process:
            wait = process.wait
            process.wait = lambda timeout=None: _as_a_shell(wait(timeout))  # type: ignore[method-assign]
            yield process

    def refused(self, done: subprocess.CompletedProcess[bytes]) -> bool:
        return done.returncode != 0 and b"ran" not in done.stdout

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        return {**super().environment(env), **self.peer.env}

    def sweep(self) -> None:
        """Ends what came into the containers since they were first used here, and is still there."""
        for space, before in self._inhabitants.items():
            for pid in _in_namespace(space) - before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class _EnginesExec(_Other):
    """`docker exec -i`, and with -t at a terminal; Podman's takes the same words."""

    program = "runc|crun"

    def version(self) -> str:
        if self.peer.name == "podman":
            return self.peer.ask("version", "--format", "{{.Client.Version}}")
        return self.peer.ask("version", "--format", "{{.Client.Version}} with engine {{.Server.Version}}")

    def typed(self, said: Arguments, target: str, words: Sequence[str | bytes], terminal: bool) -> list[str | bytes]:
        for field in ("verbose", "debug", "env_from"):
            if field in said.said:
                raise CanNotSayError(field)
        # A terminal that isn't at one excludes -i ("the input device is not a TTY").
        options = [] if said.on("no_input") or (said.on("tty") and not terminal) else ["-i"]
        if said.on("tty") or (terminal and not said.on("no_tty")):
            options.append("-t")
        options += [f"--{field}" for field in ("detach", "privileged") if said.on(field)]
        for field in ("user", "workdir"):
            if field in said.said:
                options += [f"--{field}", said.text(field)]
        for field, option in (("env", "--env"), ("env_file", "--env-file")):
            for value in said.texts(field):
                options += [option, value]
        return [*self.peer.cli, "exec", *options, target, *words]


class _Nsenter(_Other):
    """`nsenter -t PID -m -u -i -n -p`, and numbers for a user, a directory if it is asked for. The terminal is the
    caller's own, so there is nothing to be said of it."""

    program = "nsenter"

    def version(self) -> str:
        return subprocess.run(["nsenter", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def target(self, container: str = "") -> str:
        return str(self.pid(container))

    def believing(self, container: str, pid: int) -> str:
        return str(pid)

    def typed(self, said: Arguments, target: str, words: Sequence[str | bytes], terminal: bool) -> list[str | bytes]:
        if unknown := said.said.keys() - {"user", "workdir", "privileged", "interactive"}:
            raise CanNotSayError(", ".join(unknown))
        options = ["-t", target, "-m", "-u", "-i", "-n", "-p"]
        if "user" in said.said:
            user, _, group = said.text("user").replace("root", "0").partition(":")
            if not (user + group).isdigit():
                raise CanNotSayError("takes numbers only")
            options += ["-S", user, *(("-G", group) if group else ())]
        if "workdir" in said.said:
            options += ["-W", said.text("workdir")]
        return ["nsenter", *options, "--", *words]


def _make(table: tuple[str, str], *rest: Any) -> Cell:
    return (_Nsenter if table[0] == "nsenter" else _EnginesExec)(table, *rest)


def _as_a_shell(code: int) -> int:
    """The exit code of who ended itself by a signal, as a person sees it."""
    return code if code >= 0 else 128 - code


def _pid_namespace(pid: int | str) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def _in_namespace(space: str) -> set[int]:
    """The processes in a pid namespace; none, if it is our own."""
    found: set[int] = set()
    for name in filter(str.isdigit, os.listdir("/proc") if space != _pid_namespace("self") else ()):
        with contextlib.suppress(OSError):
            if _pid_namespace(name) == space:
                found.add(int(name))
    return found


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KIND] = _make


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = [each for each in items if _cell(each) in PEERS and _name(each) not in NOT_COMPARABLE]
    config.hook.pytest_deselected(items=[each for each in items if each not in set(chosen)])
    items[:] = chosen


def _cell(item: pytest.Item) -> tuple[str, str] | None:
    found: tuple[str, str] | None = getattr(getattr(item, "callspec", None), "params", {}).get("cell")
    return found


def _name(item: pytest.Item) -> str:
    return item.name.partition("[")[0]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """A test that hangs is ended. One that would hang the engine is not even tried."""
    for each in EXCEPTIONS:
        test, _, parameters = each.test.rstrip("]").partition("[")
        if not each.run and test == _name(pyfuncitem) and parameters in pyfuncitem.name:
            assert not each.covers(*(_cell(pyfuncitem) or ("", ""))), each.reason

    with within(_SECONDS, TooLongError):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """What is not kept is not a failure of ours, nor is what it leaves behind."""
    report = yield
    line = next((mark.args[0] for mark in item.iter_markers("line")), 0)
    if call.excinfo and call.excinfo.errisinstance(CanNotSayError) and line >= 19:
        report.outcome, report.user_properties = "passed", []  # what it can't be told to do can't go wrong: not counted
    elif report.failed and call.when == "call" and call.excinfo:
        report.outcome, report.wasxfail = "skipped", call.excinfo.exconly().partition("\n")[0][:200]
    elif report.failed and call.when == "teardown":
        report.outcome = "passed"
    return report


def pytest_runtest_teardown(item: pytest.Item) -> None:
    if isinstance(cell := getattr(item, "funcargs", {}).get("cell"), _Other):
        cell.sweep()
