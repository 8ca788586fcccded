"""The grammar of TARGET, and which containers its words fit."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.errors import UsageError
from dockshell.model import Container, Target
from dockshell.target import ENGINES, fits, parse

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
    name: str, *, id: str = "f" * 64, state: str = "running", service: str = "", number: int = 1
) -> Container:
    project, _, served = service.rpartition("/")
    labels = {_COMPOSE + "project": project, _COMPOSE + "service": served, _COMPOSE + "container-number": str(number)}
    engine: Any = None
    return Container(id=id, name=name, engine=engine, state=state, labels=labels if service else {})


def _fitting(words: str, *containers: Container) -> list[str]:
    return [each.name for each in fits(parse(words), list(containers))]


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


def test_an_id_comes_before_a_service_and_a_beginning() -> None:
    """Then the beginning of an id, in hexadecimal digits."""
    others = [_container("cafe2"), _container("y", service="shop/cafe")]
    assert _fitting("cafe", *others, _container("x", id="cafe".ljust(64, "0"))) == ["x"]


def test_a_service_comes_before_a_beginning() -> None:
    """Then Compose's `SERVICE` or `PROJECT/SERVICE`."""
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
