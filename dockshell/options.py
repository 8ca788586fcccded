"""The verbs and their options, as one table: it is parsed by, completed from and shown as help.

Why not argparse: its import costs the hot path 9 ms, and it can't stop at TARGET the way `docker exec` does, where
every later word is the command's. The notation is Docker's (pflag): `-it`, `-uapp`, `-u app`, `--user app`,
`--user=app`, `--tty=false`."""

from __future__ import annotations

from dockshell.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DROPINS", "ENTERING", "OPTIONS", "VERBS", "Arguments", "Option", "Verb", "option", "parse", "usage"]


class Option:
    """names: all spellings, the one that help leads with first; value: what help calls its value, empty for a switch;
    help: one line; many: may be given several times; hidden: not shown by help; only: the verb that means this by a
    spelling which others have, too."""

    def __init__(
        self, names: str, value: str, help: str, *, many: bool = False, hidden: bool = False, only: str = ""
    ) -> None:
        self.names = tuple(names.split())
        self.value = value
        self.help = help
        self.many = many
        self.hidden = hidden
        self.only = only

    @property
    def field(self) -> str:
        """The name under which Arguments keeps it: the long spelling's."""
        return max(self.names, key=len).lstrip("-").replace("-", "_")


OPTIONS = (
    Option("--via", "ROUTE", "auto (the default), ssh, nsenter, exec or toolbox"),
    Option("-u --user", "USER", "NAME or UID, and :GROUP if need be (as configured)"),
    Option("-w --workdir", "DIR", "where to start (as configured; a login: HOME)"),
    Option("-e --env", "K[=V]", "sets a variable; --env-file FILE: those in it", many=True),
    Option("--env-file", "FILE", "sets the variables in FILE, a line each", many=True, hidden=True),
    Option("--env-from", "WHAT", "config (the default), or init: as process 1 got it"),
    Option("-i --interactive", "", "passes input on (the default)", hidden=True),
    Option("-n --no-input", "", "gives the command no input; -i: it does (the default)"),
    Option("-t --tty", "", "makes a terminal (the default at one); -T: makes none"),
    Option("-T --no-tty", "", "makes none", hidden=True),
    Option("-d --detach", "", "starts the command and returns; --login: by a shell"),
    Option("--login", "", "the command by a login shell, with what that knows", hidden=True),
    Option("--stopped", "", "a stand-in for a stopped one; --keep: keeps changes"),
    Option("--keep", "", "makes an image of a stand-in that was changed", hidden=True),
    Option("--unpause", "", "has a paused one go on for the session"),
    Option("--privileged", "", "all capabilities; --cap NAME: one, as SYS_PTRACE"),
    Option("--cap", "NAME", "one capability more", many=True, hidden=True),
    Option("--tools", "WHAT", "brings a directory's or image's programs along"),
    Option("--key", "FILE", "private key for the ssh route; --port N: the sshd's"),
    Option("--port", "N", "the sshd's port inside, for the ssh route", hidden=True),
    Option("--install", "", "puts it into ~/.ssh/config, once"),
    Option("--remove", "", "takes it out again"),
    Option("--open", "", "opens the first port in the browser"),
    Option("--listen", "ADDR:PORT", "where to listen (127.0.0.1:2222)"),
    Option("--authorized-keys", "FILE", "who may come in, as sshd has it, with container="),
    Option("--log", "FILE", "appends the journal to it (stderr)"),
    Option("--most", "N", "connections at once (200)"),
    Option("-A", "", "passes the ssh agent on, for the ssh route"),
    Option("-L", "FORWARD", "[BIND:]PORT:HOST:HOSTPORT from here inside; -R: back", many=True),
    Option("-R", "FORWARD", "the same, from inside here", many=True, hidden=True),
    Option("-D", "[BIND:]PORT", "listens here for SOCKS, connects inside", many=True),
    Option("--detach-keys", "KEYS", "taken for docker's sake: there are no detach keys", hidden=True),
    Option("-l --latest", "", "in TARGET's place: the newest running container", hidden=True),
    Option("-H --host", "HOST", "the engine's address: unix://, tcp:// or ssh://"),
    Option("-c --context", "NAME", "the Docker context to use"),
    Option("-r -R --recursive", "", "copies directories with what is in them"),
    Option("-a --archive", "", "-r, and keeps owners, setuid bits, devices"),
    Option("-L --follow-link", "", "follows links in SRC"),
    Option("--chown", "USER", "whose the copies become: NAME or UID, and :GROUP"),
    Option("-p --pick", "", "lists what runs, to pick from as you type"),
    Option("--record", "FILE", "a recording for asciinema; --record-input: keys, too"),
    Option("--record-input", "", "what is typed, too", hidden=True),
    Option("-a --all", "", "also those that do not run"),
    Option("--label", "K[=V]", "every one with that label", many=True, hidden=True),
    Option("--service", "NAME", "every one of that Compose service", many=True, hidden=True),
    Option("-j --jobs", "N", "so many at a time", hidden=True),
    Option("--group", "", "each one's output in one piece", hidden=True),
    Option("--json", "", "as JSON, for programs"),
    Option("-q --quiet", "", "ids only"),
    Option("-f --filter", "K=V", "as docker's: status, name, label, ancestor, ...", many=True),
    Option("--format", "FORMAT", "json, or a template: '{name} {image}'"),
    Option("--watch", "", "draws it anew as things change, until Ctrl-C"),
    Option("--from", "IMAGE", "what to build on (debian:bookworm-slim)", only="image"),
    Option("-t --tag", "NAME", "the new image's name", only="image"),
    Option("--ssh", "", "an SSH server, off until it is asked for", only="image"),
    Option("--cron", "", "cron", only="image"),
    Option("--syslog", "", "a syslog, which goes to the container's log, too", only="image"),
    Option("--service", "DIR", "a service: DIR/run, supervised by runit", many=True, only="image"),
    Option("--startup", "FILE", "a script that runs before the services", many=True, only="image"),
    Option("-e --env", "K=V", "sets a variable", many=True, only="image"),
    Option("--no-python", "", "tini and runit alone: no my_init, no setuser", only="image"),
    Option("-o --output", "DIR", "where dockerfile writes what is to be committed", only="image"),
    Option("--from", "WHAT", "config, init, files or a PID inside; A,B: the diff", only="env"),
    Option("--format", "FORMAT", "sh, json, docker (an env-file) or dir, which takes -o", only="env"),
    Option("-o --output", "DIR", "the directory that --format dir writes", only="env"),
    Option("--show", "", "shows secrets, which are masked", only="env"),
    Option("--follow", "", "with log: goes on with what is written, until Ctrl-C", only="services"),
    Option("-v --verbose", "", "tells what was found and which way was taken"),
    Option("--debug", "", "shows tracebacks"),
    Option("-h --help", "", "shows this"),
    Option("--version", "", "prints the version", hidden=True),
)


# What Go's strconv.ParseBool knows, and so what docker's switches take.
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def option(spelling: str, verb: str = "") -> Option | None:
    """The option that is spelled so (`-u`, `--user`); of several the one that the verb has."""
    spelled = [each for each in OPTIONS if spelling in each.names]
    own = _KNOWN[verb].options if verb in _KNOWN else ()
    fitting = [each for each in spelled if each.field in own and each.only in ("", verb)]
    # What one verb alone means by it comes before what all others mean.
    return max(fitting, key=lambda each: each.only, default=spelled[0] if spelled else None)


_ENGINE = ("host", "context", "verbose", "debug", "help")
ENTERING = (
    "via", "user", "workdir", "env", "env_file", "env_from", "interactive", "no_input", "tty", "no_tty", "detach",
    "privileged", "cap", "tools", "key", "port", "A", "L", "R", "D", "detach_keys", *_ENGINE,
)  # fmt: skip


class Verb:
    """words: what may follow the options, as usage shows it. count: the least and the most of them (most -1: any
    number). options: the fields of those that it takes. note: what help says besides; noted: the options that
    it says it of, which have no row of their own."""

    def __init__(
        self,
        summary: str,
        words: str,
        example: str,
        count: tuple[int, int],
        options: tuple[str, ...],
        note: str = "",
        noted: tuple[str, ...] = (),
    ) -> None:
        self.summary = summary
        self.words = words
        self.example = example
        self.least, self.most = count
        self.options = options
        self.note = note
        self.noted = noted


_NOT_RUNNING = ("stopped", "keep", "unpause")
_RECORD = ("record", "record_input")
_SHELL = (*(name for name in ENTERING if name not in ("detach", "detach_keys")), *_NOT_RUNNING, *_RECORD, "pick")
_MANY = ("all", "label", "service", "jobs", "group", "json")
VERBS = {
    "shell": Verb("a login shell in a container", "[TARGET]", "dockshell shell -u app web", (0, 1), _SHELL),
    "exec": Verb(
        "one command in a container",
        "TARGET [--] CMD [ARG...]",
        "dockshell exec web -- ls -l /",
        (2, -1),
        (*ENTERING, "login", *_NOT_RUNNING, *_RECORD, *_MANY, "latest"),
        "In many: TARGET is a list with patterns (web,api-*), or in its place --all,\n"
        "--label K[=V] or --service NAME. -j N: so many at a time. --group: the output\n"
        "of each in one piece. --json: a line for each, with output and exit code.",
        _MANY,
    ),
    "ls": Verb(
        "what can be reached, and how",
        "",
        "dockshell ls",
        (0, 0),
        ("all", "quiet", "filter", "format", "watch", *_ENGINE),
    ),
    "latest": Verb("prints the newest running container's id", "", "docker-bash `dockshell latest`", (0, 0), _ENGINE),
    "ip": Verb("prints a container's addresses, a line each", "[TARGET]", "ping `dockshell ip web`", (0, 1), _ENGINE),
    "pid": Verb(
        "prints the host's pid of its first process",
        "[TARGET]",
        "sudo strace -p `dockshell pid web`",
        (0, 1),
        _ENGINE,
    ),
    "cp": Verb(
        "files into a container, out of one, or across",
        "SRC... DST",
        "dockshell cp app.conf web:/etc/",
        (2, -1),
        ("recursive", "archive", "follow_link", "chown", "via", *_ENGINE),
        "SRC and DST: TARGET:/PATH in a container, a path here (./a:b), or - for a tar on\n"
        "stdin or stdout. Patterns inside are expanded inside: 'web:/var/log/*.log'.\n"
        "Copies belong to the container's user; modes, times, links, holes and user.*\n"
        "attributes are kept. Ways: nsenter, by this kernel, as root; exec: the engine's.",
    ),
    "tools": Verb(
        "names for programs to bring into containers",
        "list|add|remove ...",
        "dockshell tools add nicolaka/netshoot",
        (1, 3),
        _ENGINE,
        "list shows what is kept, and whether it can be brought.\n"
        "add DIR|IMAGE [NAME]: a directory (./DIR), or an image that the engine has.\n"
        "remove NAME: the name goes, and what it stands for stays.\n"
        "`shell` and `exec` bring what stands behind NAME; with none, a static busybox.",
    ),
    "proxy": Verb(
        "SSH on stdin and stdout, for ProxyCommand",
        "[TARGET]",
        'ssh -o ProxyCommand="dockshell proxy web" .@web',
        (0, 1),
        ("via", *_ENGINE),
    ),
    "forward": Verb(
        "a container's ports and Unix sockets, here",
        "TARGET [BIND:]PORT[:PORT]...",
        "dockshell forward web 8080:80",
        (2, -1),
        ("via", "user", "open", *_ENGINE),
        "PORT: the same here and inside; 8080:80: here, inside; :80: any free one here.\n"
        "A path in either place is a Unix socket's: 8080:/run/app.sock. BIND: an address\n"
        "to listen on (127.0.0.1). It ends with Ctrl-C, or with the container.\n"
        "ROUTE is auto, nsenter, address or exec here; USER counts at Unix sockets.",
    ),
    "serve": Verb(
        "an SSH server into containers, for a team",
        "",
        "dockshell serve --authorized-keys ~/team_keys",
        (0, 0),
        ("listen", "authorized_keys", "log", "most", "via", *_ENGINE),
    ),
    "ssh": Verb(
        "switches a baseimage's own sshd on or off",
        "enable|disable|status [TARGET]",
        "dockshell ssh enable web",
        (1, 2),
        _ENGINE,
        "status ends with 0 where an sshd listens inside, with 3 where none does.\n"
        "A container without one can be reached by `dockshell ssh-config` all the same.",
    ),
    "ssh-config": Verb(
        "~/.ssh/config for `ssh TARGET.dockshell`",
        "",
        "dockshell ssh-config --install",
        (0, 0),
        ("install", "remove", "host", "context", "debug", "help"),
        "Prints it, unless told to install or remove it; then `ssh web.dockshell` works.",
    ),
    "doctor": Verb(
        "what is wrong here, and what mends it",
        "[TARGET]",
        "dockshell doctor web",
        (0, 1),
        ("json", *_ENGINE),
        "With a TARGET also each way into it. It ends with 1 where something is wrong.",
    ),
    "services": Verb(
        "the services inside, and what they last wrote",
        "[TARGET] [NAME ACTION]",
        "dockshell services web nginx restart",
        (0, 3),
        ("json", "follow", *_ENGINE),
        "Those of runit, s6 and supervisord. ACTION: up, down, restart, status or log.",
    ),
    "env": Verb(
        "the environment of a container's processes",
        "[TARGET]",
        "dockshell env web --from config,init",
        (0, 1),
        ("from", "format", "output", "show", *_ENGINE),
        "config: as it was configured; init: as process 1 got it; files: what is in\n"
        "/etc/container_environment; PID: as that process got it.",
    ),
    "image": Verb(
        "an image worth logging in to",
        "build|dockerfile",
        "dockshell image build --ssh -t base",
        (1, 1),
        ("from", "tag", "ssh", "cron", "syslog", "service", "startup", "env", "no_python", "output", *_ENGINE),
        "build makes it. dockerfile prints its Dockerfile; with -o DIR it goes there,\nwith all that goes in.",
    ),
    "config": Verb(
        "what the config file says, and where",
        "[TARGET]",
        "dockshell config web",
        (0, 1),
        _ENGINE,
        "With a TARGET: what holds for that container.",
    ),
    "init": Verb(
        "prints completions and the aliases dl, dsh",
        "bash|zsh|fish|docker",
        'eval "$(dockshell init bash)"',
        (1, 1),
        ("remove", "help"),
        "docker: puts `docker shell` in place, or takes it away again (--remove).",
    ),
    "demo": Verb("the main job, in a container made for it", "", "dockshell demo", (0, 0), _ENGINE),
}
# Asked by the completion scripts alone; not a word that people need to see.
HIDDEN = {
    name: Verb("completes the last of WORDS", "[--] WORDS...", "", (0, -1), ("help",))
    for name in ("__complete", "__complete-docker")
}
# Programs of their own.
DROPINS = {
    "docker-bash": Verb(
        "a login shell or a command in a container", "CONTAINER [CMD...]", "docker-bash `dl`", (1, -1), ENTERING
    ),
    "docker-ssh": Verb(
        "the same by SSH, as root", "CONTAINER [CMD...]", "docker-ssh web 'ls | wc -l'", (1, -1), ENTERING
    ),
}


_KNOWN = {**VERBS, **HIDDEN, **DROPINS}


class Arguments:
    """What the words said. Switches are True, False or None (not said), values text, repeatable ones lists of text in
    order."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
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

    def everywhere(self) -> bool:
        """For exec: is there no TARGET among the words, but options that choose the containers?"""
        return self.verb == "exec" and any(self.said.get(field) for field in ("all", "label", "service"))


def parse(words: Sequence[str], verb: str = "") -> Arguments:
    """Words (without the program's name) → Arguments. A leading verb may follow options; with none it is a shell. verb:
    given, where the program's name was one. Raises UsageError."""
    arguments = Arguments(verb or "shell")
    rest = list(words)
    given: list[Option] = []
    operands: list[str] = []
    while rest:
        word = rest[0]
        if word == "--":
            rest.pop(0)
            break
        if not word.startswith("-") or word == "-":
            if not verb and (word in VERBS or word in HIDDEN):
                verb = arguments.verb = rest.pop(0)
                continue
            if verb not in ("cp", "init", "image", "services", "env"):
                break
            operands.append(rest.pop(0))  # these verbs' own words end no options, as everywhere where one types cp
            continue
        if word in ("-l", "--latest") and verb == "exec":
            rest[0] = "@latest"
            break
        given += _take(rest, arguments)
    known = _KNOWN[arguments.verb]
    for each in given:
        if each.field not in known.options and each.field != "version":
            raise UsageError(f"{arguments.verb} has no option {each.names[0]}: see `dockshell {arguments.verb} --help`")
    rest = operands + rest
    aimed = arguments.verb in ("exec", *DROPINS) and not arguments.everywhere()
    arguments.words = _after_target(rest) if aimed else rest
    least = known.least - arguments.everywhere()
    asked = arguments.on("help") or arguments.on("version")
    if not asked and not (least <= len(arguments.words) and (known.most < 0 or len(arguments.words) <= known.most)):
        raise UsageError(_miscounted(arguments, known))
    return arguments


def _after_target(rest: list[str]) -> list[str]:
    """A -- between TARGET and the command is for the eye and belongs to neither."""
    return rest[:1] + rest[2:] if rest[1:2] == ["--"] else rest


def _miscounted(arguments: Arguments, known: Verb) -> str:
    if arguments.verb == "shell" and len(arguments.words) > 1:
        target, word = map(printable, arguments.words[:2])
        return f"a shell takes no words after {target}: for a command there is `dockshell exec {target} {word} ...`"
    spoken = arguments.verb if arguments.verb in DROPINS else f"dockshell {arguments.verb}"
    return f"usage: {spoken} [OPTIONS] {known.words}".rstrip() + f", as in `{known.example}`"


def _take(rest: list[str], arguments: Arguments) -> list[Option]:
    """Takes one word of options, with the value that follows if there must be one, off the front of `rest`."""
    word = rest.pop(0)
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        found = option(name, arguments.verb)
        if found is None:
            raise UsageError(f"no option {printable(name)}: see `dockshell --help`")
        _set(arguments, found, value if equals else None, rest)
        return [found]
    taken = []
    letters = word[1:]
    while letters:
        found = option("-" + letters[0], arguments.verb)
        if found is None:
            raise UsageError(f"no option -{printable(letters[0])}: see `dockshell --help`")
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


_TOP = """usage: dockshell [OPTIONS] [TARGET]   a login shell; no TARGET: in the newest
       dockshell VERB [OPTIONS] ...

verbs:"""
_BELOW = """
TARGET: a name, an id, a Compose service or project/service (web:2: a replica),
        the beginning of a name, label:K=V, pid:N or @latest;
        docker://, podman:// or kernel:// in front picks the engine

example: dockshell web
Each verb's options: dockshell VERB --help"""


def usage(verb: str = "") -> str:
    """The help of a verb, or of the whole for an empty one."""
    if not verb:
        verbs = [_row(f"{name} {each.words}", each.summary) for name, each in VERBS.items()]
        return "\n".join((_TOP, *verbs, _BELOW))
    known = _KNOWN[verb]
    spoken = verb if verb in DROPINS else f"dockshell {verb}"
    lines = [
        f"usage: {spoken} [OPTIONS] {known.words}".rstrip(),
        f"{known.summary[0].upper()}{known.summary[1:]}.",
        "",
        "options:",
    ]
    for each in OPTIONS:
        shown = each.field in known.options and each.field not in known.noted and not each.hidden
        if shown and option(each.names[-1], verb) is each:
            spelled = ", ".join(each.names) + (f" {each.value}" if each.value else "")
            lines.append(f"  {spelled:24} {each.help}")
    note = ["", known.note] if known.note else []
    return "\n".join([*lines, *note, "", f"example: {known.example}"])


def _row(words: str, summary: str) -> str:
    """What is too long for its column has a line of its own."""
    return f"  {words:30} {summary}" if len(words) <= 30 else f"  {words}\n{'':33}{summary}"
