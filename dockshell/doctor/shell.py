"""The person's own shell: is dockshell on PATH, does it start fast, are there completions, are the settings sound?"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys

import dockshell
from dockshell import config
from dockshell.doctor.finding import Finding, as_root
from dockshell.engines.where import configuration
from dockshell.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["findings"]

_SUBJECT = "shell"
_LARGEST = 1 << 20
_PLUGIN = "dockshell init docker"
# Where packages put completions: below which directory, and under which name. zsh knows no person's own.
_SHARED = ("/usr/local/share", "/usr/share")
_PACKAGED = {
    "bash": ("bash-completion/completions/dockshell",),
    "zsh": ("zsh/site-functions/_dockshell", "zsh/vendor-completions/_dockshell"),
    "fish": ("fish/vendor_completions.d/dockshell.fish",),
}


def findings(program: Sequence[str]) -> Iterator[Finding]:
    """program: the words that start this very dockshell."""
    yield _on_path(program)
    yield from _byte_code()
    yield _completions()
    yield from _plugin()
    yield from _config()


def _on_path(program: Sequence[str]) -> Finding:
    version = f"dockshell {dockshell.__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    found = shutil.which("dockshell")
    if not found:
        what = f"{version}: there is no dockshell on PATH, so neither completions nor you find it by name"
        return Finding(_SUBJECT, "note", what, _path_remedy(os.path.dirname(program[0])))
    if len(program) == 1 and os.path.realpath(found) != os.path.realpath(program[0]):
        what = f"{version} is {printable(program[0])}, but `dockshell` by name is another: {printable(found)}"
        return Finding(_SUBJECT, "note", what, "type -a dockshell")
    return Finding(_SUBJECT, "ok", f"{version}, on PATH as {printable(found)}")


def _path_remedy(folder: str) -> str:
    if not os.path.exists(os.path.join(folder, "dockshell")):
        return ""
    shell = _shell() or "bash"
    quoted = shlex.quote(folder)
    line = f"fish_add_path {quoted}" if shell == "fish" else f"export PATH={quoted}:$PATH"
    return f"echo {shlex.quote(line)} >> {_startup(shell)}"


def _byte_code() -> Iterator[Finding]:
    """Without it every start compiles what it imports: some tenths of a second."""
    source = os.path.abspath(dockshell.__file__)
    folder = os.path.dirname(source)
    kept = os.path.exists(importlib.util.cache_from_source(source))
    if not kept and (sys.dont_write_bytecode or not os.access(folder, os.W_OK)):
        what = "dockshell is compiled anew at every start, for its byte code is not kept"
        command = shlex.join([sys.executable, "-P", "-m", "compileall", "-q", folder])
        yield Finding(_SUBJECT, "note", what, command if os.access(folder, os.W_OK) else as_root(command))


def _completions() -> Finding:
    """By the startup file of the person's shell, else by where packages put them."""
    shell = _shell()
    if not shell:
        name = printable(os.path.basename(os.environ.get("SHELL", ""))) or "an unknown shell"
        return Finding(_SUBJECT, "ok", f"no completions, for there are none for {name}: bash, zsh and fish have them")
    startup = _startup(shell)
    path = os.path.expanduser(startup)
    own = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    shared = _SHARED if shell == "zsh" else (own, *_SHARED)
    packaged = [os.path.join(share, name) for share in shared for name in _PACKAGED[shell]]
    found = startup if "dockshell init" in _content(path) else next(filter(os.path.exists, packaged), "")
    if found:
        return Finding(_SUBJECT, "ok", f"completions for {shell}, by {printable(found)}")
    line = "dockshell init fish | source" if shell == "fish" else f'eval "$(dockshell init {shell})"'
    remedy = f"echo {shlex.quote(line)} >> {startup}"
    if not os.path.isdir(os.path.dirname(path)):
        remedy = f"mkdir -p {os.path.dirname(startup)} && {remedy}"
    return Finding(_SUBJECT, "note", f"no completions for {shell}, nor the aliases dl and dsh", remedy)


def _shell() -> str:
    """The person's own, if there are completions for it."""
    name = os.path.basename(os.environ.get("SHELL", ""))
    return name if name in _PACKAGED else ""


def _startup(shell: str) -> str:
    """The file that it reads when it starts, as one types it."""
    if shell == "bash":
        return "~/.bashrc"
    if shell == "zsh":
        folder = os.environ.get("ZDOTDIR", "")
        return f"{shlex.quote(folder)}/.zshrc" if folder else "~/.zshrc"
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    return f"{shlex.quote(folder)}/fish/config.fish" if folder else "~/.config/fish/config.fish"


def _content(path: str) -> str:
    """The file's, whatever is in it; empty for none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except OSError:
        return ""


def _plugin() -> Iterator[Finding]:
    """Docker's plugin for `docker shell`, where Docker's command is: is it there, with the Python that it takes?"""
    if not shutil.which("docker"):
        return
    path = os.path.join(configuration(), "cli-plugins", "docker-shell")
    python = re.search(r"^python=(.+)$", _content(path), re.MULTILINE)
    if not os.path.lexists(path):
        yield Finding(_SUBJECT, "note", "`docker shell` is not set up", _PLUGIN)
    elif not os.access(path, os.X_OK) or (python and not os.access(_word(python[1]), os.X_OK)):
        what = f"`docker shell` can't start, for what {printable(path)} starts is gone"
        yield Finding(_SUBJECT, "wrong", what, _PLUGIN)
    else:
        yield Finding(_SUBJECT, "ok", f"`docker shell`, by {printable(path)}")


def _word(quoted: str) -> str:
    """The first word of a line of shell, empty where it isn't one."""
    try:
        return next(iter(shlex.split(quoted)), "")
    except ValueError:
        return ""


def _config() -> Iterator[Finding]:
    try:
        if config.load() is not None:
            yield Finding(_SUBJECT, "ok", f"the settings in {printable(config.path())} make sense")
    except UsageError as error:
        yield Finding(_SUBJECT, "wrong", str(error))
