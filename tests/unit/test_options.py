"""The words of a command line: docker's own notation, and where the options end."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell import options
from dockshell.errors import UsageError
from dockshell.options import OPTIONS, VERBS, parse, usage

_SWITCHES = {"i": "interactive", "t": "tty", "T": "no_tty", "d": "detach", "n": "no_input", "v": "verbose"}
_VALUES = {"u": "user", "w": "workdir", "H": "host", "c": "context"}
_WORD = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
_VALUE = _WORD.filter(lambda word: not word.startswith("="))
_VERBS = [*VERBS, *options.DROPINS]


def _words(verb: options.Verb) -> list[str]:
    return ["web", "true"][: max(verb.least, 0)]


@given(st.lists(st.sampled_from(sorted(_SWITCHES)), min_size=1, unique=True))
def test_switches_may_stand_together(letters: list[str]) -> None:
    """`-itd` means what `-i -t -d` means, in any order."""
    together = parse(["exec", "-" + "".join(letters), "web", "true"])
    apart = parse(["exec", *("-" + letter for letter in letters), "web", "true"])
    assert together.said == apart.said == {_SWITCHES[letter]: True for letter in letters}
    assert together.words == ["web", "true"]


@given(st.sampled_from(sorted(_VALUES)), _VALUE.filter(bool))
def test_a_value_is_the_same_in_every_notation(letter: str, value: str) -> None:
    """`-u app`, `-uapp`, `-u=app`, `--user app` and `--user=app` say one thing, whatever the value looks like."""
    long = "--" + _VALUES[letter]
    notations = [
        ["-" + letter, value],
        [f"-{letter}{value}"],
        [f"-{letter}={value}"],
        [long, value],
        [f"{long}={value}"],
    ]
    for words in notations:
        arguments = parse(["exec", *words, "web", "true"])
        assert arguments.said == {_VALUES[letter]: value}, words
        assert arguments.words == ["web", "true"]


@given(st.lists(st.sampled_from(["i", "t", "n"]), unique=True), _VALUE.filter(bool))
def test_a_group_of_switches_may_end_in_a_value(letters: list[str], value: str) -> None:
    """`-itu app` and `-ituapp`: the first letter that takes a value takes the rest of the word, or the next word."""
    group = "-" + "".join(letters) + "u"
    for words in ([group, value], [group + value], [f"{group}={value}"]):
        arguments = parse(["exec", *words, "web", "true"])
        assert arguments.text("user") == value
        assert all(arguments.on(_SWITCHES[letter]) for letter in letters)


@given(st.lists(st.tuples(st.sampled_from(["-e {}", "-e{}", "-e={}", "--env {}", "--env={}"]), _VALUE.filter(bool))))
def test_a_repeatable_option_keeps_all_its_values_in_order(given: list[tuple[str, str]]) -> None:
    """`-e A=1 --env=B=2 -eC`: every notation adds to the same list."""
    words: list[str] = []
    for notation, value in given:
        option, blank, _ = notation.partition(" ")
        words += [option, value] if blank else [option.format(value)]
    assert parse(["exec", *words, "web", "true"]).texts("env") == [value for _, value in given]


@pytest.mark.parametrize(
    ("spelling", "truth"), [("true", True), ("1", True), ("T", True), ("false", False), ("0", False)]
)
@pytest.mark.parametrize(("option", "field"), [("--tty", "tty"), ("-t", "tty"), ("--interactive", "interactive")])
def test_a_switch_may_be_set_either_way(option: str, field: str, spelling: str, truth: bool) -> None:
    """`--tty=false`, as docker's switches take it."""
    assert parse(["exec", f"{option}={spelling}", "web", "true"]).on(field) is truth


def test_a_switch_takes_no_other_value() -> None:
    """`--tty=maybe` is wrong usage, and said so."""
    with pytest.raises(UsageError, match="--tty is a switch"):
        parse(["exec", "--tty=maybe", "web", "true"])


@given(st.lists(_WORD, min_size=1))
def test_every_word_after_target_is_the_commands(command: list[str]) -> None:
    """Options stand before TARGET: what follows it, be it `-u`, `--help` or `-l`, is passed on as it is."""
    arguments = parse(["exec", "-t", "web", *command]) if command != ["--"] else None
    if arguments:
        expected = command[1:] if command[0] == "--" else command
        assert arguments.words == ["web", *expected]
        assert arguments.said == {"tty": True}


@given(st.lists(_WORD, min_size=1, max_size=4))
def test_a_double_dash_before_the_command_belongs_to_nobody(command: list[str]) -> None:
    """`exec web -- CMD` runs CMD, and a second `--` is the command's own."""
    assert parse(["exec", "web", "--", *command]).words == ["web", *command]
    assert parse(["exec", "--", "web", "--", *command]).words == ["web", *command]
    assert parse(["exec", "web", "--", "--", *command]).words == ["web", "--", *command]


@pytest.mark.parametrize("spelling", ["-l", "--latest"])
def test_latest_in_targets_place(spelling: str) -> None:
    """`exec -l CMD` is about the newest container; after TARGET, -l is the command's, and no other verb takes it."""
    assert parse(["exec", "-t", spelling, "ls", "-l"]).words == ["@latest", "ls", "-l"]
    assert parse(["exec", spelling, "--", "ls"]).words == ["@latest", "ls"]
    assert parse(["exec", "web", "ls", spelling]).words == ["web", "ls", spelling]
    with pytest.raises(UsageError):
        parse(["shell", spelling])


@pytest.mark.parametrize(
    "line",
    [
        "-H unix:///x exec -it web true",
        "--host=unix:///x exec -it web true",
        "-Hunix:///x exec -it web true",
        "exec -H unix:///x -it web true",
    ],
)
def test_options_may_stand_before_the_verb(line: str) -> None:
    """As in `docker -H HOST exec …`."""
    arguments = parse(line.split())
    assert (arguments.verb, arguments.words, arguments.text("host")) == ("exec", ["web", "true"], "unix:///x")
    assert arguments.on("tty") and arguments.on("interactive")


@pytest.mark.parametrize(
    ("line", "verb", "words", "said"),
    [
        ("-p web", "shell", "web", {"pick": True}),
        ("-p -u app web", "shell", "web", {"pick": True, "user": "app"}),
        ("-p shop web", "shell", "web", {"project": "shop"}),
        ("shell -p shop -u app web", "shell", "web", {"project": "shop", "user": "app"}),
        ("-p shop exec web ls", "exec", "web ls", {"project": "shop"}),
        ("-p shop -f a.yaml exec -p b web ls", "exec", "web ls", {"project": "b", "file": ["a.yaml"]}),
        ("exec --project-name shop web ls -p", "exec", "web ls -p", {"project": "shop"}),
        ("-f status=running ls", "ls", "", {"filter": ["status=running"]}),
        ("cp -p shop web:/a b", "cp", "web:/a b", {"project": "shop"}),
    ],
)
def test_p_picks_or_names_a_project(line: str, verb: str, words: str, said: dict[str, object]) -> None:
    """-p is Compose's, before the verb too; for a shell it picks, unless more than one word follows. -f is the
    verb's."""
    arguments = parse(line.split())
    assert (arguments.verb, arguments.words, arguments.said) == (verb, words.split(), said)


@pytest.mark.parametrize(
    ("verb", "slips"),
    [
        ("exec", "exce exc execc xec eexc exac"),
        ("shell", "sh bash shel shelll enter attach"),
        ("ls", "sl lss ps"),
        ("cp", "pc cpp"),
        ("services", "service servcies"),
        ("ssh-config", "ssh-confg"),
        ("help", "hlep hel"),
        ("", "web api db app pip id logs server images demos exec1 ev dp s redis postgres worker proxy-1 żółw \x1b"),
    ],
)
def test_what_is_nearly_a_verb(verb: str, slips: str) -> None:
    """One letter is wrong, or it is what other programs call it; the usual names of containers are none."""
    assert {slip: options.nearly(slip) for slip in slips.split()} == dict.fromkeys(slips.split(), verb)


@pytest.mark.parametrize("line", ["exce web ls", "exce web", "shel -u app"])
def test_a_slip_before_other_words_is_wrong_usage(line: str) -> None:
    """The verb that was meant is named."""
    with pytest.raises(UsageError, match=r"did you mean `dockshell (exec|shell) "):
        parse(line.split())


@pytest.mark.parametrize(("prefix", "rest"), [("compose", "exec web ls"), ("container", "exec -u app web ls")])
def test_what_stands_before_dockers_exec(prefix: str, rest: str) -> None:
    """It is to be left out, and is no container."""
    with pytest.raises(UsageError, match=f"^leave out {prefix}: `dockshell exec "):
        parse([prefix, *rest.split()])


@given(st.text(max_size=12))
def test_no_verb_is_a_slip(word: str) -> None:
    """Whatever the word, what it is a slip of is a verb, and not the word itself."""
    assert options.nearly(word) in ("", *(verb for verb in VERBS if verb != word))
    assert not any(map(options.nearly, VERBS))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-D exec web true", {"debug": True}),
        ("-D=false exec web true", {"debug": False}),
        ("-Dl debug exec web true", {"debug": True, "log_level": "debug"}),
        ("-D -linfo exec web true", {"debug": True, "log_level": "info"}),
        ("-vD -H unix:///x exec web true", {"verbose": True, "debug": True, "host": "unix:///x"}),
        ("-D 1080 exec web true", {"D": ["1080"]}),
        ("-D127.0.0.1:1080 exec web true", {"D": ["127.0.0.1:1080"]}),
        ("exec -D 1080 web true", {"D": ["1080"]}),
        ("exec --log-level=warn web true", {"log_level": "warn"}),
        ("exec --no-TTY web true", {"no_tty": True}),
    ],
)
def test_a_letter_before_the_verb_is_dockers(line: str, said: dict[str, object]) -> None:
    """`docker -D -l LEVEL exec`: but a -D with an address is ssh's, as behind the verb."""
    arguments = parse(line.split())
    assert (arguments.verb, arguments.words, arguments.said) == ("exec", ["web", "true"], said)


def test_a_switch_for_the_newest_among_others() -> None:
    """`-l` may stand with other switches, and options may follow it."""
    for line in ("exec -itl -u app sh", "exec -l -it --user=app -- sh", "exec --latest=true -itu app sh"):
        arguments = parse(line.split())
        assert arguments.words == ["@latest", "sh"]
        assert arguments.said == {"interactive": True, "tty": True, "user": "app"}
    assert parse(["exec", "--latest=false", "web", "sh"]).words == ["web", "sh"]


def test_a_file_in_targets_place() -> None:
    """With --cidfile every word is the command's."""
    assert parse(["exec", "--cidfile", "id", "true"]).words == ["true"]
    assert parse(["exec", "--cidfile=id", "--", "ls", "--", "x"]).words == ["ls", "--", "x"]
    with pytest.raises(UsageError, match="usage: dockshell exec"):
        parse(["exec", "--cidfile", "id"])


@pytest.mark.parametrize(
    "line", ["", "web", "-u app web", "shell web", "-v shell -u app web", "-- exec", "shell -- ls"]
)
def test_without_a_verb_it_is_a_shell(line: str) -> None:
    """A bare TARGET opens a login shell; after `--` no word is a verb, so a container may be called `exec`."""
    assert parse(line.split()).verb == "shell"
    assert parse(line.split()).words == line.split()[-1:] * (line != "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("web ls", "dockshell exec web ls"),
        ("exec web", "usage: dockshell exec"),
        ("exec", "usage: dockshell exec"),
        ("exec --nonsense web true", "no option --nonsense: see `dockshell exec --help`"),
        ("ls --fromat x", "no option --fromat: did you mean --format? see `dockshell ls --help`"),
        ("exec -itq web true", "no option -q"),
        ("exec -u", "-u needs a value"),
        ("exec --env-file", "--env-file needs a value"),
        ("ls -t", "ls has no option -t"),
        ("shell -d web", "shell has no option -d"),
        ("init", "usage: dockshell init"),
        ("ip web api", "usage: dockshell ip"),
    ],
)
def test_wrong_usage_says_what_would_be_right(line: str, says: str) -> None:
    """Words that don't fit together are a UsageError (exit code 2) that names the right ones."""
    with pytest.raises(UsageError, match=re.escape(says)):
        parse(line.split())


@given(st.lists(_WORD))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    """No words at all bring the parser down: they are understood, or a UsageError of printable text."""
    try:
        parse(words)
    except UsageError as error:
        assert str(error).isprintable()


def _rows(verb: str) -> dict[str, str]:
    """What `VERB --help` shows of each option: its spellings with its value, and the text beside them."""
    rows = [re.match(r"  +(-.*?) {2,}(\S.*)", line) for line in usage(verb).splitlines()]
    return {row[1]: row[2] for row in rows if row}


@pytest.mark.parametrize("verb", _VERBS)
def test_help_is_short(verb: str) -> None:
    """A verb's help fits 80 columns and shows what may follow, its options in groups and an example."""
    text = usage(verb)
    assert text.startswith(("usage: dockshell ", "usage: docker-"))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "\nexample: " in text
    headings = [line.removesuffix(":") for line in text.splitlines() if re.fullmatch(r"[a-z ]+:", line)]
    assert headings == [name for name in options.GROUPS if name in headings]
    assert headings[-1] == "general"


@pytest.mark.parametrize("verb", _VERBS)
def test_help_has_a_row_for_each_option(verb: str) -> None:
    """Each option that the verb takes has a row of its own with what it does, and no row is about a second one; only
    those that are there for docker's sake have none."""
    shown = _rows(verb)
    spelled = [re.findall(r"(?<!\S)--?[A-Za-z][a-z-]*", row) for row in shown]
    taken = [each for each in OPTIONS if options.taken(each, verb)]
    own = [[name for name in each.names if options.option(name, verb) is each] for each in taken if not each.hidden]
    assert spelled == own
    assert {name for names in spelled for name in names} <= {name for each in taken for name in each.names}
    for text in shown.values():
        assert not re.search(r"; -|: those in it", text), text


@pytest.mark.parametrize("verb", _VERBS)
def test_every_option_that_help_shows_is_taken(verb: str) -> None:
    """Each spelling in the table, with its value if it has one, parses for that verb and is kept under its name."""
    known = {**VERBS, **options.DROPINS}[verb]
    for spelled, help in _rows(verb).items():
        names = re.findall(r"(?<!\S)--?[A-Za-z][a-z-]*", spelled)
        value = spelled.rpartition(" ")[2] if not spelled.rpartition(" ")[2].startswith("-") else ""
        for name in names:
            if name in ("-l", "--latest"):  # in TARGET's place
                continue
            given = "json" if value == "json" else "value"  # the one that is taken
            words = [name, *([given] if value else []), *_words(known)]
            arguments = parse(words, verb) if verb in options.DROPINS else parse([verb, *words])
            found = options.option(name, verb)
            assert found and bool(found.value) == bool(value)
            if found.field in ("json", "format"):
                continue  # each means the other
            assert arguments.said == {found.field: [given] if found.many else (given if value else True)}
            assert found.help == help


_WITH_JSON = [verb for verb in VERBS if "json" in VERBS[verb].options]


@pytest.mark.parametrize("verb", _WITH_JSON)
def test_json_is_asked_for_in_either_way(verb: str) -> None:
    """`--json` and `--format json` are the same to every verb that knows one of them, and another format beside it
    is refused."""
    said = [parse([verb, *form.split(), *_words(VERBS[verb])]).said for form in ("--json", "--format json")]
    assert said[0] == said[1] == ({"format": "json"} if verb in ("ls", "env") else {"json": True})
    with pytest.raises(UsageError, match="--format"):
        parse([verb, "--json", "--format", "sh", *_words(VERBS[verb])])


def test_who_prints_json() -> None:
    """All that print facts."""
    assert set(_WITH_JSON) == {"exec", "ls", "ip", "pid", "latest", "config", "tools", "doctor", "services", "env"}
    assert not [verb for verb in VERBS if ("json" in VERBS[verb].options) != ("format" in VERBS[verb].options)]


@pytest.mark.parametrize("verb", ["ip", "pid", "config", "doctor", "tools", "env"])
def test_options_may_follow_the_words(verb: str) -> None:
    """`dockshell ip web --json`: nothing that follows there could be a command's own."""
    assert parse([verb, "web", "--json"]).words == ["web"]


@pytest.mark.parametrize("verb", _VERBS)
def test_the_example_in_help_parses(verb: str) -> None:
    """What help shows as an example is a line of that verb that is accepted as it stands."""
    example = usage(verb).rpartition("example: ")[2]
    if verb in options.DROPINS:
        program, *words = shlex.split(example.replace("`dl`", "4711"))
        assert program == verb
        assert parse(words, verb).words
        return
    line = re.search(r"dockshell [^`\")]+", example)
    assert line
    assert parse(shlex.split(line[0])[1:]).verb == verb


@pytest.mark.parametrize("verb", ["cp", "proxy", "serve", "forward"])
def test_help_offers_the_ways_that_the_verb_takes(verb: str) -> None:
    """Not those of sessions."""
    assert _rows(verb)["--via ROUTE"].startswith("auto (the default), nsenter")


def test_the_whole_help_names_every_verb() -> None:
    """`dockshell --help` leads to each verb and none of the hidden ones, and fits a terminal of 80 by 24, with a line
    left for the prompt."""
    words = re.findall(r"[a-z-]+", usage().partition("verbs:")[2].partition("TARGET is")[0])
    assert set(VERBS) <= set(words)
    assert all(len(line) <= 80 for line in usage().splitlines())
    assert len(usage().splitlines()) <= 23
    assert not any(verb in usage() for verb in options.HIDDEN)
