"""The verbs and their options, as one table: it is parsed by, completed from and shown as help.

Why not argparse: its import costs the hot path 9 ms, and it can't stop at TARGET the way `docker exec` does, where
every later word is the command's. The notation is Docker's (pflag): `-it`, `-uapp`, `-u app`, `--user app`,
`--user=app`, `--tty=false`."""

from __future__ import annotations

from dockshell.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DROPINS",
    "ENTERING",
    "GROUPS",
    "MIXED",
    "OPTIONS",
    "VERBS",
    "Arguments",
    "Option",
    "Verb",
    "before_verb",
    "nearly",
    "option",
    "parse",
    "taken",
    "usage",
]


class Option:
    """names: all spellings that help shows, the one that it leads with first; also: others that are taken; value: what
    help calls its value, empty for a switch; help: one line; many: may be given several times; hidden: not shown by
    help; only: the verbs that mean this by a spelling which others have, too."""

    def __init__(
        self,
        names: str,
        value: str,
        help: str,
        *,
        many: bool = False,
        hidden: bool = False,
        only: str = "",
        also: str = "",
    ) -> None:
        self.names = tuple(names.split())
        self.also = tuple(also.split())
        self.value = value
        self.help = help
        self.many = many
        self.hidden = hidden
        self.only = tuple(only.split())

    @property
    def field(self) -> str:
        """The name under which Arguments keeps it: the long spelling's."""
        return max(self.names, key=len).lstrip("-").replace("-", "_")


# By what they are about; within a group, those that are used most come first. Help shows one option a row.
GROUPS: dict[str, tuple[Option, ...]] = {
    "options": (
        Option("-u --user", "USER", "user name or UID, with :GROUP if needed"),
        Option("-u --user", "USER", "who connects to Unix sockets (name or UID)", only="forward"),
        Option("-w --workdir", "DIR", "working directory inside the container"),
        Option("-e --env", "K[=V]", "set an environment variable", many=True),
        Option("--env-file", "FILE", "set the variables in FILE, one per line", many=True),
        Option("-i --interactive", "", "pass stdin to the command (the default)"),
        Option("-n --no-input", "", "give the command no stdin"),
        Option("-t --tty", "", "allocate a terminal (the default at a terminal)"),
        Option("-T --no-tty", "", "allocate no terminal"),
        Option("-d --detach", "", "start the command and return at once"),
        Option("-l --latest", "", "the newest running container, in place of TARGET"),
        Option("-p --pick", "", "pick the container from a list"),
        Option("--via", "ROUTE", "auto (the default), ssh, nsenter, exec or toolbox"),
        Option("--via", "ROUTE", "auto (the default), nsenter or exec", only="cp proxy serve"),
        Option("--via", "ROUTE", "auto (the default), nsenter, address or exec", only="forward"),
        Option("--detach-keys", "KEYS", "keys to leave the command running: ctrl-p,ctrl-q"),
        Option("--preserve-fds", "N", "pass on N more file descriptors, from 3 on", hidden=True),
        Option("--preserve-fd", "FD[,FD]", "pass on these file descriptors", many=True, hidden=True),
        Option("--cidfile", "FILE", "the container whose id is in FILE, in place of TARGET", hidden=True),
        # ls
        Option("-a --all", "", "show stopped containers, too", only="ls"),
        Option("-n --last", "N", "show the N containers created last, in any state", only="ls"),
        Option("-l --latest", "", "show the container created last, in any state", only="ls"),
        Option("-q --quiet", "", "show ids only", only="ls"),
        Option("-q --quiet", "", "draw no progress bar", only="cp"),
        Option("--no-trunc", "", "show everything in full, ids as well"),
        Option("-f --filter", "K=V", "as docker's: status, name, label, ancestor, ...", many=True),
        Option("--watch", "", "redraw as things change, until Ctrl-C"),
        # ssh-config and init
        Option("--install", "", "add it to ~/.ssh/config, once"),
        Option("--remove", "", "remove what was installed"),
        # forward
        Option("--open", "", "open the first port in the browser"),
        # serve
        Option("--listen", "ADDR:PORT", "where to listen (127.0.0.1:2222)"),
        Option("--authorized-keys", "FILE", "who may log in, as in sshd's file"),
        Option("--log", "FILE", "append the log to FILE (default: stderr)"),
        Option("--most", "N", "connections at the same time (by memory; 200)"),
        Option("--sessions", "N", "sessions at the same time (by memory; 500)"),
        # image
        Option("--from", "IMAGE", "image to build on (debian:bookworm-slim)", only="image"),
        Option("-t --tag", "NAME", "name of the new image", only="image"),
        Option("--ssh", "", "add an SSH server, off until enabled", only="image"),
        Option("--cron", "", "add cron", only="image"),
        Option("--syslog", "", "add a syslog; the container's log gets it, too", only="image"),
        Option("--service", "DIR", "add a service: DIR/run, run by runit", many=True, only="image"),
        Option("--startup", "FILE", "add a script that runs before the services", many=True, only="image"),
        Option("-e --env", "K=V", "set an environment variable", many=True, only="image"),
        Option("--no-python", "", "leave out Python, my_init and setuser", only="image"),
        Option("-o --output", "DIR", "write the Dockerfile and its files to DIR", only="image"),
        # env
        Option("--from", "WHAT", "config, init, files or a PID; A,B: the difference", only="env"),
        Option("--format", "FORMAT", "sh, json, docker (an env-file) or dir (with -o)", only="env"),
        Option("-o --output", "DIR", "directory that --format dir writes", only="env"),
        Option("--show", "", "show secrets, which are masked otherwise", only="env"),
        # services
        Option("--follow", "", "with log: print new lines until Ctrl-C", only="services"),
        # several
        Option("--json", "", "print JSON"),
        Option("--format", "json", "the same as --json"),
        Option("--format", "FORMAT", "json, table or a template: '{name} {image}'", only="ls"),
    ),
    "Compose": (
        Option("-p --project", "NAME", "project that TARGET is a service of", also="--project-name"),
        Option("-f --file", "FILE", "compose file of the project", many=True),
        Option("--index", "N", "number of the replica, as in web:N"),
    ),
    "session": (
        Option("--login", "", "run the command from a login shell"),
        Option("--timeout", "SECONDS", "end the command after that time, with 124; 5m, 2h"),
        Option("--tools", "WHAT", "bring programs along, from a directory or an image"),
        Option("--env-from", "WHAT", "config (the default), or init: process 1's variables"),
        Option("--privileged", "", "give the command all capabilities"),
        Option("--cap", "NAME", "give it one more capability, such as SYS_PTRACE", many=True),
        Option("--record", "FILE", "record the session, for asciinema"),
        Option("--record-input", "", "record what is typed, too"),
        Option("--stopped", "", "enter a copy of a container that is stopped"),
        Option("--keep", "", "with --stopped: save the copy as an image"),
        Option("--unpause", "", "unpause a paused container for the session"),
    ),
    "several containers": (
        Option("-a --all", "", "run it in every running container", only="exec"),
        Option("--label", "K[=V]", "run it in every container with this label", many=True),
        Option("--service", "NAME", "run it in every container of a Compose service", many=True),
        Option("-j --jobs", "N", "how many at the same time"),
        Option("--group", "", "print each container's output in one piece"),
        Option("--json", "", "print a line of JSON for each container", only="exec"),
        Option("--format", "json", "the same as --json", only="exec"),
    ),
    "ssh": (
        Option("--key", "FILE", "private key to log in with"),
        Option("--port", "N", "port of the container's sshd"),
        Option("-A", "", "forward the ssh agent"),
        Option("-L", "FORWARD", "[BIND:]PORT:HOST:HOSTPORT, from here to inside", many=True),
        Option("-R", "FORWARD", "[BIND:]PORT:HOST:HOSTPORT, from inside to here", many=True),
        Option("-D", "[BIND:]PORT", "SOCKS proxy here that connects from inside", many=True),
    ),
    "files": (
        Option("-r -R --recursive", "", "copy a link that is named as SRC as a link"),
        Option("-a --archive", "", "the same; keep owners, setuid bits, devices"),
        Option("-L --follow-link", "", "follow symbolic links in SRC"),
        Option("--chown", "USER", "owner of the copies: name or UID, and :GROUP"),
    ),
    "engine": (
        Option("-H --host", "HOST", "address: unix://, tcp:// or ssh://"),
        Option("-c --context", "NAME", "Docker context to use"),
        Option("--config", "DIR", "directory of the Docker client's configuration (~/.docker)", hidden=True),
        Option("--tls", "", "use TLS with a tcp:// engine", hidden=True),
        Option("--tlsverify", "", "use TLS, and verify the engine's certificate", hidden=True),
        Option("--tlscacert", "FILE", "certificates to trust (ca.pem in that directory)", hidden=True),
        Option("--tlscert", "FILE", "certificate of the client (cert.pem in that directory)", hidden=True),
        Option("--tlskey", "FILE", "private key of the client (key.pem in that directory)", hidden=True),
        Option("--url", "URL", "address of Podman's service", hidden=True),
        Option("--connection", "NAME", "Podman connection to use", hidden=True),
        Option("--identity", "FILE", "private key for Podman's service at ssh://", hidden=True),
    ),
    "general": (
        Option("-v --verbose", "", "say what was found and which way in was taken"),
        Option("--debug", "", "show tracebacks of errors"),
        Option("--log-level", "LEVEL", "debug or trace: as -v; other levels change nothing", hidden=True),
        Option(
            "--ansi --parallel --profile --progress",
            "VALUE",
            "accepted for docker compose, no effect",
            many=True,
            hidden=True,
        ),
        Option("--compatibility --remote", "", "accepted for docker compose and podman, no effect", hidden=True),
        Option("-h --help", "", "show this help"),
        Option("--version", "", "show the version", hidden=True),
    ),
}
OPTIONS = tuple(each for group in GROUPS.values() for each in group)


_ONLY_JSON = "json"  # the value of a --format that takes nothing else


# What Go's strconv.ParseBool knows, and so what docker's switches take.
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def option(spelling: str, verb: str = "") -> Option | None:
    """The option that is spelled so (`-u`, `--user`); of several the one that the verb has."""
    spelled = [each for each in OPTIONS if spelling in each.names or spelling in each.also]
    own = _KNOWN[verb].options if verb in _KNOWN else ()
    fitting = [each for each in spelled if each.field in own and (not each.only or verb in each.only)]
    # What one verb alone means by it comes before what all others mean.
    return max(fitting, key=lambda each: bool(each.only), default=spelled[0] if spelled else None)


def taken(which: Option, verb: str) -> bool:
    """Does the verb take that option, and by its spelling no other one?"""
    return which.field in _KNOWN[verb].options and option(which.names[-1], verb) is which


_ENGINE = (
    "host", "context", "config", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey", "url", "connection", "identity",
    "verbose", "debug", "log_level", "help",
)  # fmt: skip
ENTERING = (
    "via", "user", "workdir", "env", "env_file", "env_from", "interactive", "no_input", "tty", "no_tty", "detach",
    "privileged", "cap", "tools", "key", "port", "A", "L", "R", "D", "detach_keys", "preserve_fds",
    "preserve_fd", "parallel", "compatibility", *_ENGINE,
)  # fmt: skip


class Verb:
    """words: what may follow the options, as usage shows it. count: the least and the most of them (most -1: any
    number). options: the fields of those that it takes. note: what help says besides."""

    def __init__(
        self,
        summary: str,
        words: str,
        example: str,
        count: tuple[int, int],
        options: tuple[str, ...],
        note: str = "",
    ) -> None:
        self.summary = summary
        self.words = words
        self.example = example
        self.least, self.most = count
        self.options = options
        self.note = note


_WHICH = ("project", "file", "index")
_NOT_RUNNING = ("stopped", "keep", "unpause")
_RECORD = ("record", "record_input")
_SHELL = (*(name for name in ENTERING if name != "detach"), *_NOT_RUNNING, *_RECORD, "pick", *_WHICH)
_JSON = ("json", "format")
_MANY = ("all", "label", "service", "jobs", "group", *_JSON)
VERBS = {
    "shell": Verb("open a login shell in a container", "[TARGET]", "dockshell shell -u app web", (0, 1), _SHELL),
    "exec": Verb(
        "run a command in a container, or in several",
        "TARGET [--] CMD [ARG...]",
        "dockshell exec web -- ls -l /",
        (2, -1),
        (*ENTERING, "login", "timeout", *_NOT_RUNNING, *_RECORD, *_MANY, "latest", "cidfile", *_WHICH),
        "TARGET may be several containers, as in web,'api-*'; with --all, --label or\n--service there is no TARGET.",
    ),
    "ls": Verb(
        "list containers, and the ways into each",
        "",
        "dockshell ls",
        (0, 0),
        ("all", "last", "latest", "quiet", "no_trunc", "filter", *_JSON, "watch", *_ENGINE),
    ),
    "latest": Verb(
        "print the newest running container's id", "", "docker-bash `dockshell latest`", (0, 0), (*_JSON, *_ENGINE)
    ),
    "ip": Verb(
        "print a container's addresses, one per line",
        "[TARGET]",
        "ping `dockshell ip web`",
        (0, 1),
        (*_JSON, *_WHICH, *_ENGINE),
    ),
    "pid": Verb(
        "print the PID of a container's first process on the host",
        "[TARGET]",
        "sudo strace -p `dockshell pid web`",
        (0, 1),
        (*_JSON, *_WHICH, *_ENGINE),
    ),
    "cp": Verb(
        "copy files into, out of and between containers",
        "SRC... DST",
        "dockshell cp app.conf web:/etc/",
        (2, -1),
        ("recursive", "archive", "follow_link", "chown", "quiet", "via", *_WHICH, *_ENGINE),
        "SRC and DST: TARGET:/PATH in a container, a path here (./a:b), or - for a tar\n"
        "archive on stdin or stdout. Quote patterns of files inside: 'web:/tmp/*.log'.\n"
        "Directories are copied whole. Copies belong to the container's user; modes,\n"
        "times, links, holes and user.* attributes are kept.",
    ),
    "tools": Verb(
        "name programs to bring into containers",
        "list|add|remove ...",
        "dockshell tools add nicolaka/netshoot",
        (1, 3),
        (*_JSON, *_ENGINE),
        "list: show the names, and whether what they stand for is there.\n"
        "add DIR|IMAGE [NAME]: name a directory (./DIR) or an image that the engine has.\n"
        "remove NAME: forget the name; the directory or image stays.\n"
        "`shell` and `exec` take --tools NAME; by default they bring a static busybox.",
    ),
    "proxy": Verb(
        "speak SSH on stdin and stdout, for ProxyCommand",
        "[TARGET]",
        'ssh -o ProxyCommand="dockshell proxy web" .@web',
        (0, 1),
        ("via", "project", "index", *_ENGINE),
    ),
    "forward": Verb(
        "forward a container's ports and Unix sockets to this machine",
        "TARGET [BIND:]PORT[:PORT]...",
        "dockshell forward web 8080:80",
        (2, -1),
        ("via", "user", "open", *_WHICH, *_ENGINE),
        "80: the same port here and inside; 8080:80: port 8080 here, 80 inside; :80: any\n"
        "free port here. A path in place of a port is a Unix socket: 8080:/run/app.sock.\n"
        "BIND is the address to listen on (127.0.0.1). Ctrl-C ends it.",
    ),
    "serve": Verb(
        "run an SSH server that leads into containers, for a team",
        "",
        "dockshell serve --authorized-keys ~/team_keys",
        (0, 0),
        ("listen", "authorized_keys", "log", "most", "sessions", "via", *_ENGINE),
    ),
    "ssh": Verb(
        "switch the sshd of a baseimage container on or off",
        "enable|disable|status [TARGET]",
        "dockshell ssh enable web",
        (1, 2),
        (*_WHICH, *_ENGINE),
        "status exits with 0 if an sshd listens inside, and with 3 if none does.\n"
        "For ssh to containers without an sshd, see `dockshell ssh-config`.",
    ),
    "ssh-config": Verb(
        "set up ~/.ssh/config for `ssh TARGET.dockshell`",
        "",
        "dockshell ssh-config --install",
        (0, 0),
        ("install", "remove", "host", "context", "debug", "help"),
        "Without an option it prints the lines that --install adds.",
    ),
    "doctor": Verb(
        "find out what is wrong, and how to fix it",
        "[TARGET]",
        "dockshell doctor web",
        (0, 1),
        (*_JSON, *_WHICH, *_ENGINE),
        "With TARGET it also tries each way in. It exits with 1 if something is wrong.",
    ),
    "services": Verb(
        "show and control the services in a container",
        "[TARGET] [NAME ACTION]",
        "dockshell services web nginx restart",
        (0, 3),
        (*_JSON, "follow", *_WHICH, *_ENGINE),
        "Services of runit, s6 and supervisord. ACTION: up, down, restart, status or log.",
    ),
    "env": Verb(
        "show the environment of a container's processes",
        "[TARGET]",
        "dockshell env web --from config,init",
        (0, 1),
        ("from", *_JSON, "output", "show", *_WHICH, *_ENGINE),
        "--from config: as configured; init: what process 1 was started with; files: what\n"
        "is in /etc/container_environment; PID: what that process was started with.",
    ),
    "image": Verb(
        "build an image with an init, and if asked SSH, cron, services",
        "build|dockerfile",
        "dockshell image build --ssh -t base",
        (1, 1),
        ("from", "tag", "ssh", "cron", "syslog", "service", "startup", "env", "no_python", "output", *_ENGINE),
        "build: build the image. dockerfile: print its Dockerfile, or with -o write it to\n"
        "DIR together with the files that it copies.",
    ),
    "config": Verb(
        "show the settings of the config file",
        "[TARGET]",
        "dockshell config web",
        (0, 1),
        (*_JSON, *_WHICH, *_ENGINE),
        "With TARGET: those that apply to that container.",
    ),
    "init": Verb(
        "print completions and aliases for your shell, or install `docker shell`",
        "bash|zsh|fish|docker",
        'eval "$(dockshell init bash)"',
        (1, 1),
        ("remove", "help"),
        "bash, zsh, fish: print completions and the aliases dl and dsh.\n"
        "docker: install `docker shell`, or with --remove uninstall it.",
    ),
    "demo": Verb("try a session in a container made for it", "", "dockshell demo", (0, 0), _ENGINE),
    "help": Verb("show the help of dockshell or of a verb", "[VERB]", "dockshell help exec", (0, 1), ("help",)),
    "version": Verb("print the version", "", "dockshell version", (0, 0), ("help",)),
}
# Asked by the completion scripts alone; not a word that people need to see.
HIDDEN = {
    name: Verb("complete the last of WORDS", "[--] WORDS...", "", (0, -1), ("help",))
    for name in ("__complete", "__complete-docker")
}
# Programs of their own.
DROPINS = {
    "docker-bash": Verb(
        "open a login shell or run a command in a container",
        "CONTAINER [CMD...]",
        "docker-bash `dl`",
        (1, -1),
        ENTERING,
    ),
    "docker-ssh": Verb(
        "open a login shell or run a command by SSH, as root",
        "CONTAINER [CMD...]",
        "docker-ssh web 'ls | wc -l'",
        (1, -1),
        ENTERING,
    ),
}


# Verbs after whose words options may still come, as after those of cp; in the others a command's own begin there.
MIXED = ("cp", "ip", "pid", "config", "doctor", "init", "image", "services", "env", "tools")
_KNOWN = {**VERBS, **HIDDEN, **DROPINS}
# What a letter means before the verb, where docker's own options stand; behind it, it is another's.
_BEFORE_VERB = {"D": "--debug", "l": "--log-level"}
_OTHERWISE = {"--no-TTY": "--no-tty"}  # as older Composes spell it
_UNSUPPORTED = {
    "--dry-run": "leave it out: `dockshell exec` does what it says",
    "--project-directory": "name the project by -p, or its file by -f",
}


class Arguments:
    """What the words said. Switches are True, False or None (not said), values text, repeatable ones lists of text in
    order. bare: a TARGET stands where a verb might. An --env-file before `exec` is docker compose's own, and kept as
    compose_env_file."""

    def __init__(self, verb: str, *, bare: bool = False) -> None:
        self.verb = verb
        self.bare = bare
        self.words: list[str] = []
        self.said: dict[str, bool | str | list[str]] = {}

    def text(self, field: str) -> str:
        """The value of an option that was given once at the most, empty if it wasn't."""
        value = self.said.get(field, "")
        return value if isinstance(value, str) else ""

    def texts(self, field: str) -> list[str]:
        """The values of an option that may be repeated."""
        value = self.said.get(field, [])
        return value if isinstance(value, list) else []

    def on(self, field: str) -> bool | None:
        """What a switch was set to; None if it wasn't said."""
        value = self.said.get(field)
        return value if isinstance(value, bool) else None

    def targeted(self) -> bool:
        """For exec: is a TARGET among the words?"""
        return not self.everywhere() and not self.said.get("cidfile")

    def everywhere(self) -> bool:
        """For exec: is there no TARGET among the words, but options that choose the containers?"""
        return self.verb == "exec" and any(self.said.get(field) for field in ("all", "label", "service"))


def parse(words: Sequence[str], verb: str = "", before: int = 0) -> Arguments:
    """Words (without the program's name) → Arguments. A leading verb may follow options; with none it is a shell. verb:
    given, where the program's name was one; before: so many of the words stood before it. Raises UsageError."""
    arguments = Arguments(verb or "shell", bare=not verb)
    rest = list(words)
    given: list[Option] = []
    operands: list[str] = []
    while rest:
        word = rest[0]
        if word == "--":
            arguments.bare = False
            rest.pop(0)
            break
        if not word.startswith("-") or word == "-":
            if not verb and (word in VERBS or word in HIDDEN):
                # Once more from the beginning: what stands before the verb are its options.
                before = len(words) - len(rest)
                return parse([*words[:before], *rest[1:]], word, before)
            if verb not in MIXED:
                break
            operands.append(rest.pop(0))
            continue
        if word == "-p" and arguments.verb == "shell" and len(rest) > 2 and not rest[1].startswith("-"):
            rest[0] = "--project"  # a shell to pick a container for takes one word at the most
        leading = len(words) - len(rest) < before
        given += _take(rest, arguments, leading=leading or not verb)
        if leading and verb == "exec" and "env_file" in arguments.said:
            files = [*arguments.texts("compose_env_file"), *arguments.texts("env_file")]
            arguments.said["compose_env_file"] = files
            del arguments.said["env_file"]
    known = _KNOWN[arguments.verb]
    for each in given:
        if each.field not in known.options and each.field != "version":
            raise UsageError(f"{arguments.verb} has no option {each.names[0]}: see `dockshell {arguments.verb} --help`")
    _settle_json(arguments)
    latest = ["@latest"] if arguments.verb == "exec" and arguments.said.pop("latest", False) else []
    rest = latest + operands + rest
    aimed = arguments.verb in ("exec", *DROPINS) and arguments.targeted()
    arguments.words = _after_target(rest) if aimed else rest
    least = known.least - (not arguments.targeted())
    asked = arguments.on("help") or arguments.on("version")
    if not asked and not (least <= len(arguments.words) and (known.most < 0 or len(arguments.words) <= known.most)):
        raise UsageError(_miscounted(arguments, known))
    return arguments


def _settle_json(arguments: Arguments) -> None:
    """--json and --format json are the same: a verb with formats of its own finds it in `format`, others in `json`.
    Raises UsageError."""
    form = arguments.text("format")
    own = option("--format", arguments.verb)
    if own and own.value != _ONLY_JSON:
        if arguments.on("json") and form not in ("", "json"):
            raise UsageError("--json and --format don't go together: give one of them")
        if arguments.said.pop("json", False):
            arguments.said["format"] = "json"
    elif form:
        if form != "json":
            raise UsageError(f"{arguments.verb} takes --format json, and no other; not {printable(form)!r}")
        arguments.said.setdefault("json", True)
        del arguments.said["format"]


# What other programs call it; a word that is all too good a name for a container is not among them.
_ALIASES = {"sh": "shell", "bash": "shell", "attach": "shell", "enter": "shell", "ps": "ls"}
_DOCKERS_PREFIXES = ("compose", "container")  # what may stand in front of docker's `exec`
_SHOWN = 4  # words of a line that an error repeats
_SHORT = 3  # letters: so short a verb is near to many a name


def nearly(word: str) -> str:
    """The verb that the word is a slip of, empty for none: one letter is missing, is another, is there twice or has
    changed places with its neighbour. One more at the end makes a word of its own (`images`, `server`)."""
    if word in VERBS or not word.replace("-", "").isalpha():
        return ""
    return _ALIASES.get(word) or next((verb for verb in VERBS if _slip(word, verb)), "")


def _slip(word: str, verb: str) -> bool:
    longer, shorter = (word, verb) if len(word) > len(verb) else (verb, word)
    if len(longer) - len(shorter) > 1 or word in ("", verb):
        return False
    at = next((number for number, letter in enumerate(shorter) if letter != longer[number]), len(shorter))
    if len(word) == len(verb):
        swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
        return swapped == verb or (len(verb) > _SHORT and word[at + 1 :] == verb[at + 1 :])
    if shorter[at:] != longer[at + 1 :]:
        return False
    if longer is word:
        twice = longer[at] == longer[at - 1] if at else False
        return twice or (len(verb) > _SHORT and at < len(shorter))
    return len(verb) > _SHORT


def _after_target(rest: list[str]) -> list[str]:
    """A -- between TARGET and the command is for the eye and belongs to neither."""
    return rest[:1] + rest[2:] if rest[1:2] == ["--"] else rest


def _miscounted(arguments: Arguments, known: Verb) -> str:
    if arguments.verb == "shell" and len(arguments.words) > 1:
        target, word = map(printable, arguments.words[:2])
        if arguments.bare and (meant := nearly(target)):
            more = " ..." if len(arguments.words) > _SHOWN else ""
            words = " ".join(map(printable, arguments.words[1:_SHOWN]))
            return f"{target} is not a verb; did you mean `dockshell {meant} {words}{more}`?"
        if arguments.bare and target in _DOCKERS_PREFIXES and word == "exec":
            words = " ".join(map(printable, arguments.words[1:_SHOWN]))
            return f"leave out {target}: `dockshell {words} ...`"
        return f"a shell takes no command: `dockshell exec {target} {word} ...` runs one in the container {target}"
    spoken = arguments.verb if arguments.verb in DROPINS else f"dockshell {arguments.verb}"
    return f"usage: {spoken} [OPTIONS] {known.words}".rstrip() + f", as in `{known.example}`"


def _take(rest: list[str], arguments: Arguments, leading: bool) -> list[Option]:
    """Takes one word of options, with the value that follows if there must be one, off the front of `rest`. leading: no
    verb has come yet."""
    word = rest.pop(0)
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if name in _UNSUPPORTED:
            raise UsageError(f"{name} is not supported: {_UNSUPPORTED[name]}")
        found = option(_OTHERWISE.get(name, name), arguments.verb)
        if found is None:
            raise UsageError(_unknown(name, arguments.verb))
        _set(arguments, found, value if equals else None, rest)
        return [found]
    taken = []
    letters = word[1:]
    while letters:
        value = letters[1:].removeprefix("=") or (rest[0] if rest else "")
        found = before_verb(letters[0], value) if leading else None
        found = found or option("-" + letters[0], arguments.verb)
        if found is None:
            raise UsageError(_unknown("-" + letters[0], arguments.verb))
        taken.append(found)
        letters = letters[1:]
        if found.value:
            _set(arguments, found, letters.removeprefix("=") if letters else None, rest)
            break
        if letters.startswith("="):
            _set(arguments, found, letters[1:], rest)
            break
        _set(arguments, found, None, rest)
    return taken


def _unknown(spelling: str, verb: str) -> str:
    """The sentence about an option that there is not: the one that was meant, if it is near one that the verb has."""
    from difflib import get_close_matches

    # Without the dashes, by which all are alike.
    names = [name[2:] for each in OPTIONS if not each.hidden and taken(each, verb) for name in each.names]
    near = get_close_matches(spelling[2:], filter(None, names), n=1) if spelling.startswith("--") else []
    meant = f"did you mean --{near[0]}? " if near else ""
    spoken = verb if verb in DROPINS else f"dockshell {verb}"
    return f"no option {printable(spelling)}: {meant}see `{spoken} --help`"


def before_verb(letter: str, value: str) -> Option | None:
    """What docker means by that letter, which is another option of ours behind the verb: None for any other letter, and
    for a -D with an address, [BIND:]PORT. value: what follows it."""
    spelling = _BEFORE_VERB.get(letter, "")
    address = letter == "D" and value.rpartition(":")[2].isdecimal()
    return option(spelling) if spelling and not address else None


def _set(arguments: Arguments, found: Option, value: str | None, rest: list[str]) -> None:
    if not found.value:
        if value is not None and value not in _TRUE and value not in _FALSE:
            raise UsageError(f"{found.names[-1]} is a switch: it takes =true or =false at the most")
        arguments.said[found.field] = value is None or value in _TRUE
        return
    if value is None:
        if not rest:
            raise UsageError(f"{found.names[0]} needs a value: {found.value}")
        value = rest.pop(0)
    if found.many:
        arguments.said[found.field] = [*arguments.texts(found.field), value]
    else:
        arguments.said[found.field] = value


# It fits a terminal of 80 by 24, and names every verb.
_TOP = """usage: dockshell [OPTIONS] [TARGET]   open a login shell in a container
       dockshell VERB [OPTIONS] ...

common verbs:
  shell [TARGET]                 open a login shell, as with no verb
  exec TARGET CMD [ARG...]       run a command in a container, or in several
  ls                             list containers, and the ways into each
  cp SRC... DST                  copy files into, out of and between containers
  forward TARGET PORT[:PORT]...  forward a container's ports to this machine
  doctor [TARGET]                find out what is wrong, and how to fix it
other verbs:
  about a container    ip, pid, latest, env, services, config
  ssh to containers    ssh, ssh-config, proxy, serve
  setting up           init, image, tools, demo, help, version

TARGET is a name, the beginning of an id or name, a Compose service (web, web:2,
  project/web), label:K=V, pid:N or @latest (the newest one, and the default);
  docker://, podman:// or kernel:// in front of it chooses the engine.

The options of each verb: dockshell help VERB
example: dockshell exec -u root web ls -l /"""


def usage(verb: str = "") -> str:
    """The help of a verb, or of the whole for an empty one."""
    if not verb:
        return _TOP
    known = _KNOWN[verb]
    spoken = verb if verb in DROPINS else f"dockshell {verb}"
    lines = [
        f"usage: {spoken} [OPTIONS] {known.words}".rstrip(),
        f"{known.summary[0].upper()}{known.summary[1:]}.",
    ]
    shown = {name: [each for each in group if not each.hidden and taken(each, verb)] for name, group in GROUPS.items()}
    width = max(len(_spelled(each, verb)) for group in shown.values() for each in group)
    for name, group in shown.items():
        if group:
            lines += ["", f"{name}:"]
            lines += [f"  {_spelled(each, verb):{width}}  {each.help}" for each in group]
    note = ["", known.note] if known.note else []
    return "\n".join([*lines, *note, "", f"example: {known.example}"])


def _spelled(which: Option, verb: str) -> str:
    """As help has it, without what the verb means another by: the long spellings stand below one another."""
    names = [name for name in which.names if option(name, verb) is which]
    before = "    " if names[0].startswith("--") else ""
    return before + ", ".join(names) + (f" {which.value}" if which.value else "")
