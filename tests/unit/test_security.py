"""SECURITY.md names a test for each of its promises."""

from __future__ import annotations

import os
import re

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _read(name: str) -> str:
    with open(os.path.join(_ROOT, name), encoding="utf-8") as file:
        return file.read()


def test_each_promise_names_tests_that_are_there() -> None:
    """`FILE::TEST`, or `::TEST` in the file that was named last; a file alone is one that has tests."""
    rows = _read("SECURITY.md").partition("## The promises")[2].partition("##")[0].splitlines()
    promises = [row for row in rows if row.startswith("| ")][1:]
    assert len(promises) > 10
    for row in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", row.rstrip("| ").rpartition("|")[2])
        assert named and named[0][0], row
        content = ""
        for file, test in named:
            content = _read(file) if file else content
            assert f"def {test or 'test_'}" in content, (file, test)
