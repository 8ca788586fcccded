"""The tests' own world: what it promises to the tests that stand on it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.world import Unavailable, World, flaky
from tests.world.archive import Layer, write_image
from tests.world.daemon import Daemon, answers
from tests.world.leaks import leaks
from tests.world.scratch import make_scratch, remove_scratch

ROOT = Path(__file__).parents[2]


def test_insecure_key_is_the_well_known_one() -> None:
    """An image's insecure key has the fingerprint that everybody knows."""
    key = (ROOT / "dockshell/image/layers/ssh/etc/insecure_key.pub").read_text().split()
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(key[1])).digest()).decode().rstrip("=")
    assert digest == "mNz9adiNUt9xnouQa1sVz3M2zmUV/nTEjUOucMNM9l4"
    assert key[2] == "baseimage-docker-insecure-key"


def test_image_archive_is_complete_and_reproducible(tmp_path: Path) -> None:
    """An archive names a config and layers that are in it, whose digests are right; made again it is the same."""

    def make() -> bytes:
        layer = Layer()
        layer.directory("etc", 0o755)
        layer.file("etc/passwd", b"root:x:0:0::/:/bin/sh\n", owner=(1, 2))
        layer.link("bin", "etc")
        out = io.BytesIO()
        write_image(out, "some/name", {"Env": ["A=ä b"]}, [layer.write(str(tmp_path))])
        return out.getvalue()

    assert make() == make()
    with tarfile.open(fileobj=io.BytesIO(make())) as archive:
        content = {entry.name: file.read() for entry in archive if (file := archive.extractfile(entry))}
    (manifest,) = json.loads(content["manifest.json"])
    config = json.loads(content[manifest["Config"]])
    assert manifest["RepoTags"] == ["some/name:latest"]
    assert config["config"]["Env"] == ["A=ä b"]
    digests = [hashlib.sha256(content[layer]).hexdigest() for layer in manifest["Layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]


def test_need_skips_with_the_reason() -> None:
    """need() lets a test go on where the condition holds, and skips it with its reason where not."""
    with World() as world:
        world.need(True, "never said")
        with pytest.raises(Unavailable, match="no moon"):
            world.need(False, "no moon")


def test_world_that_is_not_used_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines start when they are asked for, not before."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with World():
        pass
    assert not list(tmp_path.iterdir())


def test_engine_that_fails_shows_its_log(tmp_path: Path) -> None:
    """The error of an engine that does not start has the end of its log in it."""
    with pytest.raises(RuntimeError, match="cannot do it today"):
        Daemon(["sh", "-c", "echo cannot do it today >&2; exit 3"], str(tmp_path))
    assert not answers(str(tmp_path / "engine.sock"))


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run ends the engines of a run that was killed and deletes its directory; a living run is left alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    base = tmp_path / f"dockshell-tests-{os.getuid()}"
    dead, mine = base / "999999999.1", make_scratch()
    dead.mkdir()
    script = dead / "wait.py"
    script.write_text("import time; time.sleep(1000)")
    words = ["dockerd", str(script)]  # what ps shows
    with subprocess.Popen(words, executable=sys.executable, start_new_session=True) as orphan:
        assert make_scratch() == mine
        assert orphan.wait(60) != 0
    assert os.listdir(base) == [os.path.basename(mine)]
    remove_scratch(mine)
    assert os.listdir(base) == []


def test_leaks_are_seen() -> None:
    """A child that still runs, and a descriptor that is still open, are each an error that names it."""
    with pytest.raises(AssertionError, match=r"process \d+ \(sleep 99\)$"), leaks(lambda: {known.pid}, grace=0.3):
        known = subprocess.Popen(["sleep", "98"])
        child = subprocess.Popen(["sleep", "99"])
    for process in (known, child):
        process.kill()
        process.wait()
    with pytest.raises(AssertionError, match="descriptor"), leaks(set, grace=0):
        ends = os.pipe()
    for end in ends:
        os.close(end)


def _pytest(directory: Path, ci: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A run of the tests in a directory, with what reporting.py adds."""
    plain = ["-p", "tests.world.reporting", "-c", os.devnull, "--rootdir", str(directory)]
    env = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    argv = [sys.executable, "-m", "pytest", *plain, *words, str(directory)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 6)])
def test_what_could_not_run_is_listed_and_fails_in_ci(tmp_path: Path, ci: str, code: int) -> None:
    """A skip is listed with its reason after the run; with CI=true it fails the run."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_one(): pytest.skip('no moon')\ndef test_two(): pass\n"
    )
    done = _pytest(tmp_path, ci)
    listed = done.stdout.partition("could not run")[2]
    assert "   1  no moon" in listed
    assert ("fails the run" in listed) == bool(ci)
    assert "1 passed, 1 skipped" in listed.splitlines()[-1]
    assert done.returncode == code


_NOW_AND_THEN = """
import os, pathlib, pytest
first = not os.path.exists("FLAG")
@pytest.fixture
def torn():
    yield
    assert not first
@pytest.mark.parametrize("way", ["ssh", "exec"])
def test_now_and_then(way): assert not first
def test_by_its_end(torn): pathlib.Path("FLAG").touch()
@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert first
def test_always(): assert False
def test_never(): pass
"""


@pytest.mark.parametrize(("ci", "twice", "code"), [("", False, 0), ("true", False, 7), ("true", True, 1)])
def test_what_passed_only_when_tried_again(tmp_path: Path, ci: str, twice: bool, code: int) -> None:
    """The second run names what it was that failed at first and then passed, and says how it had failed; with CI=true
    that fails the run. What fails twice is not among it, nor what never failed."""
    names = tmp_path / "names"
    (tmp_path / "test_it.py").write_text(_NOW_AND_THEN.replace("FLAG", str(tmp_path / "flag")))
    left_out = () if twice else ("--deselect", "test_it.py::test_always")
    assert _pytest(tmp_path, ci, *left_out).returncode == 1
    again = ("--last-failed", "--last-failed-no-failures", "none", "--again", str(names))
    assert _pytest(tmp_path, ci, *again).returncode == code
    lines = names.read_text().splitlines()
    assert dict(zip(lines[::2], lines[1::2], strict=True)) == {
        "  test_it.py::test_now_and_then[ssh]": "    test_it.py:9: assert not True",
        "  test_it.py::test_now_and_then[exec]": "    test_it.py:9: assert not True",
        "  test_it.py::test_by_its_end": "    test_it.py:7: assert not True",
        "  test_it.py::test_expected_to_fail": "    [XPASS(strict)] ",
    }


def test_what_is_known_may_pass_when_tried_again(tmp_path: Path) -> None:
    """A test with a reason in flaky.py is named with it, and fails no run."""
    known, why = "test_it.py::test_it[a-", "an engine's own race"
    (tmp_path / "conftest.py").write_text(f"from tests.world import flaky\nflaky.KNOWN[{known!r}] = {why!r}\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('cell', ['a-1'])\ndef test_it(cell): pass\n"
    )
    assert _pytest(tmp_path, "true", "--again", str(tmp_path / "names")).returncode == 0
    assert (tmp_path / "names").read_text() == f"  {known}1] (known: {why})\n"


def test_what_is_known_is_there() -> None:
    """Each entry of flaky.py is the beginning of a test's name, and has its reason."""
    if not flaky.KNOWN:
        return
    files = sorted({beginning.partition("::")[0] for beginning in flaky.KNOWN})
    words = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    tests = done.stdout.splitlines()
    for beginning, why in flaky.KNOWN.items():
        assert any(test.startswith(beginning) for test in tests), f"{beginning} is no test's name"
        assert why
