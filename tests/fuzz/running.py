"""Runs the fuzzer: a process of its own for each target, for it ends at the first finding."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import CORPUS, PLANTED, TARGETS

__all__ = ["AT_ONCE", "FOUND", "Outcome", "fuzz"]

_ROOT = Path(__file__).parents[2]
FOUND = _ROOT / ".venv" / "fuzz"  # NAME/ in there: the findings, each an input
AT_ONCE = 2  # fuzzers
_HANGS = 60  # seconds after which an input hangs, whatever the machine is busy with
_STARTING = 300  # seconds in which a process has begun and ended, besides what it fuzzes
_MOST_MEMORY = 1500  # MiB of a process
_COUNT = re.compile(r"^stat::number_of_executed_units: *([0-9]+)", re.MULTILINE)
_NOISE = re.compile(r"#\d+\s|INFO: |stat::|WARNING: |MS: |SUMMARY: |0x|Base64: |artifact_prefix=|$")
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


class Outcome(NamedTuple):
    """executions: how many inputs were tried. finding: what one of them did, as the fuzzer reports it; empty for
    none."""

    name: str
    executions: int
    finding: str

    def __str__(self) -> str:
        return f"{self.name}: {self.finding}" if self.finding else f"{self.name}: {self.executions} inputs, no finding"

    def write(self, path: Path) -> None:
        """Into that file, which appears as a whole."""
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self))
        unfinished.rename(path)

    @classmethod
    def read(cls, path: Path) -> Outcome:
        return cls(*json.loads(path.read_text()))


def fuzz(name: str, seconds: int, *, kept: Path | None = None) -> Outcome:
    """Fuzzes one target for so long. kept: a directory for what reaches new code, to go on with the next time; without
    it that is forgotten. Inputs that were findings before are tried first."""
    target = TARGETS.get(name, PLANTED)
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dockshell-fuzz-") as scratch:
        work = kept or Path(scratch) / "work"
        work.mkdir(parents=True, exist_ok=True)
        words = Path(scratch) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in (*target.words, "\0")))  # none must not be
        inputs = [str(each) for each in (work, CORPUS / name, found) if each.is_dir()]
        argv = [
            *(sys.executable, "-P", "-m", "tests.fuzz.child", name, *inputs),
            *(f"-max_total_time={seconds}", f"-timeout={_HANGS}", f"-rss_limit_mb={_MOST_MEMORY}"),
            *(f"-max_len={target.longest}", f"-dict={words}", "-len_control=20", f"-artifact_prefix={found}/"),
            *("-print_final_stats=1", "-report_slow_units=60"),
        ]
        env = {**os.environ, "TMPDIR": scratch}  # it ends without tidying up
        done = subprocess.run(
            argv,
            cwd=_ROOT,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + _STARTING,
            check=False,
        )
    count = _COUNT.search(done.stderr)
    return Outcome(name, int(count[1]) if count else 0, "" if done.returncode == 0 and count else _told(name, done))


def _escaped(word: str) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8"))


def _told(name: str, done: subprocess.CompletedProcess[str]) -> str:
    """What the fuzzer says of its finding, and how to go on."""
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if not _NOISE.match(line))
    artifact = _ARTIFACT.search(done.stderr)
    if not artifact:
        return f"the fuzzer ended with {done.returncode}:\n{said[-5000:]}"
    return f"a finding:\n{said[-5000:]}\nKeep it with the fix: mv {artifact[1]} tests/fuzz/corpus/{name}/WHAT-IT-IS"
