"""Other users of the host: what they leave in a directory where root works, and what they would like root to believe.
Each test has a control, which shows that the attack works where nothing guards against it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.contract.watching import until
from tests.test_demo import HIDDEN
from tests.world import Peer, World

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
