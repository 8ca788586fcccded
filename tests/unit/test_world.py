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

from tests.world import Unavailable, World
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
        assert orphan.wait(10) != 0
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


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 6)])
def test_what_could_not_run_is_listed_and_fails_in_ci(tmp_path: Path, ci: str, code: int) -> None:
    """A skip is listed with its reason after the run; with CI=true it fails the run."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_one(): pytest.skip('no moon')\ndef test_two(): pass\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.world.reporting",
            "-c",
            os.devnull,
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    listed = done.stdout.partition("could not run")[2]
    assert "   1  no moon" in listed
    assert ("fails the run" in listed) == bool(ci)
    assert "1 passed, 1 skipped" in listed.splitlines()[-1]
    assert done.returncode == code
