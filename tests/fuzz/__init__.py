"""Fuzzing, guided by coverage: `./dev fuzz [NAME] [SECONDS]`. What reads text or packets of others is called with
inputs that libFuzzer makes of those that reached new code before (atheris, https://github.com/google/atheris).

A target is a function that takes bytes, hands them to the real parser, and lets nothing through but what that is
documented to raise. Anything else that it raises is a finding, and so is an input that takes more time or memory than
checked() allows. `tests/fuzz/corpus/NAME/` holds what each begins with, and each input that was a finding once: a new
one belongs there, with the fix."""

from __future__ import annotations

import importlib
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["CORPUS", "PLANTED", "TARGETS", "Excess", "Target", "checked", "seeds"]

CORPUS = Path(__file__).parent / "corpus"
_MOST_SECONDS = 5.0  # of this process's own time: a busy machine takes nothing from that
_MOST_MEMORY = 128 << 20  # bytes by which the process may grow


class Excess(Exception):
    """An input took more time or memory than any should."""


class Target(NamedTuple):
    """module: where the function is, which has the target's name. instrumented: packages whose coverage guides the
    fuzzer, besides dockshell. longest: bytes of an input. words: what the fuzzer puts into inputs, besides what it
    sees compared."""

    module: str
    instrumented: tuple[str, ...] = ()
    longest: int = 4096
    words: tuple[str, ...] = ()

    def load(self, name: str) -> Callable[[bytes], object]:
        """Imports the function."""
        module = importlib.import_module(f"tests.fuzz.{self.module}")
        function: Callable[[bytes], object] = getattr(module, name)
        return function


_JSON = ("null", "true", "-1", "1e999", "NaN", "[]", "{}", "[1]", '{"a":1}', '""', '"\\ud800"', '"\\u001b"', "9" * 20)
_NUMBERS = ("-1", "0", "99999999999", "unlimited", "\u0663", "1e9", "0x1")
TARGETS = {
    "arguments": Target("typed"),
    "asciicast": Target("files"),
    "authorized_keys": Target("files"),
    "config": Target("files", ("tomllib",)),
    "engine": Target("engines", longest=1 << 14, words=_JSON),
    "errand": Target("ssh", words=_JSON),
    "executable_file": Target("processes"),
    "facts": Target("engines", longest=64),
    "frames": Target("engines"),
    "handshake": Target("ssh", ("asyncssh.connection", "asyncssh.packet", "asyncssh.kex")),
    "inside": Target("processes", words=_NUMBERS),
    "mountinfo": Target("processes"),
    "passwd": Target("files", words=_NUMBERS),
    "proc": Target("processes"),
    "resolv_conf": Target("files", words=_NUMBERS),
    "scp": Target("transfer"),
    "sftp": Target("transfer"),
    "ssh": Target("ssh", ("asyncssh.connection", "asyncssh.channel", "asyncssh.packet", "asyncssh.forward")),
    "tar": Target("archives", ("tarfile",), longest=1 << 14),
}
PLANTED = Target("planted", ("tests.fuzz.planted",))  # by which it is tested whether findings are found


def seeds(name: str) -> list[Path]:
    """The inputs that are kept for that target."""
    return sorted((CORPUS / name).iterdir()) if (CORPUS / name).is_dir() else []


def checked(function: Callable[[bytes], object], data: bytes) -> None:
    """Calls the target. Raises what it raises, and Excess."""
    began, before = time.process_time(), _largest()
    function(data)
    seconds, grown = time.process_time() - began, _largest() - before
    if seconds > _MOST_SECONDS:
        raise Excess(f"it took {seconds:.1f} s")
    if grown > _MOST_MEMORY:
        raise Excess(f"it took {grown >> 20} MiB")


def _largest() -> int:
    """The most memory that this process had so far, in bytes: getrusage(2)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
