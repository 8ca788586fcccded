"""`./dev fuzz [NAME…] [SECONDS]`: these targets, or all of them, for so many seconds each."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import TARGETS
from tests.fuzz.running import AT_ONCE, FOUND, Outcome, fuzz

_SECONDS = 60
_BEHIND = 10  # by how much nicer fuzzers are than the tests that they run beside: nice(1)


def main(words: list[str]) -> int:
    """→ the exit code: 1 where there was a finding. `--into DIR` in front: for tests/fuzz/conftest.py, each outcome
    becomes a file there, and nothing is kept to go on with."""
    into = Path(words[1]) if words[:1] == ["--into"] else None
    words = words[2:] if into else words
    seconds = int(words.pop()) if words and words[-1].isdecimal() else _SECONDS
    if not TARGETS.keys() >= set(words):
        print(f"usage: ./dev fuzz [NAME...] [SECONDS]\nNAME: {', '.join(sorted(TARGETS))}", file=sys.stderr)
        return 2
    if into:
        os.nice(_BEHIND)

    def one(name: str) -> Outcome:
        outcome = fuzz(name, seconds, kept=None if into else FOUND / "kept" / name)
        if into:
            outcome.write(into / name)
        else:
            print(outcome, flush=True)
        return outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(one, words or sorted(TARGETS)))
    return 1 if any(outcome.finding for outcome in outcomes) else 0


sys.exit(main(sys.argv[1:]))
