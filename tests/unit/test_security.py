"""SECURITY.md names a test for each of its promises, and each test asserts something."""

from __future__ import annotations

import ast
import glob
import os
import re

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What fails a test, besides `assert` and `raise`: pytest.raises(), pexpect's expect(), and functions of tests/.
_CHECKS = ("raises", "expect", "expect_exact", "fail", "until")


def _read(name: str) -> str:
    with open(os.path.join(_ROOT, name), encoding="utf-8") as file:
        return file.read()


def _promises() -> list[list[tuple[str, str]]]:
    """For each promise (file, test), without a test where the file stands alone."""
    rows = _read("SECURITY.md").partition("## The promises")[2].partition("##")[0].splitlines()
    promises = []
    for row in [row for row in rows if row.startswith("| ")][1:]:
        named = re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", row.rstrip("| ").rpartition("|")[2])
        assert named and named[0][0], row
        file, found = "", []
        for each, test in named:
            file = each or file
            found.append((file, test))
        promises.append(found)
    return promises


def test_each_promise_names_tests_that_are_there() -> None:
    """`FILE::TEST`, or `::TEST` in the file that was named last; a file alone is one that has tests."""
    promises = _promises()
    assert len(promises) > 10
    for named in promises:
        for file, test in named:
            assert f"def {test or 'test_'}" in _read(file), (file, test)


def test_each_attack_is_named() -> None:
    """SECURITY.md says what each test of tests/security is about, but for those that are a control alone."""
    text = _read("SECURITY.md")
    for path in glob.glob("tests/security/test_*.py", root_dir=_ROOT):
        for each in ast.parse(_read(path)).body:
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                control = (ast.get_docstring(each) or "").startswith("The control")
                assert control or f"::{each.name}`" in text, f"SECURITY.md does not name {path}::{each.name}"


def test_each_test_asserts() -> None:
    """By itself, or by a function of its file that it calls: one that only runs something would pass whatever that
    does."""
    idle = []
    for path in glob.glob("tests/**/test_*.py", root_dir=_ROOT, recursive=True):
        functions = {each.name: each for each in ast.walk(ast.parse(_read(path))) if isinstance(each, ast.FunctionDef)}
        tests = [name for name in functions if name.startswith("test_")]
        idle += [f"{path}::{name}" for name in tests if not _asserts(functions[name], functions, set())]
    assert idle == []


def _asserts(function: ast.FunctionDef, functions: dict[str, ast.FunctionDef], seen: set[str]) -> bool:
    seen.add(function.name)
    for each in ast.walk(function):
        if isinstance(each, ast.Assert | ast.Raise):
            return True
        if isinstance(each, ast.Call):
            name = each.func.attr if isinstance(each.func, ast.Attribute) else getattr(each.func, "id", "")
            other = functions.get(name) if isinstance(each.func, ast.Name) and name not in seen else None
            if name in _CHECKS or (other and _asserts(other, functions, seen)):
                return True
    return False
