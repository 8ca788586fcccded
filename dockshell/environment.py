"""Container + Command + the container's files → what exactly to start: who, where, with which environment and login
shell.

The ssh route leaves most of this to sshd; nsenter and exec both start from here, which is what keeps them equal.
"""

from __future__ import annotations

from dockshell.errors import NoShell, UsageError
from dockshell.identity import Identity, resolve
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dockshell.engines import Files
    from dockshell.model import Command, Container

__all__ = [
    "DEFAULT_PATH",
    "SHELLS",
    "Extra",
    "Start",
    "by_login_shell",
    "configured",
    "files_environment",
    "has_shell",
    "identity_of",
    "login_shell",
    "prepare",
]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the engines' own (moby oci/defaults)
SHELLS = tuple(
    directory + shell
    for shell in ("bash", "zsh", "ash", "sh")
    for directory in ("/bin/", "/usr/bin/", "/usr/local/bin/")
)
# baseimage-docker keeps these out of /etc/container_environment, for they belong to a user and not to the container.
_PERSONAL = frozenset({"HOME", "USER", "LOGNAME", "GROUP", "UID", "GID", "SHELL"})
_NOWHERE = ("", "/bin/false", "/sbin/nologin", "/usr/bin/false", "/usr/sbin/nologin")


@noun(frozen=True)
class Start:
    """argv: what to execute, the first word as the container's PATH finds it; shell: the login shell's path, empty for
    a command; by_shell: the path of the shell that was chosen to be it or to run the command, empty for none;
    environment: (name, value) pairs with distinct names; directories: the first of them that can be entered
    is where to start."""

    identity: Identity
    argv: tuple[bytes, ...]
    shell: str
    environment: tuple[tuple[str, str], ...]
    directories: tuple[str, ...]
    by_shell: str = ""

    def paths(self) -> list[str]:
        """Where execvp(3) looks for the program."""
        directory, word = self.directories[0], (self.shell or _text((self.argv or (b"",))[0]))
        if "/" in word:
            return [_below(directory, word)]
        search = dict(self.environment).get("PATH", "")
        return [_below(_below(directory, folder or "."), word) for folder in search.split(":")]


@noun(frozen=True)
class Extra:
    """What a toolbox adds to what is there inside. path: directories to end PATH with; shell: the path of a shell that
    serves as login shell where the container has none."""

    path: tuple[str, ...]
    shell: str


def prepare(
    container: Container,
    command: Command,
    files: Files,
    initial: Iterable[str] | None = None,
    *,
    names_only: bool = False,
    extra: Extra | None = None,
) -> Start:
    """initial: what process 1 was started with, for `--env-from init`; None takes the configured environment.
    names_only: the engine itself finds the user's and groups' numbers, so that only the user's name, home and shell are
    looked up, for the environment. extra: what a toolbox adds.

    Raises UserError, NoShell, UsageError.
    """
    identity = identity_of(container, command, files, names_only)
    spare = extra.shell if extra else ""
    known = command.login or command.by_login
    shell = login_shell(identity, files, command.shell, spare, command.not_shells) if known else ""
    argv, by_shell = command.argv, shell
    if command.line:
        argv, by_shell = _reader(command, identity, files, spare)
    if command.by_login:
        argv = by_login_shell(shell, argv, files, command.not_shells)
        by_shell = _text(argv[0])
    environment = configured(container) if initial is None else _pairs(initial)
    if known:
        environment.update(files_environment(files))
    personal = {
        "HOME": identity.home,
        "USER": identity.name,
        "LOGNAME": identity.name,
        "SHELL": shell or identity.shell or "/bin/sh",
    }
    foreign = bool(command.user) and command.user != container.user
    for name, value in personal.items():
        if value and (foreign or name not in environment):
            environment[name] = value
    if known and not any(name == "LANG" or name.startswith("LC_") for name in environment):
        environment.update(command.languages)
    environment.update(command.env)
    if extra:
        environment["PATH"] = ":".join((*filter(None, (environment.get("PATH", ""),)), *extra.path))
    directories: tuple[str, ...] = (container.directory or "/",)
    if command.directory:
        directories = (command.directory,)
    elif not command.argv or command.by_login:
        directories = (environment.get("HOME", "/"), "/")
    shell = "" if command.by_login else shell
    return Start(identity, argv, shell, tuple(environment.items()), directories, by_shell)


_LARGE = 16 << 20


def identity_of(container: Container, command: Command, files: Files, names_only: bool = False) -> Identity:
    """Who the command runs as; see prepare(). Raises UserError."""
    words = command.user or container.user
    passwd = files.read("/etc/passwd", _LARGE) or b""
    if names_only and ":" not in command.user:  # a group that is asked for now is looked up, to say so if it is none
        return resolve(words.partition(":")[0], passwd, b"")
    groups = container.groups + (() if command.user else container.user_groups)
    return resolve(words, passwd, files.read("/etc/group", _LARGE) or b"", groups)


def configured(container: Container) -> dict[str, str]:
    """The environment that the engine gives each of the container's processes."""
    environment = {"PATH": DEFAULT_PATH}
    if container.hostname:
        environment["HOSTNAME"] = container.hostname
    environment.update(_pairs(container.env))
    return environment


def files_environment(files: Files) -> dict[str, str]:
    """A baseimage's /etc/container_environment: a file per variable, one trailing newline not counted."""
    found = {}
    for name in files.names("/etc/container_environment"):
        value = files.read("/etc/container_environment/" + name)
        if value is not None and name not in _PERSONAL and "=" not in name and b"\0" not in value:
            found[name] = value.removesuffix(b"\n").decode("utf-8", "surrogateescape")
    return found


def login_shell(
    identity: Identity, files: Files, wanted: str = "", spare: str = "", excepted: tuple[str, ...] = ()
) -> str:
    """The wanted one if it is there (a name), else the user's own shell where it can be executed, else the first of
    bash, zsh, ash and sh that is there, else the spare one. A shell that turns logins away (nologin, false) does not
    count: whoever may use the engine may log in. excepted: those that don't count either. Raises NoShell."""
    preferred = [shell for shell in SHELLS if wanted and shell.endswith("/" + wanted)]
    for shell in (*preferred, identity.shell, *SHELLS):
        if shell not in (*_NOWHERE, *excepted) and shell.startswith("/") and files.executable(shell):
            return shell
    if spare and spare not in excepted:
        return spare
    raise NoShell(
        ("no shell inside can be started" if excepted else "there is no shell inside")
        + ": bring one with `--via toolbox`, or run a program that is there with `dockshell exec TARGET PROGRAM`"
    )


def by_login_shell(
    shell: str, argv: tuple[bytes, ...], files: Files, excepted: tuple[str, ...] = ()
) -> tuple[bytes, ...]:
    """The words that have a login shell run argv in its own place: that shell, or where its language is another
    (fish), the first that is there. Old dash knows no -l: there the files of a login are read by name."""
    name = shell.rpartition("/")[2]
    if name not in _BOURNE:
        shell = next((each for each in SHELLS if each not in excepted and files.executable(each)), shell)
        name = shell.rpartition("/")[2]
    path = shell.encode("utf-8", "surrogateescape")
    if name in ("sh", "dash"):
        return (path, b"-c", _PROFILES + b'exec "$@"', path, *argv)
    return (path, b"-l", b"-c", b'exec "$@"', path, *argv)


_BOURNE = ("bash", "zsh", "ash", "sh", "dash", "ksh", "mksh")
_PROFILES = b'[ -r /etc/profile ] && . /etc/profile; [ -r "$HOME/.profile" ] && . "$HOME/.profile"; '


def has_shell(files: Files) -> bool:
    """Is there any of bash, zsh, ash and sh? Looks first where one nearly always is."""
    return files.executable("/bin/sh") or any(files.executable(shell) for shell in SHELLS)


def _reader(command: Command, identity: Identity, files: Files, spare: str) -> tuple[tuple[bytes, ...], str]:
    """Who reads the command's line: the user's own shell, else another that is there → the words, and that shell's
    path; where there is none the line is taken for plain words. Raises UsageError where it is more than that."""
    line = command.line
    try:
        shell = login_shell(identity, files, spare=spare, excepted=command.not_shells)
        return (shell.encode("utf-8", "surrogateescape"), b"-c", line), shell
    except NoShell:
        import shlex

        try:
            words = shlex.split(line.decode("utf-8", "surrogateescape"))
        except ValueError:
            words = []
        if not words:
            raise UsageError("there is no shell inside to read that line: give plain words") from None
        return tuple(word.encode("utf-8", "surrogateescape") for word in words), ""


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _below(directory: str, path: str) -> str:
    return path if path.startswith("/") else f"{directory}/{path}"


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {name: value for name, equals, value in (text.partition("=") for text in texts) if equals and name}
