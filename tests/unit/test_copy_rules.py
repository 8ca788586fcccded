"""cp's rules of what goes where, beside the real cp: the same words on the same small trees. Directories take no
option; without one it is `cp -rH`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockshell.commands.cp import Copy
from dockshell.copy.words import parse as parse_operand
from dockshell.options import parse

_SHM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# A tree of everything that the rules tell apart.
_TREE = {
    "file": "1",
    "other": "2",
    "dir/x": "3",
    "dir/sub/y": "4",
    "dir/up": "-> ../file",
    "dir/gone": "-> nowhere",
    "full/x": "5",
    "full/dir/sub/z": "6",
    "full/sub": "7",
    "empty/": "",
    "tofile": "-> file",
    "todir": "-> dir",
    "tofull": "-> full",
    "dangling": "-> nowhere",
}
_SOURCES = (
    "file", "other", "dir", "dir/", "dir/.", "dir/..", "dir/sub", "full", "full/sub", "empty", "empty/.", "tofile",
    "todir", "todir/", "dangling", "missing", "file/", "./dir/x", "full/x",
)  # fmt: skip
_LANDINGS = (
    "new", "new/", "file", "other", "dir/", "full", "full/.", "empty/new", "missing/new", "file/new", "tofile", "todir",
    "tofull/new", "dangling", "full/x", "dir/sub",
)  # fmt: skip


@pytest.fixture(scope="module")
def _places() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=_SHM) as place:
        yield Path(place)


def _grow(place: Path) -> None:
    for path, content in _TREE.items():
        where = place / path
        where.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            where.mkdir()
        elif content.startswith("-> "):
            where.symlink_to(content.removeprefix("-> "))
        else:
            where.write_text(content)


def _seen(place: Path) -> dict[str, str]:
    found = {}
    for directory, names, files in os.walk(place):
        for name in (*names, *files):
            path = Path(directory, name)
            what = f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
            found[str(path.relative_to(place))] = what
    return found


def _ours(words: list[str]) -> int:
    arguments = parse(["cp", *words])
    *sources, last = map(parse_operand, arguments.words)
    from dockshell.errors import DockshellError

    try:
        return Copy(arguments).run(sources, last)
    except DockshellError as error:
        return error.exit_code


def _into_itself(source: str, landing: str) -> bool:
    """Is the landing in the source? Then cp copies a part, or without end, and says that it failed; we copy nothing."""
    above = os.path.realpath(source)
    below = os.path.realpath(landing if os.path.isdir(landing) else os.path.dirname(landing.rstrip("/")))
    return os.path.isdir(source) and os.path.commonpath([above, below]) == above


def _compare(place: Path, options: list[str], sources: list[str], landing: str) -> None:
    words = [*options, *sources, landing]
    seen, codes = [], []
    for which in ("theirs", "ours"):
        root = place / which
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        _grow(root)
        before = os.getcwd()
        os.chdir(root)
        try:
            copied = [each for each in sources if options in ([], ["-rL"]) or not os.path.islink(each)]
            if any(_into_itself(each, landing) for each in copied):
                assert _ours(words) == 1
                return
            if which == "theirs":
                argv = ["cp", *([] if options else ["-rH"]), *words]
                done = subprocess.run(argv, capture_output=True, check=False, text=True)
                codes.append(done.returncode)
            else:
                codes.append(_ours(words))
        finally:
            os.chdir(before)
        seen.append(_seen(root))
    assert codes[1] == codes[0], f"cp {words} ends with {codes[0]}, and ours with {codes[1]}"
    assert seen[1] == seen[0], f"cp {words}: {done.stderr}"


@pytest.mark.parametrize("landing", _LANDINGS)
@pytest.mark.parametrize("options", [[], ["-r"], ["-a"], ["-rL"]], ids=lambda words: "".join(words) or "plain")
def test_one_source(_places: Path, options: list[str], landing: str) -> None:
    """Each kind of source to each kind of destination."""
    for source in _SOURCES:
        _compare(_places, options, [source], landing)


_DIRECTORIES = {
    "dir": "dir", "dir/": "dir", "dir/.": "dir", "todir": "dir", "todir/": "dir", "dir/sub": "dir/sub", "dir/..": "",
    "full": "full", "empty": "empty", "empty/.": "empty",
}  # fmt: skip


def _twice(sources: list[str]) -> bool:
    """Is a directory among them under two names, or also below another? cp then says that it would have to link it."""
    named = [_DIRECTORIES[each] for each in set(sources) if each in _DIRECTORIES]
    return any(f"{a}/".startswith(f"{b}/" if b else "") for a, b in permutations(named, 2))


@given(
    options=st.sampled_from([[], ["-r"], ["-a"]]),
    sources=st.lists(st.sampled_from(_SOURCES), min_size=2, max_size=4).filter(lambda sources: not _twice(sources)),
    landing=st.sampled_from(_LANDINGS),
)
@settings(max_examples=60, deadline=None)
def test_several_sources(options: list[str], sources: list[str], landing: str) -> None:
    """Any of them together."""
    with tempfile.TemporaryDirectory(dir=_SHM) as place:
        _compare(Path(place), options, sources, landing)
