"""What `./dev test` and `.ci/run` do, and in which order. The programs that they start are stubs that note how they
were called; a whole run is what CI does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PROGRAMS = ("sh", "dirname", "cksum", "cat", "rm", "mktemp", "tail", "grep", "ldd", "tee")
# Notes its name and words. A line of the file `answers` is a part of the words, and what to do when it is among them.
_STUB = """#!/bin/sh
call="${0##*/} $*"
echo "$call" >>"$NOTED"
while IFS='|' read -r part action; do
    case $call in *"$part"*) eval "$action" ;; esac
done <"$ANSWERS"
exit 0
"""


class Run:
    """`./dev` in a directory of its own, where everything that it could start is a stub."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.noted, self.answers = place / "noted", place / "answers"
        self.answers.touch()
        for directory in (place / "bin", place / ".venv/bin", place / "dockshell"):
            directory.mkdir(parents=True)
        shutil.copy(ROOT / "pyproject.toml", place)
        # Without what it finds on this machine besides PATH.
        script = (ROOT / "dev").read_text().replace("\nPATH=", "\n: ").replace(" /usr/bin/python3;", ";")
        (place / "dev").write_text(script)
        for name in _PROGRAMS:
            (place / "bin" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        for name in ("bin/apt-get", *(f".venv/bin/{name}" for name in ("python", "ruff", "mypy", "lint-imports"))):
            (place / name).write_text(_STUB)
            (place / name).chmod(0o755)
        (place / "bin/id").write_text("#!/bin/sh\necho 0\n")
        (place / "bin/id").chmod(0o755)
        words = ["sh", "-c", "cksum <pyproject.toml"]
        summed = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True).stdout
        (place / ".venv/installed").write_text(f"dev {summed}")

    def dev(self, *words: str, ci: str = "") -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": str(self.place / "bin"),
            "HOME": str(self.place),
            "CI": ci,
            "NOTED": str(self.noted),
            "ANSWERS": str(self.answers),
        }
        return subprocess.run(
            ["/bin/sh", str(self.place / "dev"), *words], env=env, capture_output=True, text=True, check=False
        )

    def calls(self) -> list[str]:
        return self.noted.read_text().splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def _first(calls: list[str], part: str) -> int:
    return next(number for number, call in enumerate(calls) if part in call)


def test_what_it_needs_is_said_first(run: Run) -> None:
    """Minutes, disk and every missing package come before anything is made or installed."""
    shutil.rmtree(run.place / ".venv")
    done = run.dev("test")
    assert done.returncode == 1
    said, _, rest = done.stderr.partition("no Python 3.11 or newer")
    assert rest, done.stderr
    assert "25 minutes" in said and "PyPI" in said and str(run.place / ".cache/dockshell-tests") in said
    [packages] = [line for line in said.splitlines() if "apt-get will install" in line or "only root" in line]
    assert {"docker.io", "podman", "busybox-static", "debootstrap", "zsh", "fish"} <= set(packages.split())
    assert not run.noted.exists()


def test_a_broken_checkout_shows_at_once(run: Run) -> None:
    """The unit tests come before the system packages; where they fail, and fail again, that is the end."""
    run.answers.write_text("--part unit|exit 1\n")
    done = run.dev("test")
    assert (done.returncode, done.stdout) == (1, "FAILED: unit\n")
    assert not [call for call in run.calls() if call.startswith(("apt-get", "ruff"))]
    assert "--last-failed" in run.calls()[-1]


def test_the_order_of_a_whole_run(run: Run) -> None:
    """Unit tests, then packages and checks, then the parts; the images' roots are begun as soon as they can be."""
    installed = run.place / "bin/debootstrap"
    run.answers.write_text(f"--no-install-recommends debootstrap|: >{installed}; /bin/chmod +x {installed}\n")
    done = run.dev("test")
    calls = run.calls()
    unit, debootstrap, roots = (_first(calls, part) for part in ("--part unit", "debootstrap", "tests.world.roots"))
    packages = _first(calls, "zsh")
    assert unit < debootstrap < roots and debootstrap < packages
    assert unit < _first(calls, "ruff") < _first(calls, "lint-imports")
    for part in ("contract", "docker", "others"):
        assert max(packages, _first(calls, "lint-imports")) < _first(calls, f"--part {part}")
    assert "FAILED" not in done.stdout.replace("could not be", ""), done.stdout


@pytest.mark.parametrize(("answer", "code"), [("exit 0", 0), ("exit 7", 1)])
def test_what_passed_only_when_tried_again_is_at_the_end(run: Run, answer: str, code: int) -> None:
    """By name, after all else; the second run of pytest says whether it counts (tests/world/reporting.py)."""
    again = f'echo "  tests/test_x.py::test_y" >>{run.place}/.venv/again; {answer}'
    run.answers.write_text(f"--again|{again}\n--part docker|exit 1\n")
    done = run.dev("test")
    passed, _, end = done.stdout.partition("passed only when tried again:\n")
    assert "passed: unit ruff" in passed
    assert end == "  tests/test_x.py::test_y\n" + ("FAILED: pytest\n" if code else "")
    assert done.returncode == code
    assert len([call for call in run.calls() if "--last-failed" in call]) == 1


def test_fuzzing(run: Run) -> None:
    """The words go to the fuzzer, and so does its exit code."""
    run.answers.write_text("tests.fuzz|exit 1\n")
    assert run.dev("fuzz", "tar", "5").returncode == 1
    assert run.calls()[-1] == "python -P -m tests.fuzz tar 5"


_DEV = """#!/bin/sh
echo "$# $1 $(pwd) $HOME $(ls -A "$HOME" | wc -l) ${XDG_CACHE_HOME:-none} $(cat tracked)"
echo "on stderr" >&2
touch "$HOME/left"
[ -z "${WAIT:-}" ] || { echo waiting; sleep 1000; }
exit 3
"""


def _ci(place: Path, env: Mapping[str, str]) -> list[str]:
    """Makes a repository with `.ci/run` in it, and gives the words that run that."""
    git = ["git", "-C", str(place / "repo"), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (place / "repo/.ci").mkdir(parents=True)
    (place / "tmp").mkdir()
    shutil.copy(ROOT / ".ci/run", place / "repo/.ci/run")
    (place / "repo/dev").write_text(_DEV)
    (place / "repo/dev").chmod(0o755)
    (place / "repo/tracked").write_text("as committed")
    subprocess.run([*git, "init", "-q"], check=True, env=env)
    subprocess.run([*git, "add", "."], check=True, env=env)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True, env=env)
    return [str(place / "repo/.ci/run")]


@pytest.fixture
def ci_environment(tmp_path: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "XDG_"))}
    return {**env, "HOME": str(tmp_path), "XDG_CACHE_HOME": "/nowhere", "TMPDIR": str(tmp_path / "tmp")}


def test_ci_starts_from_nothing(tmp_path: Path, ci_environment: dict[str, str]) -> None:
    """What is tested is a clone of what was committed, with an empty HOME and no cache; nothing of it stays, and output
    and exit code go through."""
    words = _ci(tmp_path, ci_environment)
    (tmp_path / "repo/tracked").write_text("changed")
    done = subprocess.run(words, env=ci_environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    count, verb, directory, home, files, cache, *tracked = done.stdout.split()
    assert (count, verb, files, cache, tracked) == ("1", "test", "0", "none", ["as", "committed"])
    assert Path(directory).parent == Path(home).parent and str(tmp_path / "tmp") in home
    assert "aren't committed" in done.stderr and "on stderr" in done.stderr
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_ci(tmp_path: Path, ci_environment: dict[str, str], number: signal.Signals) -> None:
    """The tests end with it, and nothing stays."""
    words, env = _ci(tmp_path, ci_environment), {**ci_environment, "WAIT": "1"}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        while process.stdout.readline() != "waiting\n":
            assert process.poll() is None
        process.send_signal(number)
        process.stdout.read()  # to its end: nobody holds it any more
        assert process.wait() == 128 + number
    assert os.listdir(tmp_path / "tmp") == []
