"""The process that fuzzes one target: `python -P -m tests.fuzz.child NAME` and libFuzzer's own arguments."""

from __future__ import annotations

import ctypes
import signal
import sys

import atheris  # type: ignore[import-untyped,unused-ignore]

from tests.fuzz import PLANTED, TARGETS, checked


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with who started it
    name, *arguments = sys.argv[1:]
    target = TARGETS.get(name, PLANTED)
    # What is imported in here is instrumented: tests.fuzz itself imports none of it.
    with atheris.instrument_imports(include=["dockshell", *target.instrumented]):
        function = target.load(name)
    atheris.Setup([sys.argv[0], *arguments], lambda data: checked(function, data))
    atheris.Fuzz()


main()
