"""An environment as bytes for programs. Each format has the variables that it can hold, and the names of those that it
can't."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_docker", "as_json", "as_sh", "executed"]

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_REST = _FIRST | frozenset("0123456789")
# What a shell keeps to itself: whoever sets it is refused, and the rest of the file not read (bash, ksh, zsh).
_KEPT = frozenset({
    "BASHOPTS", "BASH_COMPAT", "BASH_VERSINFO", "BASH_XTRACEFD", "EUID", "PPID", "SHELLOPTS", "UID", "GID",
    "EGID", "ARGC", "HISTCMD", "LINENO", "TTYIDLE", "ZSH_EVAL_CONTEXT", "ZSH_SUBSHELL", "argv", "cdpath",
    "fignore", "fpath", "mailpath", "manpath", "module_path", "path", "psvar", "signals", "status", "watch",
})  # fmt: skip
# What it takes a number for, and reckons: `a[$(command)]` would be executed then.
_NUMBERS = frozenset({
    "COLUMNS", "FUNCNEST", "HISTSIZE", "KEYTIMEOUT", "LINES", "LISTMAX", "LOGCHECK", "MAILCHECK", "OPTIND",
    "PGRP", "RANDOM", "SAVEHIST", "SECONDS", "SRANDOM", "TMOUT", "USER_ID",
})  # fmt: skip
# What makes a shell, the loader, an interpreter or a program that is started next execute, load or read as its
# configuration what a container chose: bash(1), zshparam(1), ksh(1), ld.so(8), glibc's sysdeps/generic/unsecvars.h, and
# the pages of the others. A path in there may be /proc/PID/root/..., a container's own files.
_EXECUTED = frozenset({
    # Shells: commands, prompts that are expanded, startup files, functions, and how a line is taken apart.
    "CDPATH", "ENV", "EXECSHELL", "EXINIT", "FPATH", "GLOBIGNORE", "HISTFILE", "HOME", "IFS", "INPUTRC", "MAILPATH",
    "MODULE_PATH", "NULLCMD", "POSIXLY_CORRECT", "PROMPT", "PROMPT2", "PROMPT3", "PROMPT4", "PROMPT_COMMAND",
    "READNULLCMD", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SHELL", "SPROMPT", "TERMCAP", "TERMINFO", "TERMINFO_DIRS",
    "ZDOTDIR", "prompt",
    # The C library.
    "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NIS_PATH", "NLSPATH",
    "RESOLV_HOST_CONF", "RES_OPTIONS", "TMPDIR", "TZDIR",
    # Interpreters.
    "CLASSPATH", "GEM_HOME", "GEM_PATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "NODE_OPTIONS", "NODE_PATH", "PHPRC",
    "PHP_INI_SCAN_DIR", "RUBYLIB", "RUBYOPT", "RUBYSHELL", "TCLLIBPATH", "_JAVA_OPTIONS",
    # Programs that execute what a variable names, or read a file that may say so.
    "BROWSER", "CURL_HOME", "DOCKER_CONFIG", "EMACSLOADPATH", "GNUPGHOME", "GOENV", "GOFLAGS", "HISTEDIT", "FCEDIT",
    "KUBECONFIG", "LESS", "LESSCLOSE", "LESSOPEN", "MAKEFILES", "MAKEFLAGS", "MANOPT", "MFLAGS", "MYVIMRC",
    "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "TAR_OPTIONS", "VIMINIT", "VIMRUNTIME", "VISUAL", "WGETRC",
})  # fmt: skip
_EXECUTED_BEGINNINGS = (
    "BASH_", "BUNDLE_", "CARGO_", "CONTAINERS_", "CORECLR_", "COR_", "DOTNET_", "DYLD_", "ERL_", "GIT_", "GUILE_",
    "JULIA_", "LD_", "LESSKEY", "LUA_", "MALLOC_", "NPM_CONFIG_", "PERL", "PYTHON", "RUSTC", "R_", "XDG_",
    "npm_config_",
)  # fmt: skip
_EXECUTED_ENDINGS = ("ASKPASS", "EDITOR", "PAGER", "_RSH")
# Where a PATH may lead: what nobody but root writes to. Elsewhere, as in /proc/PID/root, a container could.
_PROGRAMS = ("/bin/", "/opt/", "/sbin/", "/usr/")
_LONGEST_LINE = 64 << 10  # Docker's command reads an env-file by lines of less
_MOST_DIGITS = 9


def as_sh(variables: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """Lines for `.` of any POSIX sh, `export NAME='value'`: no byte in a value means anything to it. What the variable
    then means to whoever has it is for executed() to say."""
    kept = {name: value for name, value in variables.items() if _takes(name, value)}
    lines = "".join(f"export {name}='{_quoted(value)}'\n" for name, value in kept.items())
    return lines.encode("utf-8", "surrogateescape"), [name for name in variables if name not in kept]


def executed(name: str, value: str) -> bool:
    """Could a shell that is given that variable, or a program that it starts next, execute what a container has put in
    there? By its name; of PATH, where it leads to more than the system's own directories. What a container's user
    has as HOME and SHELL counts too: startup files and commands are found by them."""
    if name == "PATH":
        return not all(_of_the_system(each) for each in value.split(":"))
    prompt = name[:2] == "PS" and name[2:].isdecimal()
    likely = name.startswith(_EXECUTED_BEGINNINGS) or name.endswith(_EXECUTED_ENDINGS)
    return prompt or likely or name in _EXECUTED


def _of_the_system(directory: str) -> bool:
    return f"{directory}/".startswith(_PROGRAMS) and ".." not in directory.split("/")


def as_docker(variables: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """Lines for `--env-file`, which takes all behind the first = as it stands. A line holds no newline and UTF-8
    alone."""
    lines = {name: f"{name}={value}" for name, value in variables.items()}
    kept = {name: line for name, line in lines.items() if _lists(name, line)}
    return "".join(f"{line}\n" for line in kept.values()).encode(), [name for name in lines if name not in kept]


def as_json(variables: object) -> bytes:
    """JSON in ASCII. A byte that is not UTF-8 is the escape of a lone surrogate, \\udc80 to \\udcff."""
    return json.dumps(variables, indent=2).encode() + b"\n"


def _takes(name: str, value: str) -> bool:
    """May a shell be given that variable?"""
    if name[0] not in _FIRST or not _REST.issuperset(name) or name in _KEPT:
        return False
    number = value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS
    return name not in _NUMBERS or number


def _quoted(value: str) -> str:
    return value.replace("'", "'\\''")


def _lists(name: str, line: str) -> bool:
    """May a line of an env-file be that?"""
    if name.startswith(("#", "\ufeff")) or any(c.isspace() for c in name) or "\n" in line or line.endswith("\r"):
        return False
    try:
        return len(line.encode()) < _LONGEST_LINE - 1
    except UnicodeEncodeError:
        return False
