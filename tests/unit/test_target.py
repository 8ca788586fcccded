"""The grammar of TARGET, and which containers its words fit."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import UsageError
from dockshell.model import Container, Target
from dockshell.target import ELSEWHERE, ENGINES, Project, fits, parse, rank, rule

_PLAIN = string.ascii_letters + string.digits
_NAMES = st.builds(str.__add__, st.sampled_from(_PLAIN), st.text(_PLAIN + "_.-", max_size=10))
_PATHS = _NAMES | st.builds("{}/{}".format, _NAMES, _NAMES)
_KEYS = st.text(string.ascii_letters + ".-_/:", min_size=1, max_size=12)
_LABELS = _KEYS | st.builds("{}={}".format, _KEYS, st.text(string.printable.strip() + "ż=:/", max_size=12))
_TARGETS = st.one_of(
    st.builds(lambda engine: Target("latest", engine=engine), st.sampled_from(["", *ENGINES])),
    st.builds(
        lambda name, engine, replica: Target("name", name, engine, replica),
        _PATHS, st.sampled_from(["", *ENGINES]), st.integers(0, 999),
    ),
    st.builds(lambda text, engine: Target("label", text, engine), _LABELS, st.sampled_from(["", *ENGINES])),
    st.builds(
        lambda number, engine: Target("pid", str(number), engine),
        st.integers(1, 1 << 22), st.sampled_from(["", *ENGINES]),
    ),
)  # fmt: skip
_COMPOSE = "com.docker.compose."


def _container(
    name: str,
    *,
    id: str = "f" * 64,
    state: str = "running",
    service: str = "",
    number: int | str = 1,
    directory: str = "",
    once: bool = False,
) -> Container:
    project, _, served = service.rpartition("/")
    labels = {
        _COMPOSE + "project": project,
        _COMPOSE + "service": served,
        _COMPOSE + "container-number": str(number),
        _COMPOSE + "oneoff": str(once),
        _COMPOSE + "project.working_dir": directory,
    }
    engine: Any = None
    return Container(id=id, name=name, engine=engine, state=state, labels=labels if service else {})


def _fitting(words: str, *containers: Container, here: Project = ELSEWHERE, stopped: bool = False) -> list[str]:
    return [each.name for each in fits(parse(words), list(containers), here, stopped=stopped)]


@given(_TARGETS)
def test_a_target_says_itself(target: Target) -> None:
    """What a Target prints as, in messages and in -v, names the same Target when it is typed."""
    assert parse(str(target)) == target


@given(st.text(max_size=20) | st.text("abc:/@=.1-", max_size=12))
def test_any_words_are_a_target_or_refused(words: str) -> None:
    """Whatever is typed is understood or a UsageError of printable text."""
    try:
        assert parse(words).kind in ("latest", "name", "label", "pid")
    except UsageError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("web", Target("name", "web")),
        ("/web", Target("name", "web")),
        ("shop/web", Target("name", "shop/web")),
        ("web:2", Target("name", "web", replica=2)),
        ("podman://shop/web:3", Target("name", "shop/web", "podman", 3)),
        ("@latest", Target("latest")),
        ("kernel://", Target("latest", engine="kernel")),
        ("docker://@latest", Target("latest", engine="docker")),
        ("label:app", Target("label", "app")),
        ("label:app=a:b=c", Target("label", "app=a:b=c")),
        ("label:url=http://web/", Target("label", "url=http://web/")),
        ("docker://label:url=http://web/", Target("label", "url=http://web/", "docker")),
        ("pid:0042", Target("pid", "42")),
    ],
)
def test_the_grammar(words: str, target: Target) -> None:
    """Each rule of the grammar, by example."""
    assert parse(words) == target


@pytest.mark.parametrize(
    "words",
    ["", "-web", "a b", "web:", "web:0", "web:x", "web:-1", "web:²", "a/b/c", "/", "a/", "label:", "label:=x", "pid:",
     "pid:0", "pid:x", "rkt://web", "http://web", "@newest", "web\n", "$(reboot)", "żółw", "web:99999999999", "\udcff",
     "label:a\x1b[m"],
)  # fmt: skip
def test_what_no_rule_allows_is_refused(words: str) -> None:
    """Words outside the grammar never reach an engine, and the refusal carries no control character."""
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value).isprintable()


def test_an_exact_name_comes_first() -> None:
    """A name wins over ids, services and other names that begin so."""
    others = [_container("cafe2"), _container("x", id="cafe".ljust(64, "0")), _container("y", service="shop/cafe")]
    assert _fitting("cafe", *others, _container("cafe")) == ["cafe"]
    assert _fitting("cafe", *others, _container("cafe", state="exited")) == ["cafe"]


def test_a_whole_id_is_that_container() -> None:
    """What is called like another's id is not taken for it."""
    known = _container("web", id="cafe".ljust(64, "0"))
    assert _fitting(known.id, _container(known.id), known) == ["web"]


@given(
    st.text("abcdef", min_size=1, max_size=6),
    st.lists(st.text("0123456789abcdef", min_size=58, max_size=58), min_size=1, max_size=4),
    st.sampled_from(["running", "exited"]),
    st.randoms(),
)
def test_no_beginning_of_an_id_goes_before_a_service(name: str, rest: list[str], state: str, chance: Any) -> None:
    """`db`, `be`, `fe` and `cafe` are hexadecimal: whatever the engine's random ids begin with, the service of that
    name is meant, and with no service the id is."""
    others = [_container(f"x{number}", id=(name + each).ljust(64, "0")[:64]) for number, each in enumerate(rest)]
    service = _container("it", id="9" * 64, service=f"shop/{name}", state=state)
    containers = [*others, service, _container(name + "-more")]
    chance.shuffle(containers)
    assert _fitting(name, *containers) == ["it"]
    assert set(_fitting(name, *others)) == {each.name for each in others}


def test_an_id_comes_before_a_beginning() -> None:
    """After services the beginning of an id, in hexadecimal digits."""
    assert _fitting("cafe", _container("cafe2"), _container("x", id="cafe".ljust(64, "0"))) == ["x"]


def test_a_service_comes_before_a_beginning() -> None:
    """Compose's `SERVICE` or `PROJECT/SERVICE`."""
    served = [_container("shop-web-1", service="shop/web"), _container("blog-web-1", service="blog/web")]
    assert _fitting("web", *served, _container("webby")) == ["shop-web-1", "blog-web-1"]
    assert _fitting("blog/web", *served, _container("webby")) == ["blog-web-1"]
    assert _fitting("blog/we", *served) == []


def test_a_replica_is_picked_by_its_number() -> None:
    """`web:2` is the second replica of the service, and nothing else, whatever it is called."""
    replicas = [_container(f"shop-web-{number}", service="shop/web", number=number) for number in (1, 2, 12)]
    assert _fitting("web:2", *replicas, _container("web")) == ["shop-web-2"]
    assert _fitting("shop/web:12", *replicas) == ["shop-web-12"]
    assert _fitting("web:3", *replicas, _container("web")) == []


def test_the_beginning_of_a_name_comes_last() -> None:
    """All whose names begin so fit; whoever asked must be told when they are several."""
    assert _fitting("we", _container("web"), _container("api")) == ["web"]
    assert _fitting("we", _container("web"), _container("west")) == ["web", "west"]
    assert _fitting("eb", _container("web")) == []


def test_the_project_here_comes_first() -> None:
    """By the name that somebody gave it, else by its directory, the nearest first, and by its usual name where two have
    that directory. Where it has no such service, another's is found, and an error is left where that is in doubt."""
    shop = _container("shop", service="shop/web", directory="/srv/shop")
    test = _container("test", service="test/web", directory="/srv/shop")
    blog = _container("blog", service="blog/web", directory="/srv")
    both = [blog, test, shop]

    def found(*directories: str, **more: Any) -> list[str]:
        return _fitting("web", *both, here=Project(directories=directories, **more))

    assert found("/srv/shop/sub", "/srv/shop", "/srv") == ["test", "shop"]
    assert found("/srv/shop/sub", "/srv/shop", "/srv", usual="shop") == ["shop"]
    assert found("/srv", "/", usual="shop") == ["blog"]
    assert found("/srv/sho") == ["blog", "test", "shop"]
    assert found("/srv", name="test") == ["test"]
    assert found("/srv", name="other") == ["blog", "test", "shop"]
    assert found("/srv/sho", only=True) == found(name="other", only=True) == []
    assert _fitting("shop/web", *both, here=Project(directories=("/srv",))) == ["shop"]
    assert _fitting("shop/web", *both, here=Project(directories=("/srv",), only=True)) == []
    assert _fitting("blog/web", *both, here=Project(directories=("/srv",), only=True)) == ["blog"]


@pytest.mark.parametrize("stopped", [False, True])
def test_the_project_is_chosen_before_the_state(stopped: bool) -> None:
    """That the one here is down, or up where one that is down is wanted, leads nobody into another's."""
    down = _container("down", service="shop/web", directory="/srv", state="exited")
    up = _container("up", service="blog/web")
    here = Project(directories=("/srv",))
    assert _fitting("web", down, up, here=here, stopped=stopped) == ["down"]
    assert _fitting("web", up, down, here=Project(name="blog"), stopped=stopped) == ["up"]


def test_the_lowest_replica_comes_first() -> None:
    """As `docker compose exec` has it: what runs, then no one-off, then the lowest number. Two of one number are left
    for the person to say, and what is no number comes last."""
    replicas = [_container(f"web-{number}", service="shop/web", number=number) for number in (12, 3, 2)]
    once = _container("once", service="shop/web", number=1, once=True)
    assert _fitting("web", once, *replicas) == ["web-2"]
    assert _fitting("web", once, _container("web-1", service="shop/web", state="exited")) == ["once"]
    assert _fitting("web:1", once) == ["once"]
    assert _fitting("web", *replicas, _container("forged", service="shop/web", number=2)) == ["web-2", "forged"]
    for number in ("0", "-1", "x", "", "\u0661", "9" * 5000):
        assert _fitting("web", _container("forged", service="shop/web", number=number), *replicas) == ["web-2"]


def test_the_rule_is_told() -> None:
    """The words for -v, and the rank, which two engines' containers are compared by."""
    here = Project(directories=("/srv",))
    known = _container("web-1", id="cafe".ljust(64, "0"), service="shop/web", directory="/srv")
    told = [
        ("web-1", "by its name"),
        (known.id, "by its id"),
        ("web", "as the service web of the project shop, the project here"),
        ("cafe", "by the beginning of its id"),
        ("web-", "by the beginning of its name"),
    ]
    assert [rule(parse(words), known, here) for words, _ in told] == [words for _, words in told]
    ranks = [rank(parse(words), known, here) for words in ("web-1", "web", "cafe", "web-")]
    assert ranks == sorted(set(ranks))
    assert rank(parse("web"), known, here) < rank(parse("web"), known) < rank(parse("cafe"), known)
    assert rule(parse("web"), known) == "as the service web of the project shop"
    assert rule(parse(f"label:{_COMPOSE}service"), known) == "by its label"


@pytest.mark.parametrize("words", ["web", "shop/web"])
def test_a_stopped_one_fits_only_if_none_runs(words: str) -> None:
    """By service, a container that runs hides those that don't; where none runs, they are found."""
    old, new = _container("a", service="shop/web", state="exited"), _container("b", service="shop/web")
    assert _fitting(words, old, new) == ["b"]
    assert _fitting(words, old) == ["a"]


def test_labels_fit_by_key_or_by_key_and_value() -> None:
    """`label:KEY` wants the key alone, `label:KEY=VALUE` both, whole."""
    one = _container("one", service="shop/web")
    assert _fitting(f"label:{_COMPOSE}service", one, _container("two")) == ["one"]
    assert _fitting(f"label:{_COMPOSE}service=web", one) == ["one"]
    assert _fitting(f"label:{_COMPOSE}service=we", one) == []
    assert _fitting(f"label:{_COMPOSE}service=", one) == []


@given(_TARGETS.filter(lambda target: target.kind in ("name", "label")), st.lists(_NAMES, max_size=6))
def test_only_what_is_there_fits(target: Target, names: list[str]) -> None:
    """fits() picks from what it was given, each once, in the order given."""
    containers = [_container(name, id=f"{number:064x}") for number, name in enumerate(names)]
    found = fits(target, containers)
    positions = [containers.index(each) for each in found]
    assert positions == sorted(set(positions))
